// Package redisproc runs redis-server (or valkey-server) as a child that cannot outlive its parent.
//
// [Run] is the whole of it: it blocks while the server serves, stops it in an orderly way when its context ends, and
// returns when the server is gone. Should this process die without a chance to do so (a panic, kill -9, the timeout of
// go test), a watcher, which notices that a pipe from this process has closed, kills the server at once.
// The same shell commands do that on Linux and macOS; Linux's parent-death signal would be tied to the thread that
// happened to start the child.
package redisproc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Config says which server to run and how. Binary and Dir are required.
type Config struct {
	// Binary is the server's path; see [Find].
	Binary string
	// Dir is the server's working directory, where its data files go. It must exist.
	Dir string
	// Scratch has Dir deleted as soon as the server has gone, however it went.
	Scratch bool
	// Port is where the server listens, on 127.0.0.1 only. Default: a free one.
	Port int
	// Args are further settings as the server's command line takes them: "--appendonly", "yes".
	Args []string
	// Lock is a file that the server keeps open, so that a flock on it lasts for as long as the server lives, even
	// if this process does not. Default: none.
	Lock *os.File
	// Log receives each line of the server's log. Default: lines are dropped, save for the last ones, which become
	// part of the error when the server ends unasked.
	Log func(line string)
	// Grace is how long the server may take to stop before it is killed. Default: 10 s, ample for the last fsync of
	// a development store.
	Grace time.Duration
}

// Server is a server that accepts connections.
type Server struct {
	PID  int
	Addr string // host:port
	Port int
}

// ExitError tells that the server ended without having been asked to.
type ExitError struct {
	Server string   // the name of the binary
	Ready  bool     // whether it had accepted connections before
	Log    []string // its last log lines
	Err    error    // how the process ended; nil: with exit status 0
}

func (e *ExitError) Error() string {
	what := "ended by itself"
	if !e.Ready {
		what = "ended before it was ready"
	}
	text := e.Server + " " + what
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	if len(e.Log) > 0 {
		text += ": " + strings.Join(e.Log, "; ")
	}
	return text
}

func (e *ExitError) Unwrap() error { return e.Err }

// watch is run by sh, which becomes the server. The part in braces stays behind as the watcher: it ends when it is told
// that the server has gone (a word on descriptor 3), and kills the server when the writer of descriptor 3 has gone.
// Descriptor 4, if any, is the lock, which is the server's alone.
const watch = `
scratch=$1; shift
{
	read -r word <&3
	if [ "$word" != gone ]; then
		kill -9 $$
		[ -z "$scratch" ] || rm -rf "$scratch"
	fi
} >/dev/null 2>&1 </dev/null 4<&- &
exec "$@" 3<&-`

// Run starts a server, calls ready once it accepts connections (after it has loaded its data), and returns when the
// server is gone: nil if it has stopped because ctx ended, else an [*ExitError] or why it could not be started or
// stopped. It calls ready from another goroutine, and the server's log waits for it.
func Run(ctx context.Context, cfg Config, ready func(Server)) error {
	const attempts = 5
	var err error
	for range attempts {
		if err = runOnce(ctx, cfg, ready); cfg.Port != 0 || !lostPort(err) {
			break // only a port that we chose ourselves, and that somebody took just then, is worth another try
		}
	}
	if cfg.Scratch {
		os.RemoveAll(cfg.Dir) // the watcher is there for the case that we are not
	}
	return err
}

func runOnce(ctx context.Context, cfg Config, ready func(Server)) error {
	name := filepath.Base(cfg.Binary)
	port := cmp.Or(cfg.Port, FreePort())
	parentDied, alive, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	defer alive.Close() // without a word: the watcher kills a server that may be left
	scratch := ""
	if cfg.Scratch {
		scratch = cfg.Dir
	}
	args := []string{"-c", watch, name, scratch, cfg.Binary, "--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--save", ""}
	cmd := exec.CommandContext(ctx, "/bin/sh", append(args, cfg.Args...)...)
	cmd.Dir = cfg.Dir
	cmd.SysProcAttr = ownGroup() // Ctrl-C is for this process, which stops the server in its turn
	cmd.ExtraFiles = []*os.File{parentDied}
	if cfg.Lock != nil {
		cmd.ExtraFiles = append(cmd.ExtraFiles, cfg.Lock)
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = cmp.Or(cfg.Grace, 10*time.Second)
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	log := &serverLog{
		forward: cfg.Log,
		ready:   func() { ready(Server{cmd.Process.Pid, addr, port}) },
		started: make(chan struct{}),
	}
	cmd.Stdout = log
	cmd.Stderr = log

	err = cmd.Start()
	parentDied.Close()
	if err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	close(log.started)
	err = cmd.Wait()
	_, _ = alive.WriteString("gone\n") // an error means that somebody has killed the watcher: then nobody waits for it
	switch {
	case ctx.Err() == nil:
		return &ExitError{Server: name, Ready: log.isReady, Log: log.last, Err: err}
	case !log.isReady || cmd.ProcessState.Success():
		return nil
	default:
		return fmt.Errorf("stop %s: %w (the last writes may be lost)", name, err)
	}
}

func lostPort(err error) bool {
	exit, ok := errors.AsType[*ExitError](err)
	return ok && !exit.Ready && strings.Contains(exit.Error(), "Address already in use")
}
