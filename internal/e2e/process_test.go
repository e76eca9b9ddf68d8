package e2e_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// command says what to start.
type command struct {
	role string
	args []string
	env  []string // besides what is inherited, of which no SERI_ variable is
	dir  string   // to start it in; empty: a new one
}

// process is a child that plays a role.
type process struct {
	t      *testing.T
	name   string
	cmd    *exec.Cmd
	exited chan struct{} // closed when it is gone and all that it wrote is there

	mu    sync.Mutex
	lines []string
	rest  []byte        // an unfinished line
	grown chan struct{} // closed and replaced with every line
}

// start starts a process that ends with the test at the latest. What it wrote is shown if the test has failed.
func start(t *testing.T, c command) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if c.dir == "" {
		c.dir = t.TempDir()
	}
	p := &process{t: t, name: c.role, cmd: exec.Command(self, c.args...), exited: make(chan struct{}), grown: make(chan struct{})}
	p.cmd.Dir = c.dir
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "SERI_") {
			p.cmd.Env = append(p.cmd.Env, variable)
		}
	}
	// By default the race detector keeps a process for a second after its end.
	p.cmd.Env = append(append(p.cmd.Env, c.env...), roleVariable+"="+c.role, "GORACE=atexit_sleep_ms=0")
	p.cmd.Stdout, p.cmd.Stderr = p, p
	if _, err := p.cmd.StdinPipe(); err != nil { // held open for as long as this process lives; see play
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is in its ProcessState
		close(p.exited)
	}()
	t.Cleanup(p.end)
	return p
}

// end kills the process if it still runs, and tells what it wrote if that may be of interest.
func (p *process) end() {
	_ = p.cmd.Process.Kill() // also a frozen one; one that is gone is an error of no interest
	<-p.exited
	output := p.output()
	if strings.Contains(output, "DATA RACE") {
		p.t.Errorf("%s has a data race", p.name)
	}
	if p.t.Failed() {
		p.t.Logf("%s (process %d, %v) wrote:\n%s", p.name, p.pid(), p.cmd.ProcessState, output)
	}
}

// Write implements [io.Writer] for the child's outputs.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rest = append(p.rest, b...)
	for {
		line, rest, found := bytes.Cut(p.rest, []byte("\n"))
		if !found {
			return len(b), nil
		}
		p.lines, p.rest = append(p.lines, string(line)), bytes.Clone(rest)
		close(p.grown)
		p.grown = make(chan struct{})
	}
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// output returns all that the process has written.
func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.lines, "\n")
}

// await returns the first line that contains one of texts, as soon as the process has written it.
func (p *process) await(texts ...string) string {
	p.t.Helper()
	expired := time.After(patience)
	gone := false
	for {
		p.mu.Lock()
		line, found := find(p.lines, texts)
		grown := p.grown
		p.mu.Unlock()
		switch {
		case found:
			return line
		case gone:
			p.t.Fatalf("%s ended (%v) without having written %q", p.name, p.cmd.ProcessState, texts)
		}
		select {
		case <-grown:
		case <-p.exited:
			gone = true // one more look
		case <-expired:
			p.t.Fatalf("%s has not written %q", p.name, texts)
		}
	}
}

func find(lines, texts []string) (string, bool) {
	for _, line := range lines {
		for _, text := range texts {
			if strings.Contains(line, text) {
				return line, true
			}
		}
	}
	return "", false
}

// attribute returns an attribute of a line of a JSON log.
func attribute(t *testing.T, line, name string) string {
	t.Helper()
	var attributes map[string]any
	if err := json.Unmarshal([]byte(line), &attributes); err != nil {
		t.Fatalf("%v in %s", err, line)
	}
	value, ok := attributes[name].(string)
	if !ok {
		t.Fatalf("no text %q in %s", name, line)
	}
	return value
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatalf("send %v to %s: %v", s, p.name, err)
	}
}

// wait waits for the process's end.
func (p *process) wait() *os.ProcessState {
	p.t.Helper()
	select {
	case <-p.exited:
	case <-time.After(patience):
		p.t.Fatalf("%s does not end", p.name)
	}
	return p.cmd.ProcessState
}

// stop asks the process to end, and returns how long it took. It must end with 0.
func (p *process) stop() time.Duration {
	p.t.Helper()
	asked := time.Now()
	p.signal(syscall.SIGTERM)
	if state := p.wait(); !state.Success() {
		p.t.Errorf("%s ended with %v after SIGTERM", p.name, state)
	}
	return time.Since(asked)
}
