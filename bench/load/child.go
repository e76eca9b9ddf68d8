package load

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime/pprof"
	"sync"
)

// Child does the duty that stands in the first line of in, and tells of it in out. It returns when it is told to stop,
// when the duty is done, or when in ends. The caller then exits: workers are not wound down, since that is not measured.
func Child(ctx context.Context, in io.Reader, out io.Writer, openers map[string]Opener) error {
	c := &child{lines: bufio.NewScanner(in), out: json.NewEncoder(out)}
	c.lines.Buffer(nil, 1<<20)
	if err := c.run(ctx, openers); err != nil {
		c.send(message{Error: err.Error()})
		return err
	}
	return nil
}

// child is the near end of a [Process].
type child struct {
	lines *bufio.Scanner

	mu  sync.Mutex
	out *json.Encoder
}

func (c *child) send(m message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.out.Encode(m) // a parent that has gone is noticed at the end of in
}

func (c *child) run(ctx context.Context, openers map[string]Opener) error {
	if !c.lines.Scan() {
		return fmt.Errorf("no duty was given: %w", io.ErrUnexpectedEOF)
	}
	var spec Spec
	if err := json.Unmarshal(c.lines.Bytes(), &spec); err != nil {
		return fmt.Errorf("read the duty: %w", err)
	}
	open := openers[spec.System]
	if open == nil {
		return fmt.Errorf("system %q is not built in here", spec.System)
	}
	system, err := open(ctx, spec)
	if err != nil {
		return fmt.Errorf("connect to %s: %w", spec.System, err)
	}
	c.send(message{Ready: true})
	if !c.lines.Scan() || c.lines.Text() != commandGo {
		return nil
	}
	if spec.Profile != "" {
		stop, err := profile(spec.Profile)
		if err != nil {
			return err
		}
		defer stop()
	}
	if spec.Produce != nil {
		return c.produce(ctx, system, *spec.Produce)
	}
	if spec.Work != nil {
		return c.work(ctx, system, *spec.Work)
	}
	return nil
}

func (c *child) produce(ctx context.Context, system System, p Produce) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // ends with the process: nothing is to come on stdin but its end
		for c.lines.Scan() {
		}
		cancel()
	}()
	begin := CPUTime()
	r, err := produce(ctx, system, p)
	if err != nil {
		return err
	}
	r.CPU, r.RSS = CPUTime()-begin, residentBytes()
	c.send(message{Report: &r})
	return nil
}

func (c *child) work(ctx context.Context, system System, w Work) error {
	var m meter
	begin := CPUTime()
	go func() { // ends with the process
		if err := system.Work(ctx, w, m.handle(w)); err != nil {
			c.send(message{Error: err.Error()})
		}
	}()
	for c.lines.Scan() {
		switch c.lines.Text() {
		case commandStatus:
			r := m.status()
			r.CPU, r.RSS = CPUTime()-begin, residentBytes()
			c.send(message{Status: &r})
		case commandStop:
			r := m.status()
			r.CPU, r.RSS, r.Delays = CPUTime()-begin, residentBytes(), m.sorted()
			c.send(message{Report: &r})
			return nil
		}
	}
	return nil
}

func profile(name string) (stop func(), err error) {
	file, err := os.Create(name)
	if err != nil {
		return nil, fmt.Errorf("write a profile: %w", err)
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		return nil, fmt.Errorf("write a profile: %w", err)
	}
	return func() {
		pprof.StopCPUProfile()
		_ = file.Close() // a profile that is cut short shows when it is read
	}, nil
}
