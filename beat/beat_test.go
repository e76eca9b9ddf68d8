package beat

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/schedule"
	"github.com/seri-queue/seri/internal/store"
)

// fakeTicks keeps schedules as the store does, in memory.
type fakeTicks struct {
	next     map[string]time.Time
	revision map[string]string
	fired    []store.Tick
	at       []time.Time
	planErr  error
	moved    int // so many times a fire finds that another beat was first
}

func newFakeTicks() *fakeTicks {
	return &fakeTicks{next: make(map[string]time.Time), revision: make(map[string]string)}
}

func (f *fakeTicks) Plan(_ context.Context, _ keys.Queue, id, revision string, next time.Time, _ uint64) (time.Time, error) {
	if f.planErr != nil {
		return time.Time{}, f.planErr
	}
	if f.revision[id] != revision {
		f.next[id], f.revision[id] = next, revision
	}
	return f.next[id], nil
}

func (f *fakeTicks) Fire(_ context.Context, _ keys.Queue, tick store.Tick) (store.Fired, error) {
	if f.moved > 0 {
		f.moved--
		f.next[tick.Schedule] = tick.Next
		return store.TickMoved, nil
	}
	if !f.next[tick.Schedule].Equal(tick.Expected) {
		return store.TickMoved, nil
	}
	f.next[tick.Schedule] = tick.Next
	f.fired = append(f.fired, tick)
	f.at = append(f.at, time.Now())
	return store.TickEnqueued, nil
}

func (f *fakeTicks) ids() (ids []string) {
	for _, tick := range f.fired {
		if !tick.Skip {
			ids = append(ids, tick.Task.ID)
		}
	}
	return ids
}

func every(t *testing.T, id, spec string) Schedule {
	t.Helper()
	m, err := seri.NewMessage("report", []byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewSchedule(id, spec, nil, m)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// leader returns a beat in the bubble's time.
func leader(ticks ticks, schedules ...Schedule) *Beat {
	return &Beat{
		config:    Config{Logger: slog.New(slog.DiscardHandler)},
		schedules: schedules,
		ticks:     ticks,
		now:       func(context.Context) (time.Time, error) { return time.Now(), nil },
	}
}

func TestEachTickIsFiredOnceAndNotEarly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ticks := newFakeTicks()
		b := leader(ticks, every(t, "often", "@every 10s"), every(t, "hourly", "0 * * * *"))
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Hour+time.Second)
		defer cancel()

		err := b.lead(ctx, 1)

		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		if got, want := len(ticks.fired), 720+2; got != want {
			t.Errorf("%d ticks in two hours, want %d", got, want)
		}
		seen := make(map[string]bool)
		for i, id := range ticks.ids() {
			if seen[id] {
				t.Errorf("%s fired twice", id)
			}
			seen[id] = true
			if late := ticks.at[i].Sub(ticks.fired[i].Expected); late < 0 || late > 10*time.Millisecond {
				t.Errorf("%s fired %v after its time", id, late)
			}
		}
	})
}

func TestMissedTicks(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		spec    string
		missed  time.Duration // how long nobody has led
		fired   int           // at once
		skipped int
	}{
		"the latest one is made up for, alone":            {"@every 1m", 10 * time.Minute, 1, 0},
		"also after a long time, if it is recent":         {"@every 1m", 100 * time.Hour, 1, 0},
		"one that is older than an hour is skipped":       {"0 0 * * *", 30 * time.Hour, 0, 1},
		"nothing is made up for if nothing was missed":    {"0 0 1 1 *", time.Hour, 0, 0},
		"one that was missed by half an hour is made up":  {"@every 24h", 24*time.Hour + 30*time.Minute, 1, 0},
		"one that was missed by two hours is skipped too": {"@every 24h", 26 * time.Hour, 0, 1},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ticks := newFakeTicks()
				b := leader(ticks, every(t, "s", c.spec))
				p := &planned{Schedule: b.schedules[0], queue: "default", revision: revision(b.schedules[0])}
				if err := b.plan(t.Context(), p, time.Now(), 1); err != nil { // by the former leader
					t.Fatal(err)
				}
				time.Sleep(c.missed)
				ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
				defer cancel()

				_ = b.lead(ctx, 2)

				skipped := len(ticks.fired) - len(ticks.ids())
				if len(ticks.ids()) != c.fired || skipped != c.skipped {
					t.Errorf("fired %v and skipped %d, want %d and %d", ticks.ids(), skipped, c.fired, c.skipped)
				}
				if next := ticks.next["s"]; !next.After(time.Now()) {
					t.Errorf("next tick %v is not after now, %v", next, time.Now())
				}
			})
		})
	}
}

func TestATickThatAnotherBeatHasFiredIsLeftAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ticks := newFakeTicks()
		ticks.moved = 1
		ctx, cancel := context.WithTimeout(t.Context(), 25*time.Second)
		defer cancel()

		_ = leader(ticks, every(t, "s", "@every 10s")).lead(ctx, 1)

		if len(ticks.fired) != 1 {
			t.Errorf("fired %v, want only the second tick", ticks.ids())
		}
	})
}

func TestAFencedLeaderStops(t *testing.T) {
	t.Parallel()
	ticks := newFakeTicks()
	ticks.planErr = &seri.FencedError{TaskID: "s", Held: 1}

	err := leader(ticks, every(t, "s", "@every 10s")).lead(t.Context(), 1)

	if _, ok := errors.AsType[*seri.FencedError](err); !ok {
		t.Errorf("lead: %v, want a FencedError", err)
	}
}

func TestAScheduleThatChangedIsPlannedAnew(t *testing.T) {
	t.Parallel()
	was, is := every(t, "s", "@every 10s"), every(t, "s", "@every 20s")
	moved := is
	moved.Task.Queue = "other"

	if revision(was) == revision(is) || revision(is) == revision(moved) {
		t.Error("a change of the spec or of the queue keeps the revision")
	}
	if revision(is) != revision(every(t, "s", "@every 20s")) {
		t.Error("the same definition has two revisions")
	}
}

func TestNewListsEveryDoubleID(t *testing.T) {
	t.Parallel()
	s := every(t, "s", "@every 10s")
	r := every(t, "r", "@every 10s")

	_, err := New(nil, []schedule.Schedule{s, s, r, r}, Config{})

	if err == nil || !strings.Contains(err.Error(), `"s"`) || !strings.Contains(err.Error(), `"r"`) {
		t.Errorf("New: %v, want both ids named", err)
	}
}
