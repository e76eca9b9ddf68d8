package beat

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seri-queue/seri/internal/store"
)

func TestTicksAreMadeReadyBeforeTheyAreDue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const n = 300 // several portions
		f := newFake()
		var schedules []Schedule
		for i := range n {
			schedules = append(schedules, every(t, fmt.Sprintf("s%d", i), "@every 10s"))
		}
		l := of(t, f, schedules...).leader(1)
		if err := l.begin(t.Context()); err != nil {
			t.Fatal(err)
		}
		tick := time.Now().Truncate(10 * time.Second).Add(10 * time.Second)
		prepare := func(early time.Duration) (ready int) {
			time.Sleep(time.Until(tick.Add(-early)))
			for portions := 0; l.prepare(l.clock.now(), tick); portions++ {
				if portions > n/portion+1 {
					t.Fatal("there is no end to it")
				}
			}
			for _, e := range l.entries {
				if e.ready != nil {
					ready++
				}
			}
			return ready
		}

		if got := prepare(ahead + time.Millisecond); got != 0 {
			t.Errorf("%d ticks are ready too soon", got)
		}
		if got := prepare(ahead / 2); got != n {
			t.Errorf("%d ticks are ready, want %d", got, n)
		}
		// Changed in the last moment: what was made ready is what Redis refuses, and is made anew.
		changed, err := declare([]Schedule{every(t, "s7", "@every 10s", func(s *Schedule) { s.Task.Type = "changed" })})
		if err != nil {
			t.Fatal(err)
		}
		r := ref{"default", "s7"}
		record, d := f.records[r], changed[r]
		record.Definition, record.Revision, record.Origin = d.definition, d.revision, store.OriginAPI
		f.records[r] = record
		time.Sleep(time.Until(tick))
		for range 2 {
			now := l.clock.now()
			if err := l.fire(t.Context(), l.agenda.take(now, n), now); err != nil {
				t.Fatal(err)
			}
		}

		if len(f.fired) != n || l.agenda.next().Before(tick.Add(10*time.Second)) {
			t.Errorf("%d ticks were fired, and the next is due at %v", len(f.fired), l.agenda.next())
		}
		for _, k := range f.fired {
			if changed := k.Task.Type == "changed"; changed != (k.Schedule == "s7") || !k.Tick.Equal(tick) {
				t.Errorf("fired %s of %v, a %s", k.Task.ID, k.Tick, k.Task.Type)
			}
		}
		noDoubles(t, f, 2*time.Millisecond)
	})
}
