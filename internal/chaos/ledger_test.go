package chaos_test

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

// What a process notes. Each line is written before what it tells of is acted upon, except for answers, which are noted
// as soon as they are known.
const (
	noteTry      = "try"      // a producer hands a task over: id, its type
	noteStored   = "stored"   // Redis has it
	noteRefused  = "refused"  // Redis said no, and why
	noteUnknown  = "unknown"  // neither
	noteStart    = "start"    // a handler begins: id, token, attempt
	noteEnd      = "end"      // a handler returns: id, token, how
	noteAccepted = "accepted" // Redis took an attempt's outcome: id, token, which
	noteFenced   = "fenced"   // Redis refused an attempt's outcome
	noteUnsaid   = "unsaid"   // an outcome was not written, or it is not known whether it was
	noteExtended = "extended" // Redis moved a lease forward: id, token, when it was asked to (µs)
	noteFired    = "fired"    // a fail-point did its work
	noteLeads    = "leads"    // a beat leads from now on: its token
	noteVitals   = "vitals"   // how many goroutines there are, and bytes of the heap
	noteCall     = "call"     // an operation of a lock or of uniqueness begins: its key, its number
	noteReturn   = "return"   // … and ends, with what it answered
	noteKnock    = "knock"    // a viewer whose connection has ended tries to connect: its name, when it was due (µs)
)

// ledger is the file in which one process notes what it does and what it is told. Lines are whole and appended: a process
// that is killed leaves at worst its last line out. They need not be on disk, since no fault takes the machine down.
type ledger struct {
	mu   sync.Mutex
	file *os.File
	line []byte
}

func openLedger(path string) (*ledger, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	return &ledger{file: file}, nil
}

// note writes one line. Neither kind nor id may hold a space.
func (l *ledger) note(kind, id string, token uint64, more string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := strconv.AppendInt(l.line[:0], trueNow(), 10)
	b = append(append(b, ' '), kind...)
	b = append(append(b, ' '), id...)
	b = strconv.AppendUint(append(b, ' '), token, 10)
	if more != "" {
		b = append(append(b, ' '), strings.ReplaceAll(more, "\n", " ")...)
	}
	l.line = append(b, '\n')
	if _, err := l.file.Write(l.line); err != nil {
		fmt.Fprintln(os.Stderr, "ledger:", err)
		os.Exit(4) // a process that cannot say what it does must do nothing
	}
}

// note is one line of a ledger.
type note struct {
	at    int64 // Unix µs, of the machine that all processes share
	pid   int
	kind  string
	id    string
	token uint64
	more  string
}

// ledgerPath names the ledger of a process.
func ledgerPath(dir, role string, pid int) string {
	return filepath.Join(dir, fmt.Sprintf("%s.%d.ledger", role, pid))
}

// readLedgers calls each with every line of every ledger of a role ("*": of all) in a directory, those of one process in
// their order.
func readLedgers(dir, role string, each func(role string, n note)) error {
	paths, err := filepath.Glob(filepath.Join(dir, role+".*.ledger"))
	if err != nil {
		return err
	}
	for _, path := range paths {
		role, rest, _ := strings.Cut(filepath.Base(path), ".")
		number, _, _ := strings.Cut(rest, ".")
		pid, err := strconv.Atoi(number)
		if err != nil {
			return fmt.Errorf("ledger %s: no process number in its name", path)
		}
		if err := readLedger(path, func(n note) {
			n.pid = pid
			each(role, n)
		}); err != nil {
			return err
		}
	}
	return nil
}

func readLedger(path string, each func(note)) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		fields := strings.SplitN(lines.Text(), " ", 5)
		if len(fields) < 4 {
			return fmt.Errorf("ledger %s: line %q has %d fields, want at least 4", path, lines.Text(), len(fields))
		}
		n := note{kind: fields[1], id: fields[2]}
		if n.at, err = strconv.ParseInt(fields[0], 10, 64); err != nil {
			return fmt.Errorf("ledger %s: %w", path, err)
		}
		if n.token, err = strconv.ParseUint(fields[3], 10, 64); err != nil {
			return fmt.Errorf("ledger %s: %w", path, err)
		}
		if len(fields) == 5 {
			n.more = fields[4]
		}
		each(n)
	}
	return lines.Err()
}

func digits(n uint64) string { return strconv.FormatUint(n, 10) }
