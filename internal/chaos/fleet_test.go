package chaos_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/seri-queue/seri/internal/proctest"
)

// member is one place in the fleet: a process that is started again whenever it ends, as an orchestrator would, and the
// proxy through which it reaches Redis (nil: it goes there itself).
type member struct {
	part  part
	proxy *proxy
	dir   string

	mu      sync.Mutex
	process *proctest.Process
	born    time.Time
	ending  bool
	watched sync.WaitGroup
	busy    sync.Mutex // held by the one fault that is about this member
}

// fleet is all processes of a run.
type fleet struct {
	members []*member
}

// role returns the members that play it.
func (f *fleet) role(name string) []*member {
	return slices.DeleteFunc(slices.Clone(f.members), func(m *member) bool { return m.part.Role != name })
}

// mortal returns the members of a role that may be killed: all but the first, where there are others enough. That one
// lives through the whole run, so that what leaks shows.
func (f *fleet) mortal(name string) []*member {
	all := f.role(name)
	if len(all) > 3 || len(all) > 2 && name == "beat" {
		return all[1:]
	}
	return all
}

// add starts a process and keeps it running.
func (f *fleet) add(dir string, p part, x *proxy) (*member, error) {
	m := &member{part: p, proxy: x, dir: dir}
	if err := m.launch(); err != nil {
		return nil, err
	}
	f.members = append(f.members, m)
	m.watched.Go(m.watch)
	return m, nil
}

// startOnce starts the process, and does not start it again when it has ended.
func (m *member) startOnce() error {
	m.ending = true
	if err := m.launch(); err != nil {
		return err
	}
	m.watched.Go(m.watch)
	return nil
}

// launch starts the process. To be called by watch only, or before it.
func (m *member) launch() error {
	encoded, err := json.Marshal(m.part)
	if err != nil {
		return err
	}
	env := []string{partVariable + "=" + string(encoded)}
	if m.part.Clock != "" {
		env = append(env, "SERI_CLOCK="+m.part.Clock, "LD_PRELOAD="+m.part.Library)
	}
	process, err := proctest.Start(proctest.Command{Env: env, Dir: m.dir, Keep: 300})
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.process, m.born = process, time.Now()
	return nil
}

// watch starts the process again when it ends, and keeps what it wrote.
func (m *member) watch() {
	for {
		m.mu.Lock()
		process := m.process
		m.mu.Unlock()
		<-process.Exited
		m.keepLog(process)
		m.mu.Lock()
		ending := m.ending
		m.mu.Unlock()
		if ending {
			return
		}
		if err := m.launch(); err != nil {
			fmt.Fprintln(os.Stderr, "chaos: restart:", err)
			return
		}
	}
}

func (m *member) keepLog(p *proctest.Process) {
	path := filepath.Join(m.dir, fmt.Sprintf("%s.%d.log", m.part.Role, p.PID()))
	if err := os.WriteFile(path, []byte(p.Output()), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
	}
}

func (m *member) current() *proctest.Process {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.process
}

// age is how long the process has lived.
func (m *member) age() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return time.Since(m.born)
}

// kill is kill -9; watch starts another process.
func (m *member) kill() { m.current().Kill() }

// freeze stops the process, and returns what lets it go on: the same process, should there be another by then.
func (m *member) freeze() (thaw func()) {
	p := m.current()
	_ = p.Signal(syscall.SIGSTOP) // one that has just ended is replaced
	return func() { _ = p.Signal(syscall.SIGCONT) }
}

// arm sets a fail-point.
func (m *member) arm(script, action string) { _ = m.current().Tell(script + " " + action) }

// stopped reports whether the process is stopped by a signal.
func stopped(pid int) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(status), ") ")
	return strings.HasPrefix(rest, "T")
}

// end ends the process for good: at once, or in its own time.
func (m *member) end(kindly bool) {
	m.mu.Lock()
	m.ending = true
	p := m.process
	m.mu.Unlock()
	_ = p.Signal(syscall.SIGCONT)
	if kindly {
		_ = p.Signal(syscall.SIGTERM)
		select {
		case <-p.Exited:
		case <-time.After(10 * time.Second):
		}
	}
	p.Kill()
	m.watched.Wait()
}

// end ends all members, those that give work first.
func (f *fleet) end() {
	for _, role := range []string{"producer", "beat", "locker", "worker", "api"} {
		var ending sync.WaitGroup
		for _, m := range f.role(role) {
			ending.Go(func() { m.end(true) })
		}
		ending.Wait()
	}
}
