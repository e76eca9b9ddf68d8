package load

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

// Process is a measured process, seen from its parent.
type Process struct {
	cmd      *exec.Cmd
	stdin    io.WriteCloser
	messages chan message // closed when the process has closed stdout
}

// Start starts command as a process with the duty spec and returns once it has connected to its system and waits for
// [Process.Go]. It dies with ctx. [Process.End] must be called.
func Start(ctx context.Context, command []string, spec Spec) (*Process, error) {
	duty, err := json.Marshal(spec)
	if err != nil {
		return nil, fmt.Errorf("start a process of %s: %w", spec.System, err)
	}
	p := &Process{cmd: exec.CommandContext(ctx, command[0], command[1:]...), messages: make(chan message, 16)}
	p.cmd.Stderr = os.Stderr
	p.cmd.WaitDelay = 5 * time.Second
	stdout, err1 := p.cmd.StdoutPipe()
	stdin, err2 := p.cmd.StdinPipe()
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("start a process of %s: %w", spec.System, err)
	}
	p.stdin = stdin
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a process of %s: %w", spec.System, err)
	}
	go p.listen(stdout)
	if err := p.say(string(duty)); err != nil {
		p.End()
		return nil, err
	}
	if _, err := p.next(func(m message) bool { return m.Ready }); err != nil {
		p.End()
		return nil, fmt.Errorf("start a process of %s: %w", spec.System, err)
	}
	return p, nil
}

// listen ends with the process.
func (p *Process) listen(stdout io.Reader) {
	defer close(p.messages)
	lines := bufio.NewScanner(stdout)
	lines.Buffer(nil, 64<<20) // a report holds the delays of all its tasks
	for lines.Scan() {
		var m message
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			m = message{Error: fmt.Sprintf("printed %q", lines.Text())}
		}
		p.messages <- m
	}
}

// Go gives the start signal.
func (p *Process) Go() error { return p.say(commandGo) }

// Status asks a worker how far it is.
func (p *Process) Status() (Report, error) {
	if err := p.say(commandStatus); err != nil {
		return Report{}, err
	}
	m, err := p.next(func(m message) bool { return m.Status != nil })
	if err != nil {
		return Report{}, err
	}
	return *m.Status, nil
}

// Stop ends a worker and returns its report.
func (p *Process) Stop() (Report, error) {
	if err := p.say(commandStop); err != nil {
		return Report{}, err
	}
	return p.Wait()
}

// Wait returns a producer's report once it has handed everything over.
func (p *Process) Wait() (Report, error) {
	m, err := p.next(func(m message) bool { return m.Report != nil })
	if err != nil {
		return Report{}, err
	}
	return *m.Report, nil
}

// End makes sure that the process is gone: it gets a moment to write its profile, and is then killed.
func (p *Process) End() {
	_ = p.stdin.Close() // which tells it; an error means that it has gone
	late := time.AfterFunc(3*time.Second, func() { _ = p.cmd.Process.Kill() })
	defer late.Stop()
	for range p.messages { // nothing that it still says is of interest, but it must not block
	}
	_ = p.cmd.Wait() // how it ended does not matter: what it had to say is said
}

func (p *Process) say(line string) error {
	if _, err := io.WriteString(p.stdin, line+"\n"); err != nil {
		return fmt.Errorf("a measured process has gone: %w", err)
	}
	return nil
}

func (p *Process) next(wanted func(message) bool) (message, error) {
	for m := range p.messages {
		switch {
		case m.Error != "":
			return m, errors.New(m.Error)
		case wanted(m):
			return m, nil
		}
	}
	return message{}, errors.New("a measured process ended early")
}
