// Package proctest starts real processes from a test binary: the binary runs itself again under an environment variable
// that names a role, so that SIGKILL and SIGSTOP are the real ones and nothing has to be built first.
//
//	func TestMain(m *testing.M) {
//		if role := os.Getenv("MY_ROLE"); role != "" {
//			play(role) // does not return
//		}
//		os.Exit(m.Run())
//	}
//
//	p, err := proctest.Start(proctest.Command{Env: []string{"MY_ROLE=worker"}})
//
// A child's standard input is a pipe that stays open for as long as its parent lives: a child that ends at the end of its
// input cannot outlive the test, whatever ends it. [ExitWithParent] does that.
package proctest

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// Command says what to start.
type Command struct {
	Args []string
	Env  []string // besides what is inherited, of which no SERI_ variable is
	Dir  string   // to start it in
	Keep int      // how many lines of its output are kept; 0: all
}

// Process is a child.
type Process struct {
	Exited <-chan struct{} // closed when it is gone and all that it wrote is there

	cmd   *exec.Cmd
	stdin io.WriteCloser
	keep  int

	mu    sync.Mutex
	lines []string
	rest  []byte        // an unfinished line
	grown chan struct{} // closed and replaced with every line
}

// Start starts this binary once more. The caller sees to its end: with [Process.Kill] at the latest.
func Start(c Command) (*Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	exited := make(chan struct{})
	p := &Process{Exited: exited, cmd: exec.Command(self, c.Args...), keep: c.Keep, grown: make(chan struct{})}
	p.cmd.Dir = c.Dir
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "SERI_") {
			p.cmd.Env = append(p.cmd.Env, variable)
		}
	}
	// By default the race detector keeps a process for a second after its end.
	p.cmd.Env = append(append(p.cmd.Env, c.Env...), "GORACE=atexit_sleep_ms=0")
	p.cmd.Stdout, p.cmd.Stderr = p, p
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is in its ProcessState
		close(exited)
	}()
	return p, nil
}

// ExitWithParent ends this process, a child, with the status when its input ends, and gives each line of it to line, which
// may be nil. It does not return.
func ExitWithParent(status int, line func(string)) {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		if line != nil {
			line(lines.Text())
		}
	}
	os.Exit(status)
}

// Tell writes a line to the child's input.
func (p *Process) Tell(line string) error {
	_, err := io.WriteString(p.stdin, line+"\n")
	return err
}

// Kill kills the process, also a frozen one, and returns when it is gone.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // one that is gone is an error of no interest
	<-p.Exited
}

// Signal sends a signal.
func (p *Process) Signal(s syscall.Signal) error { return p.cmd.Process.Signal(s) }

// PID returns the number of the process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// State says how the process ended, once [Process.Exited] is closed.
func (p *Process) State() *os.ProcessState { return p.cmd.ProcessState }

// Write implements [io.Writer] for the child's outputs.
func (p *Process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rest = append(p.rest, b...)
	for {
		line, rest, found := bytes.Cut(p.rest, []byte("\n"))
		if !found {
			return len(b), nil
		}
		p.lines, p.rest = append(p.lines, string(line)), bytes.Clone(rest)
		if p.keep > 0 && len(p.lines) > 2*p.keep {
			p.lines = slices.Clone(p.lines[p.keep:])
		}
		close(p.grown)
		p.grown = make(chan struct{})
	}
}

// Lines returns what the process has written, and a channel that is closed when there is more.
func (p *Process) Lines() (lines []string, grown <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.lines), p.grown
}

// Output returns all that the process has written and that is kept.
func (p *Process) Output() string {
	lines, _ := p.Lines()
	return strings.Join(lines, "\n")
}
