package beat

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/seri-queue/seri/internal/store"
)

// alter changes the record of the schedule "s" behind the beats' backs.
func (f *fakeRecords) alter(change func(r *store.ScheduleRecord)) {
	f.with(func() {
		r := ref{"default", "s"}
		record := f.records[r]
		change(&record)
		f.records[r] = record
	})
}

func TestAnEditOfAScheduleThatHasEndedDoesNotStartItAnew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		limited := func(limit, retries int) Schedule {
			return every(t, "s", "@every 10s", func(s *Schedule) { s.Limit, s.Task.MaxRetries = limit, retries })
		}
		_ = of(t, f, limited(2, 1)).leadFor(t, 1, time.Minute)

		_ = of(t, f, limited(2, 2)).leadFor(t, 2, time.Millisecond)

		if next := f.records[ref{"default", "s"}].Next; !next.IsZero() || len(f.fired) != 2 {
			t.Errorf("after %d of two ticks and an edit the next one is %v", len(f.fired), next)
		}
		_ = of(t, f, limited(3, 2)).leadFor(t, 3, time.Minute)
		if len(f.fired) != 3 {
			t.Errorf("%d ticks with a limit that was raised to three", len(f.fired))
		}
		_ = of(t, f, limited(0, 2)).leadFor(t, 4, time.Minute+time.Millisecond)
		if len(f.fired) != 9 {
			t.Errorf("%d ticks after a minute without a limit, want six more", len(f.fired))
		}
		noDoubles(t, f, 10*time.Millisecond)
	})
}

func TestAnEditAfterAPauseGoesOnWithTheNextTick(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		retried := func(retries int) Schedule {
			return every(t, "s", "@every 10m", func(s *Schedule) { s.Catchup, s.Task.MaxRetries = CatchupAll, retries })
		}
		_ = of(t, f, retried(1)).leadFor(t, 1, time.Millisecond)
		f.alter(func(r *store.ScheduleRecord) { r.Paused, r.ByItself = true, true })
		time.Sleep(35 * time.Minute)

		_ = of(t, f, retried(2)).leadFor(t, 2, 10*time.Minute)

		if len(f.fired) != 1 || len(f.passed) != 0 {
			t.Errorf("fired %v, passed over %v, want the one tick after the pause", f.ids(), f.passed)
		}
	})
}
