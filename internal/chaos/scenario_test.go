package chaos_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// scenario says what runs for how long, and what goes wrong.
type scenario struct {
	name   string
	redis  string // "": one server; replica: with one replica; sentinel: three servers and three Sentinels; cluster: three and three
	length time.Duration
	lap    uint64 // of a soak: added to the seed

	workers, slots int
	producers      int
	rate           int // tasks a second, of all producers
	mix            string
	beats          int
	lockers        int
	watchers       int
	slow           int // of the watchers
	poison         int // tasks that end their worker's process

	tracks   []track
	act      func(ctx context.Context, r *rig) error // beside the tracks
	apiFlags []string

	quiet  bool // nothing happens that could cost a lease
	synced bool // Redis syncs every write before it answers
	clocks bool // Redis' clock is moved
	drifts bool // the roles' clocks are wrong
	probed bool // the structure is looked at while everything runs
	floors floors

	library string // that makes clocks of roles wrong
}

// floors are the least that must have happened: a run in which nothing went wrong shows nothing.
type floors struct {
	tasks, faults, fenced, ticks, operations, reconnects, conflated, hostile, knocks, cutBytes int
}

func (f floors) check(got *figures) (faults []string) {
	for _, c := range []struct {
		what       string
		got, floor int
	}{
		{"tasks", got.Tasks, f.tasks}, {"faults", got.faults(), f.faults}, {"zombies refused", got.Fenced, f.fenced},
		{"ticks", got.Ticks, f.ticks}, {"operations of locks", got.Operations, f.operations}, {"reconnects", got.Reconnects, f.reconnects},
		{"events of progress left out for slow watchers", got.Conflated, f.conflated},
		{"hostile inputs", got.Hostile, f.hostile}, {"viewers that came back", got.Knocks, f.knocks}, {"bytes that were not synced", got.CutBytes, f.cutBytes},
	} {
		if c.got < c.floor {
			faults = append(faults, fmt.Sprintf("vacuous: %d %s, want at least %d", c.got, c.what, c.floor))
		}
	}
	return faults
}

// drainPatience is how long tasks may take to end once all is well again: ten leases, and the back-off of at most 4 s
// after a second crash.
const drainPatience = 10*leaseLength + 4*time.Second

// run carries a scenario out and returns its figures, with what is wrong in Violations.
func (s scenario) run(t *testing.T, seed uint64) *figures {
	t.Helper()
	patience := drainPatience
	if s.clocks || s.synced {
		requireCompiler(t)
	}
	if s.clocks {
		patience += clockAhead
	}
	if s.drifts {
		s.library = requireRoleClocks(t)
	}
	begun := time.Now()
	r := newRig(t, s, seed)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if s.probed {
		r.startProbe()
	}
	poisoned := make(chan struct{})
	go func() {
		r.givePoison(ctx, s.poison, s.length, seed)
		close(poisoned)
	}()
	var wrong []string
	fail := func(what string, err error) {
		if err != nil {
			wrong = append(wrong, what+": "+err.Error())
		}
	}
	acted := make(chan error, 1)
	go func() {
		if s.act == nil {
			acted <- nil
			return
		}
		acted <- s.act(ctx, r)
	}()
	r.nemesis.run(ctx, seed, s.tracks, s.length)
	fail(s.name, <-acted)
	<-poisoned

	wrong = append(wrong, r.probe.stop()...)
	if !s.quiet {
		fail("I12: heal", r.heal())
	}
	f := r.figures
	f.Scenario, f.Seed, f.Faults = s.name, seed, r.nemesis.counts
	if s.beats > 1 && !s.quiet && !s.clocks {
		fail("I12", r.takeOver())
	}
	r.rest()
	wrong = append(wrong, r.compareVitals("producer", "locker", "beat")...)
	took, err := r.drain(patience)
	fail(fmt.Sprintf("I12: tasks are left %v after all is well again", patience), err)
	f.Drain = took.Seconds()
	fail("I8", r.settleWatchers(ctx))
	wrong = append(wrong, r.compareVitals("worker", "api")...)
	r.fleet.end()
	for _, err := range r.nemesis.errs {
		fail("nemesis", err)
	}
	h, err := r.collect(context.WithoutCancel(ctx), f)
	if err != nil {
		t.Fatal(err)
	}
	if r.probe != nil {
		f.Looks = r.probe.looks
	}
	f.Violations = append(wrong, h.check()...)
	f.Recovery = h.recoveries()
	f.settle()
	f.Seconds = time.Since(begun).Seconds()
	return f
}

// settleWatchers lets the watchers come to the end of their streams, and stops them.
func (r *rig) settleWatchers(ctx context.Context) error {
	defer r.stopWatchers()
	rdb := r.client()
	defer rdb.Close()
	for _, w := range r.watchers {
		close(w.hurry)
	}
	for _, w := range r.watchers {
		last, err := lastPosition(ctx, rdb, w.queue.Events())
		if err != nil {
			return err
		}
		if err := w.catchUp(last, time.Minute); err != nil {
			return err
		}
	}
	return nil
}

// lastPosition returns the position of the last event of a stream.
func lastPosition(ctx context.Context, rdb redis.UniversalClient, stream string) (string, error) {
	entries, err := rdb.XRevRangeN(ctx, stream, "+", "-", 1).Result()
	if err != nil || len(entries) == 0 {
		return "", err
	}
	text, _ := entries[0].Values["e"].(string)
	return fmt.Sprintf("%s:%d", entries[0].ID, eventsIn(text)-1), nil
}

// chosenSeed returns the seed that was asked for, or a new one.
func chosenSeed(t *testing.T) uint64 {
	n := *seed
	if n == 0 {
		n = rand.Uint64N(1 << 32)
	}
	t.Logf("seed %d (to repeat the plan of faults: -seed=%d)", n, n)
	return n
}
