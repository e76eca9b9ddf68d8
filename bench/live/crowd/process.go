//go:build linux

package crowd

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// Entry is how the members of a crowd come in.
type Entry struct {
	Addr   string `json:"addr"`   // of the gateway
	Source string `json:"source"` // the address that the first of them come from, see [perSource]
	First  int    `json:"first"`  // the number of the first member
	Count  int    `json:"count"`
	Burst  int    `json:"burst"`  // so many come in at once
	Secret string `json:"secret"` // signs their tokens; empty: none, and they only listen
}

// order is one line to the process of a crowd, and answer the line that follows each.
type order struct {
	Open       *Entry `json:"open,omitempty"`
	Watch      bool   `json:"watch,omitempty"`
	ComeBackTo string `json:"come_back_to,omitempty"`
	Forget     bool   `json:"forget,omitempty"`
	Leave      bool   `json:"leave,omitempty"`
}

type answer struct {
	Report *Report `json:"report,omitempty"`
	Error  string  `json:"error,omitempty"`
}

// Run is a crowd's process: it does what in says, and tells of it in out, until in ends.
func Run(in io.Reader, out io.Writer) error {
	runtime.LockOSThread()
	var bell [2]int
	if err := syscall.Pipe2(bell[:], syscall.O_NONBLOCK|syscall.O_CLOEXEC); err != nil {
		return fmt.Errorf("make a pipe: %w", err)
	}
	orders := make(chan order, 1)
	encoder := json.NewEncoder(out)
	c, err := newCrowd(bell[0], orders, func(a answer) {
		_ = encoder.Encode(a) // a parent that has gone is noticed at the end of in
	})
	if err != nil {
		return err
	}
	heard := make(chan struct{})
	go func() { // ends with in
		defer close(heard)
		defer syscall.Write(bell[1], []byte{0}) // a full pipe rings, too
		defer close(orders)
		for lines := bufio.NewScanner(in); lines.Scan(); {
			var o order
			if json.Unmarshal(lines.Bytes(), &o) != nil {
				return
			}
			orders <- o
			_, _ = syscall.Write(bell[1], []byte{0})
		}
	}()
	if err := c.run(); err != nil {
		return err
	}
	<-heard
	c.close()
	return errors.Join(syscall.Close(bell[0]), syscall.Close(bell[1]))
}

// Crowd is a crowd in a process of its own.
type Crowd struct {
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	answers *bufio.Reader
}

// Start runs a command as a crowd: a program that calls [Run]. It dies with ctx. [Crowd.End] must be called.
func Start(ctx context.Context, command ...string) (*Crowd, error) {
	c := &Crowd{cmd: exec.CommandContext(ctx, command[0], command[1:]...)}
	c.cmd.Stderr = os.Stderr
	c.cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	stdin, err1 := c.cmd.StdinPipe()
	stdout, err2 := c.cmd.StdoutPipe()
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("start a crowd: %w", err)
	}
	c.stdin, c.answers = stdin, bufio.NewReader(stdout)
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a crowd: %w", err)
	}
	return c, nil
}

// PID is that of the process.
func (c *Crowd) PID() int { return c.cmd.Process.Pid }

// Open has the members come in, and returns when each of them has been shown its task, or was refused.
func (c *Crowd) Open(e Entry) (Report, error) { return c.say(order{Open: &e}) }

// Watch has all members watch the [Topic], too.
func (c *Crowd) Watch() (Report, error) { return c.say(order{Watch: true}) }

// ComeBackTo says where members go that are cut from now on.
func (c *Crowd) ComeBackTo(addr string) error {
	_, err := c.say(order{ComeBackTo: addr})
	return err
}

// Forget begins the report anew.
func (c *Crowd) Forget() error {
	_, err := c.say(order{Forget: true})
	return err
}

// Tell returns the report.
func (c *Crowd) Tell() (Report, error) { return c.say(order{}) }

// Leave ends all connections.
func (c *Crowd) Leave() error {
	_, err := c.say(order{Leave: true})
	return err
}

// End ends the process.
func (c *Crowd) End() {
	_ = c.stdin.Close() // which tells it; an error means that it has gone
	_ = c.cmd.Wait()    // how it ended does not matter: what it had to say is said
}

func (c *Crowd) say(o order) (Report, error) {
	line, err := json.Marshal(o)
	if err != nil {
		return Report{}, err
	}
	if _, err := c.stdin.Write(append(line, '\n')); err != nil {
		return Report{}, fmt.Errorf("a crowd has gone: %w", err)
	}
	if line, err = c.answers.ReadBytes('\n'); err != nil {
		return Report{}, fmt.Errorf("a crowd has gone: %w", err)
	}
	var a answer
	switch err := json.Unmarshal(line, &a); {
	case err != nil:
		return Report{}, fmt.Errorf("a crowd says %q", line)
	case a.Error != "":
		return Report{}, fmt.Errorf("a crowd: %s", a.Error)
	case a.Report == nil:
		return Report{}, fmt.Errorf("a crowd says %q", line)
	}
	return *a.Report, nil
}
