package chaos_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Faults of clocks: F9. Redis' clock is the one that counts, and may be moved; those of the roles must not count at all.

// clock is what a Redis server, or a role, takes for the time.
type clock struct {
	file string
	unit time.Duration // of the number in the file
}

// set moves the clock by an offset from the machine's.
func (c *clock) set(offset time.Duration) error {
	// In place: the server has mapped the file.
	file, err := os.OpenFile(c.file, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer file.Close()
	return binary.Write(file, binary.NativeEndian, int64(offset/c.unit))
}

// requireCompiler skips the test, loudly, where nothing can be put under Redis: neither a clock nor a disk.
func requireCompiler(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("cc"); err != nil || runtime.GOOS != "linux" {
		t.Skip("NOT TESTED: clocks that jump, and disks that tell what has reached them, need Linux and a C compiler (apt-get install gcc)")
	}
}

// newClock returns a clock, and a program that is redis-server with it.
func newClock(dir, server string) (c *clock, program string, err error) {
	c = &clock{filepath.Join(dir, "clock.offset"), time.Microsecond}
	if err := c.set(0); err != nil {
		return nil, "", err
	}
	program, err = preload(dir, "clock", server, "SERI_CLOCK="+c.file)
	return c, program, err
}

// jumpClock moves the clock by an hour back, or by ten seconds either way, and after a while back to where it was. An hour
// forward and back would leave retries and leases an hour ahead, which is what such a clock asks for.
func jumpClock(ctx context.Context, r *rig, random *rand.Rand, _ *window) (int, error) {
	if err := r.clock.set(pickOne(random, []time.Duration{-time.Hour, -10 * time.Second, clockAhead})); err != nil {
		return 0, err
	}
	rest(ctx, between(random, 500*time.Millisecond, 2*time.Second))
	return 1, r.clock.set(0)
}

// clockAhead is how far the clock is ahead at most; what became due then may be due so much later when it is back.
const clockAhead = 10 * time.Second

// drift is by how many millionths the clocks of roles run fast or slow: one in a hundred.
const drift = 10_000

// requireRoleClocks compiles what makes clocks of processes wrong, and returns the library. It skips the test, loudly, where
// that has no effect.
func requireRoleClocks(t *testing.T) (library string) {
	t.Helper()
	requireCompiler(t)
	dir := t.TempDir()
	library, err := compile(dir, "vdso")
	if err != nil {
		t.Fatal(err)
	}
	c := &clock{filepath.Join(dir, "offset"), time.Nanosecond}
	if err := c.run(0); err != nil {
		t.Fatal(err)
	}
	if err := c.set(time.Hour); err != nil {
		t.Fatal(err)
	}
	m := &member{part: part{Role: "clock", Dir: dir, Clock: c.file, Library: library}, dir: dir}
	if err := m.startOnce(); err != nil {
		t.Fatal(err)
	}
	<-m.current().Exited
	m.watched.Wait()
	if said := strings.TrimSpace(m.current().Output()); said != time.Hour.String() {
		t.Skipf("NOT TESTED: roles whose clocks are wrong. A clock that is an hour ahead was ahead by %q: this needs Linux on amd64 or arm64, glibc, and cgo", said)
	}
	return library
}

// tellClock says by how much this process' clock is ahead of the machine's.
func tellClock() {
	fmt.Println((time.Duration(time.Now().UnixMicro()-trueNow()) * time.Microsecond).Round(time.Second))
}

// trueNow returns the machine's time in Unix µs, also in a process whose clocks are wrong.
func trueNow() int64 {
	var now syscall.Timeval
	_ = syscall.Gettimeofday(&now) // it cannot fail
	return now.Nano() / 1000
}

// run makes a clock of a role that is right, and runs so many millionths too fast from the process' beginning on.
func (c *clock) run(fast int64) error {
	return os.WriteFile(c.file, binary.NativeEndian.AppendUint64(make([]byte, 8), uint64(fast)), 0o644)
}

// jumpRoleClock moves the time of day of one process by up to an hour, and lets it be right again, or not.
func jumpRoleClock(ctx context.Context, r *rig, random *rand.Rand, _ *window) (int, error) {
	m := pickOne(random, slices.DeleteFunc(slices.Clone(r.fleet.members), func(m *member) bool { return m.part.Clock == "" }))
	m.busy.Lock()
	defer m.busy.Unlock()
	c := &clock{m.part.Clock, time.Nanosecond}
	by := pickOne(random, []time.Duration{time.Hour, 5 * time.Minute, 10 * time.Second})
	if random.IntN(2) == 0 {
		by = -by
	}
	if err := c.set(by); err != nil {
		return 0, err
	}
	rest(ctx, between(random, 200*time.Millisecond, time.Second))
	if random.IntN(2) == 0 {
		return 2, c.set(0)
	}
	return 1, nil
}
