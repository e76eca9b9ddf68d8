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
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// ErrMissing: neither redis-server nor valkey-server is on the PATH.
var ErrMissing = errors.New("neither redis-server nor valkey-server is on the PATH")

// Config says which server to run and how. Only Dir is required.
type Config struct {
	// Binary is the server's path. Default: what [Find] finds.
	Binary string
	// Dir is the server's working directory, where its data files go. It must exist.
	Dir string
	// Scratch has Dir deleted as soon as the server has gone, however it went.
	Scratch bool
	// Args are settings as the server's command line takes them: "--port", "7000", "--appendonly", "yes".
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

// Find returns the path of redis-server or, where there is none, of valkey-server.
func Find() (string, error) {
	if !supported {
		return "", ErrMissing
	}
	for _, name := range []string{"redis-server", "valkey-server"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", ErrMissing
}

// watch is run by sh, which becomes the server. The part in braces stays behind as the watcher: it ends when it is told
// that the server has gone (a word on descriptor 3), and kills the server when the writer of descriptor 3 has gone.
const watch = `
scratch=$1; shift
{
	read -r word <&3
	[ "$word" = gone ] || kill -9 $$
	[ -z "$scratch" ] || rm -rf "$scratch"
} >/dev/null 2>&1 </dev/null &
exec "$@" 3<&-`

// Run starts a server, calls ready with its process id once it accepts connections (after it has loaded its data), and
// returns when the server is gone: nil if it has stopped because ctx ended, else an [*ExitError] or why it could not be
// started or stopped. It calls ready from another goroutine, and the server's log waits for it.
func Run(ctx context.Context, cfg Config, ready func(pid int)) error {
	binary := cfg.Binary
	if binary == "" {
		found, err := Find()
		if err != nil {
			return err
		}
		binary = found
	}
	name := filepath.Base(binary)

	parentDied, alive, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	defer alive.Close() // without a word: the watcher kills a server that may be left
	scratch := ""
	if cfg.Scratch {
		scratch = cfg.Dir
	}
	args := append([]string{"-c", watch, name, scratch, binary}, cfg.Args...)
	cmd := exec.CommandContext(ctx, "/bin/sh", args...)
	cmd.Dir = cfg.Dir
	cmd.SysProcAttr = ownGroup() // Ctrl-C is for this process, which stops the server in its turn
	cmd.ExtraFiles = []*os.File{parentDied}
	if cfg.Lock != nil {
		cmd.ExtraFiles = append(cmd.ExtraFiles, cfg.Lock)
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = cmp.Or(cfg.Grace, 10*time.Second)
	log := &serverLog{forward: cfg.Log, ready: func() { ready(cmd.Process.Pid) }, started: make(chan struct{})}
	cmd.Stdout = log
	cmd.Stderr = log

	err = cmd.Start()
	parentDied.Close()
	if err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	close(log.started)
	err = cmd.Wait()
	if _, told := alive.WriteString("gone\n"); told != nil && cfg.Scratch {
		os.RemoveAll(cfg.Dir) // somebody has killed the watcher
	}
	switch {
	case ctx.Err() == nil:
	case !log.isReady || cmd.ProcessState.Success():
		return nil
	default:
		return fmt.Errorf("stop %s: %w (the last writes may be lost)", name, err)
	}
	return &ExitError{Server: name, Ready: log.isReady, Log: log.last, Err: err}
}
