package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/wire"
)

// guard is a protector that notes when it is asked, by the time since it was made.
type guard struct {
	born time.Time
	do   func(ctx context.Context) error // nil: all goes well

	mu    sync.Mutex
	calls []string
}

func (g *guard) note(ctx context.Context, format string, args ...any) error {
	g.mu.Lock()
	g.calls = append(g.calls, fmt.Sprintf("%v: ", time.Since(g.born))+fmt.Sprintf(format, args...))
	do := g.do
	g.mu.Unlock()
	if do != nil {
		return do(ctx)
	}
	return nil
}

func (g *guard) Protect(ctx context.Context, d time.Duration) error {
	return g.note(ctx, "protect for %v", d)
}
func (g *guard) Release(ctx context.Context) error { return g.note(ctx, "release") }

func (g *guard) asked() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.calls)
}

// act forgets what it was asked for, and does from now on as it is told.
func (g *guard) act(do func(ctx context.Context) error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.do, g.calls = do, nil
}

func (g *guard) want(t *testing.T, calls ...string) {
	t.Helper()
	if got := g.asked(); !slices.Equal(got, calls) {
		t.Errorf("asked\n%q, want\n%q", got, calls)
	}
}

// guarded runs do in a bubble, with a protection of an engine that has slots, and with what starts a task that takes a
// while. The clock begins half a second beside that of the looks.
func guarded(t *testing.T, most time.Duration, do func(g *guard, log *journal, start func(typ string, limit, takes time.Duration))) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s, r, outcomes := newTestSlots(20, grace)
		log := &journal{}
		g := &guard{born: time.Now()}
		e := &Engine{Config: Config{Protector: g, ProtectFor: most, Grace: grace}}
		n := 0
		start := func(typ string, limit, takes time.Duration) {
			n++
			lease := leaseOf("q", fmt.Sprint(n))
			lease.Message = wire.Message{ID: fmt.Sprint(n), Type: typ, Timeout: int64(limit / time.Second)}
			a := take(r, lease, &seri.Handler{Type: typ, Run: func(ctx context.Context, _ []byte) ([]byte, error) {
				select {
				case <-time.After(takes):
				case <-ctx.Done():
				}
				return nil, nil
			}}, time.Now(), 100*24*time.Hour)
			s.release(-1)
			s.start([]*attempt{a})
		}
		go func() {
			for o := range outcomes {
				r.remove(o.attempt)
			}
		}()
		during(t, e.protection(r, log.logger()), func(context.Context) {
			time.Sleep(500 * time.Millisecond)
			do(g, log, start)
		})
		for _, attempts := range r.byQueue() { // so that nobody is left in the bubble
			for _, a := range attempts {
				a.cancel(seri.ErrStopping)
			}
		}
		synctest.Wait()
		close(outcomes)
		r.stop()
	})
}

func TestAWorkerIsProtectedWhileATaskRunsThatMayOutlastTheGracePeriod(t *testing.T) {
	t.Parallel()
	guarded(t, 2*time.Hour, func(g *guard, _ *journal, start func(string, time.Duration, time.Duration)) {
		start("report", 30*time.Minute, 5*time.Minute)
		time.Sleep(10 * time.Minute)
		// From the age of 10 s on, until 2 minutes beyond its time limit; and not at once when it has ended.
		g.want(t, "11s: protect for 31m49.5s", "5m11s: release")

		g.act(nil) // another one of the type is known to take long
		start("report", 30*time.Minute, 5*time.Minute)
		time.Sleep(10 * time.Minute)
		g.want(t, "10m1s: protect for 31m59.5s", "15m11s: release")
	})
}

func TestNobodyIsAskedForTasksThatTheGracePeriodIsLongEnoughFor(t *testing.T) {
	t.Parallel()
	for sentence, c := range map[string]struct{ limit, takes time.Duration }{
		"because of their time limit":      {20 * time.Second, 19 * time.Second},
		"because they are as short as all": {30 * time.Minute, 3 * time.Second},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			guarded(t, 2*time.Hour, func(g *guard, _ *journal, start func(string, time.Duration, time.Duration)) {
				for range 100 {
					start("mail", c.limit, c.takes)
					time.Sleep(time.Second)
				}
				g.want(t)
			})
		})
	}
}

func TestTheLastPartOfATaskNeedsNoProtection(t *testing.T) {
	t.Parallel()
	guarded(t, 2*time.Hour, func(g *guard, _ *journal, start func(string, time.Duration, time.Duration)) {
		start("report", time.Minute, 59*time.Second)
		time.Sleep(2 * time.Minute)
		// Its limit comes 25 s after 35.5 s: from then on it ends within the grace period, and 10 s later that is told.
		g.want(t, "11s: protect for 2m49.5s", "46s: release")
	})
}

func TestTasksInARowShareAProtection(t *testing.T) {
	t.Parallel()
	guarded(t, 10*time.Hour, func(g *guard, _ *journal, start func(string, time.Duration, time.Duration)) {
		for range 20 {
			start("report", 30*time.Minute, 5*time.Minute)
			time.Sleep(5*time.Minute + 4*time.Second)
		}
		time.Sleep(time.Minute)
		// Renewed when less than 2 minutes are left of it, and not for each task.
		g.want(t, "11s: protect for 31m49.5s", "30m1s: protect for 27m19.5s", "55m21s: protect for 27m19.5s", "1h20m41s: protect for 27m19.5s", "1h41m27s: release")
	})
}

func TestAHoldEndsAfterItsLongestTime(t *testing.T) {
	t.Parallel()
	guarded(t, time.Hour, func(g *guard, log *journal, start func(string, time.Duration, time.Duration)) {
		start("video", 24*time.Hour, 3*time.Hour)
		time.Sleep(4 * time.Hour)
		// An hour, 5 minutes without, an hour, and so on: it lapses by itself, and a deployment gets its turn.
		g.want(t, "11s: protect for 1h0m0s", "1h5m11s: protect for 1h0m0s", "2h10m11s: protect for 1h0m0s", "3h0m11s: release")
		if !log.has("held for as long as it may be") {
			t.Errorf("the log does not tell:\n%s", log.text.String())
		}
	})
}

func TestWhoProtectsMayFailWithoutHarm(t *testing.T) {
	t.Parallel()
	guarded(t, 2*time.Hour, func(g *guard, log *journal, start func(string, time.Duration, time.Duration)) {
		g.act(func(context.Context) error { return errors.New("ThrottlingException: Rate exceeded") })
		start("report", time.Hour, 50*time.Minute)
		time.Sleep(30 * time.Minute)
		if n := len(g.asked()); n < 8 || n > 18 {
			t.Errorf("asked %d times within half an hour: %q", n, g.asked())
		}
		if text := log.text.String(); strings.Count(text, "not protected") != 1 || !log.has("Rate exceeded") {
			t.Errorf("the log should tell once:\n%s", text)
		}
		g.act(nil)
		time.Sleep(10 * time.Minute)
		if got := g.asked(); len(got) != 1 {
			t.Errorf("asked %q once it could", got)
		}
	})
}

func TestProtectionIsReleasedWhenTheWorkerEnds(t *testing.T) {
	t.Parallel()
	var kept *guard
	guarded(t, 2*time.Hour, func(g *guard, _ *journal, start func(string, time.Duration, time.Duration)) {
		kept = g
		start("report", time.Hour, 50*time.Minute)
		time.Sleep(time.Minute)
		g.act(func(ctx context.Context) error { // who does not answer does not hold the end up for long
			<-ctx.Done()
			return context.Cause(ctx)
		})
	})
	kept.want(t, "1m0.5s: release")
}
