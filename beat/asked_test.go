package beat

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/seri-queue/seri/internal/store"
)

// Somebody has asked for a tick, which waits for the task of an earlier one: it starts when that has ended, also while the
// schedule is paused, or pauses itself, and when it has come to its limit. The other ticks that wait with it do not.
func TestATickThatWasAskedForStartsWhenItsTurnHasCome(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*store.ScheduleRecord)
		limit  int
		pause  int // after so many failures; the task that it waits for fails
	}{
		"while the schedule is paused":                                      {func(r *store.ScheduleRecord) { r.Paused = true }, 0, 0},
		"when the schedule has come to its limit":                           {func(r *store.ScheduleRecord) { r.Runs, r.Next = 1, time.Time{} }, 1, 0},
		"when it is paused and has come to its limit":                       {func(r *store.ScheduleRecord) { r.Runs, r.Next, r.Paused = 1, time.Time{}, true }, 1, 0},
		"when its limit was lowered and it has a tick":                      {func(r *store.ScheduleRecord) { r.Runs = 1 }, 1, 0},
		"when the schedule pauses itself at the turn of the tick before it": {func(*store.ScheduleRecord) {}, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newFake()
				s := every(t, "s", "@every 1h", func(s *Schedule) {
					s.Overlap, s.Limit, s.PauseAfter, s.ExpiresAfter = OverlapBufferAll, c.limit, c.pause, 5*time.Second
				})
				_ = of(t, f, s).leadFor(t, 1, time.Millisecond)
				now := time.Now().Truncate(time.Second)
				f.alter(func(r *store.ScheduleRecord) {
					r.LastTask, r.Last = "runs", now.Add(-time.Hour)
					r.Waiting = []store.Waiting{{Tick: now.Add(-2 * time.Minute)}, {Tick: now.Add(-time.Minute), Asked: true}}
					c.change(r)
				})
				f.running["runs"] = true
				go func() {
					time.Sleep(12 * time.Second)
					f.with(func() {
						clear(f.running)
						f.failed = c.pause
					})
				}()

				_ = of(t, f, s).leadFor(t, 2, 30*time.Second)

				if len(f.fired) != 1 || !f.fired[0].Tick.Equal(now.Add(-time.Minute)) {
					t.Fatalf("fired %v, want the tick that was asked for", f.ids())
				}
				if waited := f.at[0].Sub(now); waited < 12*time.Second || waited > 13*time.Second {
					t.Errorf("it started after %v, want 12s", waited)
				}
				if left := f.fired[0].Task.Expires.Sub(f.at[0]); left < 4*time.Second {
					t.Errorf("its task expires %v after it was enqueued", left)
				}
			})
		})
	}
}
