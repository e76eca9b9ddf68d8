package beat

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/permit"
	"github.com/seri-queue/seri/internal/store"
)

// in makes a schedule's tasks go to a queue.
func in(q string) func(*Schedule) { return func(s *Schedule) { s.Task.Queue = q } }

func TestAQueueThatIsDeniedDoesNotKeepOthersFromTicking(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		before, during func(t *testing.T, f *fakeRecords)
		declared       bool // the schedule in that queue is one of the beat's list
	}{
		"it has schedules before a beat leads": {
			before: func(t *testing.T, f *fakeRecords) {
				f.edit(t, "theirs", every(t, "denied", "@every 10s", in("theirs")), store.OriginAPI)
			},
		},
		"it gets one while a beat leads": {
			during: func(t *testing.T, f *fakeRecords) {
				f.edit(t, "theirs", every(t, "denied", "@every 10s", in("theirs")), store.OriginAPI)
			},
		},
		"it is one of the beat's own list": {declared: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newFake()
				f.denied = map[keys.Queue]bool{"theirs": true}
				schedules := []Schedule{every(t, "own", "@every 10s")}
				if c.declared {
					schedules = append(schedules, every(t, "denied", "@every 10s", in("theirs")))
				}
				if c.before != nil {
					c.before(t, f)
				}
				var log bytes.Buffer
				b := of(t, f, schedules...)
				b.config.Logger = slog.New(slog.NewTextHandler(&log, nil))
				go func() {
					time.Sleep(15 * time.Second)
					if c.during != nil {
						c.during(t, f)
					}
					time.Sleep(time.Minute)
					if n := b.meters.Denied.Load(); n != 1 {
						t.Errorf("%d queues are measured as denied", n)
					}
					f.with(func() {
						if len(f.served.Denied) != 1 || f.served.Denied[0] != "theirs" || !f.served.Until.After(f.now()) {
							t.Errorf("told %+v", f.served)
						}
						f.denied = nil // the rules are mended
					})
				}()

				err := b.leadFor(t, 1, 3*time.Minute+time.Millisecond)

				n := firedBySchedule(f)
				if n["own"] != 18 || n["denied"] < 6 || n["denied"] > 12 {
					t.Errorf("ticks in three minutes: %v, want 18 of the one and, of the other, those since the rules were mended: %v", n, err)
				}
				if told := strings.Count(log.String(), "level=ERROR"); told != 1 || !strings.Contains(log.String(), "queue=theirs") {
					t.Errorf("the log tells\n%s", &log)
				}
				if f.served.Denied != nil || b.meters.Denied.Load() != 0 {
					t.Errorf("in the end it is told %+v, and measured %d", f.served, b.meters.Denied.Load())
				}
			})
		})
	}
}

// Rules are taken away while a beat leads: the first call that is denied tells.
func TestAQueueThatIsDeniedMeanwhileIsLeftOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		go func() {
			time.Sleep(time.Minute)
			f.with(func() { f.denied = map[keys.Queue]bool{"theirs": true} })
		}()

		err := of(t, f, every(t, "own", "@every 10s"), every(t, "other", "@every 10s", in("theirs"))).leadFor(t, 1, 2*time.Minute+time.Millisecond)

		if n := firedBySchedule(f); n["own"] != 12 || n["other"] < 5 || n["other"] > 6 {
			t.Errorf("ticks %v, want 12 of own and 6 of other: %v", n, err)
		}
	})
}

// Several calls are under way at once: one is denied, and the schedules of its queue are dropped; then another lands.
func TestWhatLandsAfterItsQueueWasDeniedBringsNoScheduleBack(t *testing.T) {
	t.Parallel()
	for name, outcome := range map[string]store.Outcome{
		"a tick that is enqueued":               store.TickEnqueued,
		"a tick that waits":                     store.TickWaits,
		"a tick that is not due by Redis' time": store.TickEarly,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := of(t, newFake(), every(t, "s", "@every 10s", func(s *Schedule) { s.Overlap = OverlapBufferAll })).leader(1)
				if err := l.begin(t.Context()); err != nil {
					t.Fatal(err)
				}
				time.Sleep(10 * time.Second)
				now := l.clock.now()
				due := l.agenda.take(now, atOnce)
				if len(due) != 1 {
					t.Fatalf("%d schedules are due", len(due))
				}
				ticks, err := l.ticks(due[0], now)
				if err != nil {
					t.Fatal(err)
				}

				l.deny(t.Context(), "default", &permit.DeniedError{})
				err = l.settle(t.Context(), &call{queue: "default", ticks: ticks, of: due, fired: []store.Fired{
					{Outcome: outcome, Waiting: []store.Waiting{{Tick: ticks[0].Tick}}},
				}})

				if err != nil || len(l.agenda) != 0 || len(l.waiting) != 0 {
					t.Errorf("%d schedules are to tick and %d wait, want none: %v", len(l.agenda), len(l.waiting), err)
				}
				if n := l.beat.meters.Ticks.Enqueued.Load(); outcome == store.TickEnqueued && n != 1 {
					t.Errorf("%v ticks are counted, want the one", n)
				}
			})
		})
	}
}

// Each question is a round trip, and no schedule ticks meanwhile.
func TestOfManyQueuesThatAreDeniedFewAreAskedAboutAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const many = 8 * looks
		f := newFake()
		f.denied = make(map[keys.Queue]bool)
		for i := range many {
			q := fmt.Sprintf("theirs%d", i)
			f.denied[keys.Queue(q)] = true
			f.edit(t, keys.Queue(q), every(t, "denied", "@every 1h", in(q)), store.OriginAPI)
		}
		begun := time.Now()

		_ = of(t, f, every(t, "own", "@every 10s")).leadFor(t, 1, reviewEvery+many/looks*careEvery+2*careEvery)

		again, at := make(map[keys.Queue]int), make(map[time.Time]int)
		for i, q := range f.asked {
			if f.denied[q] && f.askedAt[i].After(begun) {
				again[q]++
				at[f.askedAt[i]]++
			}
		}
		if len(again) != many {
			t.Errorf("%d of %d queues are asked about again", len(again), many)
		}
		for when, n := range at {
			if n > looks {
				t.Errorf("after %v it is asked about %d queues at once, want %d at most", when.Sub(begun), n, looks)
			}
		}
	})
}

// A user who may do nothing at all in a queue cannot know whether it has schedules. Redis keeps a log of what it denies.
func TestAQueueThatMayNotBeReadIsLookedAtSeldom(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		before func(t *testing.T, f *fakeRecords)
		own    bool          // the beat's list has a schedule in it
		from   time.Duration // when the rules are taken away
		told   int           // in the log
	}{
		"it has no schedules": {
			before: func(_ *testing.T, f *fakeRecords) { f.empty = []keys.Queue{"theirs"} },
		},
		"it has schedules that nobody knows of": {
			before: func(t *testing.T, f *fakeRecords) {
				f.edit(t, "theirs", every(t, "other", "@every 10s", in("theirs")), store.OriginAPI)
			},
		},
		"its schedules were served before": {
			before: func(t *testing.T, f *fakeRecords) {
				f.edit(t, "theirs", every(t, "other", "@every 10s", in("theirs")), store.OriginAPI)
			},
			from: 15 * time.Second, told: 1,
		},
		"it is one of the beat's own list": {own: true, told: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newFake()
				schedules := []Schedule{every(t, "own", "@every 10s")}
				if c.own {
					schedules = append(schedules, every(t, "other", "@every 10s", in("theirs")))
				} else {
					c.before(t, f)
				}
				var log bytes.Buffer
				b := of(t, f, schedules...)
				b.config.Logger = slog.New(slog.NewTextHandler(&log, nil))
				hide := func() { f.hidden = map[keys.Queue]bool{"theirs": true} }
				if c.from == 0 {
					hide()
				}
				fired := 0 // before the rules are mended
				go func() {
					time.Sleep(c.from)
					f.with(func() {
						hide()
						clear(f.looked)
					})
					time.Sleep(2*time.Minute - c.from)
					if n := b.meters.Denied.Load(); n != int64(c.told) {
						t.Errorf("%d queues are measured as denied, want %d", n, c.told)
					}
					fired = firedBySchedule(f)["other"]
					f.with(func() {
						if n := f.looked["theirs"]; n > 5 {
							t.Errorf("in two minutes it is asked %d times what was changed there", n)
						}
						if len(f.served.Denied) != 1 || f.served.Denied[0] != "theirs" {
							t.Errorf("told %+v", f.served)
						}
						f.hidden = nil
					})
				}()

				err := b.leadFor(t, 1, 4*time.Minute+time.Millisecond)

				n := firedBySchedule(f)
				if since := n["other"] - fired; n["own"] != 24 || (since >= 8) != (len(f.empty) == 0) {
					t.Errorf("ticks in four minutes: %v, of the other one %d after the rules were mended: %v", n, since, err)
				}
				if told := strings.Count(log.String(), "level=ERROR"); told != c.told {
					t.Errorf("the log tells of it %d times, want %d\n%s", told, c.told, &log)
				}
			})
		})
	}
}
