package e2e_test

import (
	"encoding/json"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seri-queue/seri/internal/proctest"
)

// command says what to start.
type command struct {
	role string
	args []string
	env  []string // besides what is inherited, of which no SERI_ variable is
	dir  string   // to start it in; empty: a new one
}

// process is a child that plays a role, in a test.
type process struct {
	*proctest.Process
	t      *testing.T
	name   string
	exited <-chan struct{}
}

// start starts a process that ends with the test at the latest. What it wrote is shown if the test has failed.
func start(t *testing.T, c command) *process {
	t.Helper()
	if c.dir == "" {
		c.dir = t.TempDir()
	}
	child, err := proctest.Start(proctest.Command{Args: c.args, Env: append(c.env[:len(c.env):len(c.env)], roleVariable+"="+c.role), Dir: c.dir})
	if err != nil {
		t.Fatal(err)
	}
	p := &process{Process: child, t: t, name: c.role, exited: child.Exited}
	t.Cleanup(p.end)
	return p
}

// end kills the process if it still runs, and tells what it wrote if that may be of interest.
func (p *process) end() {
	p.Kill()
	output := p.output()
	if strings.Contains(output, "DATA RACE") {
		p.t.Errorf("%s has a data race", p.name)
	}
	if p.t.Failed() {
		p.t.Logf("%s (process %d, %v) wrote:\n%s", p.name, p.pid(), p.State(), output)
	}
}

func (p *process) pid() int { return p.PID() }

// output returns all that the process has written.
func (p *process) output() string { return p.Output() }

// await returns the first line that contains one of texts, as soon as the process has written it.
func (p *process) await(texts ...string) string {
	p.t.Helper()
	expired := time.After(patience)
	gone := false
	for {
		lines, grown := p.Lines()
		line, found := find(lines, texts)
		switch {
		case found:
			return line
		case gone:
			p.t.Fatalf("%s ended (%v) without having written %q", p.name, p.State(), texts)
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
	if err := p.Signal(s); err != nil {
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
	return p.State()
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
