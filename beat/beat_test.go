package beat

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/store"
)

// noDoubles checks that no tick was fired twice, and none early or more than most late.
func noDoubles(t *testing.T, f *fakeRecords, most time.Duration) {
	t.Helper()
	seen := make(map[string]bool)
	for i, id := range f.ids() {
		if seen[id] {
			t.Errorf("%s fired twice", id)
		}
		seen[id] = true
		if late := f.at[i].Sub(f.fired[i].Due); late < 0 || late > most {
			t.Errorf("%s fired %v after its time", id, late)
		}
	}
}

func TestEachTickIsFiredOnceAndNotEarly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		b := of(t, f, every(t, "often", "@every 10s"), every(t, "hourly", "0 * * * *"),
			every(t, "spread", "@every 10s", func(s *Schedule) { s.Jitter = 7 * time.Second }))

		err := b.leadFor(t, 1, 2*time.Hour+time.Second)

		if err == nil {
			t.Fatal("lead has ended by itself")
		}
		if got, want := len(f.fired), 720+2+720; got < want-1 || got > want {
			t.Errorf("%d ticks in two hours, want %d", got, want)
		}
		noDoubles(t, f, 10*time.Millisecond)
	})
}

func TestMissedTicks(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		spec   string
		policy Policy
		missed time.Duration // how long nobody has led
		fired  int           // at once
		told   string        // of what was passed over
	}{
		"the latest one is made up for, alone":             {"@every 1m", Policy{}, 10 * time.Minute, 1, `"count":9,`},
		"also after a long time, if it is recent":          {"@every 1m", Policy{}, 100 * time.Hour, 1, `"count":5999,`},
		"one that is older than an hour is missed":         {"0 0 * * *", Policy{}, 30 * time.Hour, 0, `"count":1,`},
		"nothing is made up for if nothing was missed":     {"0 0 1 1 *", Policy{}, time.Hour, 0, ""},
		"one that was missed by half an hour is made up":   {"@every 24h", Policy{}, 24*time.Hour + 30*time.Minute, 1, ""},
		"one that was missed by two hours is missed too":   {"@every 24h", Policy{}, 26 * time.Hour, 0, `"count":1,`},
		"without catchup, all are missed":                  {"@every 10m", Policy{Catchup: CatchupNone}, 65 * time.Minute, 0, `"count":6,`},
		"with all, each is made up for within the hour":    {"@every 10m", Policy{Catchup: CatchupAll}, 65 * time.Minute, 6, ""},
		"with all and a limit, the newest are made up for": {"@every 10m", Policy{Catchup: CatchupAll, CatchupLimit: 2}, 65 * time.Minute, 2, `"count":4,`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newFake()
				b := of(t, f, every(t, "s", c.spec, func(s *Schedule) { s.Policy = c.policy }))
				_ = b.leadFor(t, 1, time.Millisecond) // the former leader
				time.Sleep(c.missed)

				var log bytes.Buffer
				b.config.Logger = slog.New(slog.NewTextHandler(&log, nil))
				_ = b.leadFor(t, 2, time.Millisecond)

				if told := strings.Contains(log.String(), strings.NewReplacer(`"`, "", ":", "=", ",", "").Replace(c.told)+" more=false first=20"); told != (c.told != "") {
					t.Errorf("the log tells\n%s", &log)
				}
				if len(f.ids()) != c.fired || !slices.IsSorted(f.ids()) {
					t.Errorf("fired %v, want %d", f.ids(), c.fired)
				}
				var told strings.Builder
				for _, p := range f.passed {
					told.WriteString(p.Missed)
				}
				if !strings.Contains(told.String(), c.told) || c.told == "" && told.String() != "" {
					t.Errorf("told %s, want %s", told.String(), c.told)
				}
				if next := f.records[ref{"default", "s"}].Next; !next.After(time.Now()) {
					t.Errorf("next tick %v is not after now, %v", next, time.Now())
				}
			})
		})
	}
}

// Redis' clock is put forward or back while a beat leads: no tick is fired twice, none is lost, none is early.
func TestStepsOfTheServersClock(t *testing.T) {
	t.Parallel()
	for name, steps := range map[string][]time.Duration{
		"an hour forward":                {time.Hour},
		"an hour back":                   {-time.Hour},
		"an hour forward, then back":     {time.Hour, -time.Hour},
		"an hour back, then forward":     {-time.Hour, time.Hour},
		"back and forth by half minutes": {30 * time.Second, -30 * time.Second, 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newFake()
				all := func(s *Schedule) { s.Catchup, s.CatchupLimit = CatchupAll, 1000 }
				b := of(t, f, every(t, "s", "@every 10s", all), every(t, "latest", "*/5 * * * *"))
				begun := f.now()
				latest := begun
				go func() {
					for _, step := range steps {
						time.Sleep(10 * time.Minute)
						f.with(func() {
							latest = maxTime(latest, f.now())
							f.ahead += step
						})
					}
				}()

				_ = b.leadFor(t, 1, 3*time.Hour+time.Millisecond)

				latest = maxTime(latest, f.now())
				noDoubles(t, f, time.Hour+time.Second)
				n := 0
				for _, tick := range f.fired {
					if tick.Schedule == "s" {
						n++
					}
				}
				if want := int(latest.Sub(begun) / (10 * time.Second)); n != want {
					t.Errorf("%d ticks, want %d up to %s", n, want, latest)
				}
			})
		})
	}
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func TestATickThatAnotherBeatHasFiredIsLeftAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.moved = 1

		_ = of(t, f, every(t, "s", "@every 10s")).leadFor(t, 1, 25*time.Second)

		if len(f.fired) != 1 {
			t.Errorf("fired %v, want only the second tick", f.ids())
		}
	})
}

func TestTwoLeadersAtOnceFireEachTickOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		schedules := []Schedule{every(t, "s", "@every 10s"), every(t, "r", "@every 7s")}
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = of(t, f, schedules...).leadFor(t, 1, 10*time.Minute)
		}()

		_ = of(t, f, schedules...).leadFor(t, 1, 10*time.Minute+time.Millisecond) // of the same token, which nothing fences off
		<-done

		noDoubles(t, f, 10*time.Millisecond)
		if got := len(f.fired); got < 60+84 || got > 60+87 {
			t.Errorf("%d ticks", got)
		}
	})
}

func TestAFencedLeaderStops(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.floor = 2

		err := of(t, f, every(t, "s", "@every 10s")).leadFor(t, 1, time.Hour)

		if _, ok := errors.AsType[*seri.FencedError](err); !ok {
			t.Errorf("lead: %v, want a FencedError", err)
		}
	})
}

func TestAListIsAppliedAsAWhole(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.edit(t, "default", every(t, "made", "@every 1h"), store.OriginAPI)
		f.edit(t, "default", every(t, "taken", "@every 1h"), store.OriginAPI)
		first := of(t, f, every(t, "kept", "@every 1h"), every(t, "gone", "@every 1h"), every(t, "timed", "@every 1h"),
			every(t, "edited", "@every 1h"), every(t, "moved", "@every 1h"), every(t, "taken", "@every 5m"))
		_ = first.leadFor(t, 1, time.Millisecond)
		next := f.records[ref{"default", "kept"}].Next
		time.Sleep(61 * time.Minute) // a tick is missed
		elsewhere := func(s *Schedule) { s.Task.Queue = "other" }
		second := of(t, f, every(t, "kept", "@every 1h"), every(t, "timed", "@every 2h"), every(t, "new", "@every 1h"),
			every(t, "edited", "@every 1h", func(s *Schedule) { s.Task.MaxRetries = 3 }), every(t, "moved", "@every 1h", elsewhere),
			every(t, "off", "@every 1m", func(s *Schedule) { s.Enabled = false }))

		_ = second.leadFor(t, 2, time.Second)

		var fired []string
		for _, id := range f.ids() {
			fired = append(fired, strings.Split(id, ":")[1])
		}
		slices.Sort(fired)
		if want := []string{"edited", "kept", "made", "moved", "taken"}; !slices.Equal(fired, want) {
			t.Errorf("fired %v, want those that had missed a tick: %v", fired, want)
		}
		if _, there := f.records[ref{"default", "gone"}]; there {
			t.Error("a schedule that has left the list is still there")
		}
		if _, there := f.records[ref{"default", "moved"}]; there {
			t.Error("a schedule that has moved to another queue is still in the old one")
		}
		for id, origin := range map[string]store.Origin{"made": store.OriginAPI, "taken": store.OriginAPI, "kept": store.OriginFile, "off": store.OriginFile} {
			if got := f.records[ref{"default", id}].Origin; got != origin {
				t.Errorf("%s was made by %q, want %q", id, got, origin)
			}
		}
		if !next.Before(time.Now()) || !f.records[ref{"default", "off"}].Next.IsZero() {
			t.Error("what is not enabled ticks")
		}
		writes := f.writes
		_ = second.leadFor(t, 3, time.Second)
		if f.writes != writes {
			t.Errorf("%d writes for a list that is in force already", f.writes-writes)
		}
	})
}

// Two versions of a list take turns, as in a deploy that takes its time.
func TestTwoListsDoNotFight(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		older, newer uint64
		want         string // which list is served when the older one leads again
	}{
		"the higher revision holds":           {1, 2, "newer"},
		"without revisions the leader's does": {0, 0, "older"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newFake()
				older, newer := of(t, f, every(t, "both", "@every 10s"), every(t, "older", "@every 10s")), of(t, f, every(t, "both", "@every 10s"), every(t, "newer", "@every 10s"))
				older.config.Revision, newer.config.Revision = c.older, c.newer
				for token := range uint64(6) {
					_ = []*Beat{older, newer}[token%2].leadFor(t, token+1, 35*time.Second)
				}
				f.fired, f.at = nil, nil

				_ = older.leadFor(t, 10, 35*time.Second)

				served := make(map[string]bool)
				for _, tick := range f.fired {
					served[tick.Schedule] = true
				}
				if !served["both"] || !served[c.want] || len(served) != 2 {
					t.Errorf("served %v, want both and %s", served, c.want)
				}
				noDoubles(t, f, 10*time.Millisecond)
			})
		})
	}
}

func TestDeploysDoNotLoseTicks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		begun := time.Now()
		for n := range uint64(30) { // each changes the terms of the task, but not the time
			b := of(t, f, every(t, "s", "@every 10s", func(s *Schedule) { s.Task.MaxRetries = int(n) }))
			_ = b.leadFor(t, n+1, 13700*time.Millisecond)
		}

		noDoubles(t, f, 10*time.Millisecond)
		if got, want := len(f.fired), int(time.Since(begun)/(10*time.Second)); got != want {
			t.Errorf("%d ticks, want %d", got, want)
		}
	})
}

func TestAChangeAtRunTimeIsServedWithinASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		b := of(t, f, every(t, "s", "@every 1h"))
		go func() {
			time.Sleep(10 * time.Minute)
			f.edit(t, "default", every(t, "s", "@every 10s", func(s *Schedule) { s.Task.Type = "edited" }), store.OriginFile)
			f.edit(t, "new", every(t, "n", "@every 10s", func(s *Schedule) { s.Task.Queue = "new" }), store.OriginAPI)
			time.Sleep(65 * time.Second)
			f.with(func() {
				r := ref{"new", "n"}
				record := f.records[r]
				record.Paused = true
				f.records[r] = record
				f.edits["new"] = append(f.edits["new"], "n")
				delete(f.records, ref{"default", "s"})
				f.edits["default"] = append(f.edits["default"], "s")
			})
		}()

		_ = b.leadFor(t, 1, 20*time.Minute)

		perSchedule := make(map[string]int)
		for _, tick := range f.fired {
			perSchedule[tick.Schedule]++
			if tick.Schedule == "s" && tick.Task.Type != "edited" {
				t.Errorf("%s is as it was before the change", tick.Task.ID)
			}
		}
		if perSchedule["s"] != 6 || perSchedule["n"] != 6 {
			t.Errorf("ticks: %v, want those of one minute", perSchedule)
		}
		noDoubles(t, f, 10*time.Millisecond)
	})
}

// Schedules are changed all the time while they fire: each tick is fired with the definition of its moment.
func TestEditsWhileFiring(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		b := of(t, f, every(t, "s", "@every 1s"))
		go func() {
			for n := range 100 {
				time.Sleep(777 * time.Millisecond)
				f.edit(t, "default", every(t, "s", "@every 1s", func(s *Schedule) { s.Task.MaxRetries = n }), store.OriginFile)
			}
		}()

		_ = b.leadFor(t, 1, 80*time.Second+time.Millisecond)

		noDoubles(t, f, time.Second)
		if got := len(f.fired); got != 80 {
			t.Errorf("%d ticks in 80 s", got)
		}
	})
}

func TestATickThatWaitsStartsWhenItsTurnHasCome(t *testing.T) {
	t.Parallel()
	for _, overlap := range []func(*Schedule){
		func(s *Schedule) { s.Overlap = OverlapBufferAll }, func(s *Schedule) { s.Overlap = OverlapCancelOther },
	} {
		s := every(t, "s", "@every 10s", overlap)
		t.Run(string(s.Overlap), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newFake()
				go func() {
					for started := false; !started; time.Sleep(time.Millisecond) {
						f.with(func() {
							if started = len(f.fired) > 0; started {
								f.running[f.ids()[0]] = true
							}
						})
					}
					time.Sleep(12 * time.Second)
					f.with(func() { clear(f.running) })
				}()

				_ = of(t, f, s).leadFor(t, 1, 25*time.Second)

				if len(f.fired) != 2 {
					t.Fatalf("fired %v", f.ids())
				}
				if gap := f.at[1].Sub(f.at[0]); gap < 12*time.Second || gap > 12*time.Second+2*releaseEvery {
					t.Errorf("the second starts %v after the first, which takes 12s", gap)
				}
				if cancelled := slices.Contains(f.revoked, f.ids()[0]); cancelled != (s.Overlap == OverlapCancelOther) || len(f.revoked) > 2 {
					t.Errorf("revoked %v, want each task once for each tick that has waited", f.revoked)
				}
			})
		})
	}
}

// A thousand ticks wait for tasks that take long: what is due meanwhile does not wait for all of them to be asked about.
func TestTicksThatWaitDoNotHoldUpOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		schedules := []Schedule{every(t, "due", "@every 1s", func(s *Schedule) { s.Catchup = CatchupAll })}
		for i := range 1000 {
			s := every(t, fmt.Sprintf("w%d", i), "@every 24h", func(s *Schedule) { s.Overlap = OverlapBufferAll })
			schedules = append(schedules, s)
		}
		_ = of(t, f, schedules...).leadFor(t, 1, time.Millisecond)
		for r, record := range f.records {
			if r.id != "due" {
				record.LastTask, record.Waiting = "runs", []store.Waiting{{Tick: time.Now().Truncate(time.Second)}}
				f.records[r] = record
			}
		}
		f.running["runs"] = true
		f.slow = 30 * time.Millisecond

		err := of(t, f, schedules...).leadFor(t, 2, time.Minute)

		noDoubles(t, f, 3*f.slow) // a call under way, its own, and one in the place of care
		if len(f.fired) < 58 || f.calls < 1000 {
			t.Errorf("%d ticks and %d calls in a minute: %v", len(f.fired), f.calls, err)
		}
	})
}

func TestALeaderSleepsUntilSomethingIsDue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		var schedules []Schedule
		for i := range 1000 {
			schedules = append(schedules, every(t, fmt.Sprintf("s%d", i), "0 0 1 1 *"))
		}

		_ = of(t, f, schedules...).leadFor(t, 1, time.Minute)

		if f.reads > 62 {
			t.Errorf("looked at the clock %d times in a minute without ticks", f.reads)
		}
	})
}

func TestNewListsEveryFault(t *testing.T) {
	t.Parallel()
	s, r := every(t, "s", "@every 10s"), every(t, "r", "@every 10s")
	bad := every(t, "bad", "@every 10s", func(s *Schedule) { s.Overlap, s.Limit = "sometimes", -1 })

	_, err := New(nil, []Schedule{s, s, r, r, bad}, Config{Lease: time.Millisecond})

	for _, want := range []string{`"s"`, `"r"`, "overlap is", "limit is", "option Lease"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New: %v, want it to name %s", err, want)
		}
	}
}
