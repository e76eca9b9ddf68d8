package chaos_test

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// Faults of clocks: F9. Redis' clock is the one that counts, so it is the one that is moved.

// clock is what a Redis server takes for the time.
type clock struct{ file string }

// set moves the clock by an offset from the machine's.
func (c *clock) set(offset time.Duration) error {
	// In place: the server has mapped the file.
	file, err := os.OpenFile(c.file, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer file.Close()
	return binary.Write(file, binary.NativeEndian, offset.Microseconds())
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
	c = &clock{filepath.Join(dir, "clock.offset")}
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
