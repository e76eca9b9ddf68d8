package beat

import (
	"testing"
	"testing/synctest"
	"time"
)

// under makes a beat one of those that elect their leader by another lock.
func (b *Beat) under(lock string) *Beat {
	b.config.Lock = lock
	return b
}

func firedBySchedule(f *fakeRecords) map[string]int {
	n := make(map[string]int)
	f.with(func() {
		for _, tick := range f.fired {
			n[tick.Schedule]++
		}
	})
	return n
}

func TestSchedulesFollowTheirBeatsToALockOfAnotherName(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		s := every(t, "s", "@every 10s")
		_ = of(t, f, s).leadFor(t, 1, 25*time.Second)

		err := of(t, f, s).under("renamed").leadFor(t, 1, 20*time.Second)

		if firedBySchedule(f)["s"] != 4 {
			t.Errorf("%d ticks in 45 s, the last 20 s under a lock of another name: %v", firedBySchedule(f)["s"], err)
		}
		if lock := f.records[ref{"default", "s"}].Lock; lock != "renamed" {
			t.Errorf("the schedule is that of beats under %q", lock)
		}
		noDoubles(t, f, 10*time.Millisecond)
	})
}

// Two sets of beats have a schedule of the same ID in one queue: those who have it keep it while they live, and the
// others' schedules tick none the less.
func TestAScheduleOfOtherBeatsIsLeftToThemWhileTheyLive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		theirs := every(t, "both", "@every 10s", func(s *Schedule) { s.Task.Type = "theirs" })
		_ = of(t, f, theirs).leadFor(t, 1, time.Millisecond)
		f.leaders = map[string]bool{"beat": true}
		go func() {
			time.Sleep(time.Minute)
			f.with(func() {
				if len(f.fired) == 0 {
					t.Error("one schedule of other beats keeps all from ticking")
				}
				for _, tick := range f.fired {
					if tick.Schedule == "both" {
						t.Errorf("%s was fired by the wrong beats", tick.Task.ID)
					}
				}
				f.leaders = nil // they are gone
			})
		}()

		_ = of(t, f, every(t, "both", "@every 10s"), every(t, "own", "@every 10s")).under("others").leadFor(t, 1, 2*time.Minute+time.Millisecond)

		if n := firedBySchedule(f); n["own"] != 12 || n["both"] < 5 {
			t.Errorf("ticks: %v, want those of own in two minutes and of both in the last one", n)
		}
	})
}

func TestARefusedPlanIsTriedAgainWhileTheOthersTick(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.refuse = 1

		_ = of(t, f, every(t, "a", "@every 10s"), every(t, "b", "@every 10s")).leadFor(t, 1, time.Minute+time.Millisecond)

		if n := firedBySchedule(f); n["a"] != 6 || n["b"] != 6 {
			t.Errorf("ticks: %v, want six of each", n)
		}
	})
}
