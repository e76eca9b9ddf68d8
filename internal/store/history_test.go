package store_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/store"
)

// asked returns a tick of the schedule "nightly" that somebody has asked for.
func (s *scene) asked(hours int, change ...func(*store.Tick)) store.Tick {
	k := s.tick(hours, change...)
	k.Expected, k.Next, k.Asked = time.Time{}, time.Time{}, true
	return k
}

func (s *scene) ask(what string, want store.Outcome, ticks ...store.Tick) store.Fired {
	s.t.Helper()
	fired, err := s.Fire(s.ctx(), s.q, store.Leader{}, ticks)
	s.must(nil, err)
	for i, f := range fired {
		if f.Outcome != want {
			s.t.Errorf("%s: tick %d is answered with %v, want %v", what, i, f, want)
		}
	}
	return fired[len(fired)-1]
}

func (s *scene) history() (lines []string) {
	s.t.Helper()
	past, err := s.History(s.ctx(), s.q, "nightly", 100)
	s.must(nil, err)
	for _, p := range past {
		line := fmt.Sprintf("fired %d", p.Tick.Unix())
		switch {
		case p.Missed > 0:
			line = fmt.Sprintf("%s %d-%d %d", p.Reason, p.Tick.Unix(), p.Last.Unix(), p.Missed)
		case p.Asked:
			line = fmt.Sprintf("asked %d", p.Tick.Unix())
		}
		if p.Missed == 0 && p.Late < time.Hour {
			s.t.Errorf("%s was %v late", line, p.Late)
		}
		lines = append(lines, line)
	}
	return lines
}

func TestTheHistoryTellsWhatBecameOfTicks(t *testing.T) {
	each(t, func(s *scene) {
		s.plan("r1", tick.Add(-2*time.Hour), 7)
		skip := func(k *store.Tick) { k.Overlap = "skip" }

		s.fire("after two that were missed", store.TickEnqueued, s.tick(0, skip, func(k *store.Tick) {
			k.Expected, k.Missed = tick.Add(-2*time.Hour), `{"count":2,"first":1699992800,"last":1699996400,"reason":"outage"}`
		}))
		s.fire("while that runs", store.TickLeftOut, s.tick(1, skip))
		s.ask("by request", store.TickEnqueued, s.asked(-10))

		want := []string{"asked 1699964000", "overlap 1700003600-1700003600 1", "fired 1700000000", "outage 1699992800-1699996400 2"}
		if got := s.history(); !slices.Equal(got, want) {
			s.t.Errorf("history\n got %q\nwant %q", got, want)
		}
		states, err := s.States(s.ctx(), s.q, []string{tickID, "sched:nightly:1"})
		if err != nil || !slices.Equal(states, []seri.State{seri.Pending, ""}) {
			s.t.Errorf("states %q, %v", states, err)
		}
		written, err := s.Plan(s.ctx(), s.q, store.Leader{}, []store.Plan{{Schedule: "nightly", Was: s.scheduled()}})
		if err != nil || !written[0] {
			s.t.Fatal(written, err)
		}
		if got := s.history(); len(got) != 0 {
			s.t.Errorf("of a schedule that was removed is left %q", got)
		}
	})
}

func TestTheHistoryIsBounded(t *testing.T) {
	each(t, func(s *scene) {
		s.plan("r1", tick, 7)
		for i := range store.MaxHistory + 20 {
			s.fire("it", store.TickEnqueued, s.tick(i))
		}
		n := s.rdb.LLen(s.ctx(), s.q.History("nightly")).Val()
		if n < store.MaxHistory || n > store.MaxHistory+10 {
			s.t.Errorf("there are %d entries", n)
		}
	})
}

func TestATickThatWasAskedForLeavesTheScheduleWhereItIs(t *testing.T) {
	eachCase(t, map[string]func(s *scene){
		"one that ticks":               func(*scene) {},
		"one that is paused":           func(s *scene) { s.must(nil, s.PauseSchedule(s.ctx(), s.q, "nightly", "why")) },
		"one that has come to its end": func(s *scene) { s.plan("r1", time.Time{}, 7) },
		"one that other beats lead":    func(s *scene) { s.plan("r1", tick, 9) },
	}, func(s *scene, arrange func(*scene)) {
		s.plan("r1", tick, 7)
		arrange(s)
		before := s.scheduled()

		s.ask("an old tick", store.TickEnqueued, s.asked(-1, func(k *store.Tick) { k.Limit = 1 }))
		s.changesNothing("the same again", func() { s.ask("it", store.TickExists, s.asked(-1)) })
		s.changesNothing("of another definition", func() {
			s.ask("it", store.TickMoved, s.asked(-2, func(k *store.Tick) { k.Revision = "r0" }))
		})

		after := s.scheduled()
		if after.Runs != before.Runs || !after.Next.Equal(before.Next) || after.Paused != before.Paused {
			s.t.Errorf("the record was %+v\nand is      %+v", before, after)
		}
		if after.LastTask != "sched:nightly:1699996400" {
			s.t.Errorf("the last task is %q", after.LastTask)
		}
		s.stands("sched:nightly:1699996400", "pending")
	})
}

// It is neither one of the schedule's runs nor bound to its end, and the schedule's last tick stays the last.
func TestATickThatWasAskedForRemainsThatWhileItWaits(t *testing.T) {
	each(t, func(s *scene) {
		s.plan("r1", tick, 7)
		terms := func(k *store.Tick) { k.Overlap, k.Limit = "buffer_all", 2 }
		s.fire("the first", store.TickEnqueued, s.tick(0, terms))
		s.ask("waits", store.TickWaits, s.asked(-1, terms))
		s.ask("waits, too", store.TickWaits, s.asked(-2, terms))
		s.must(attempts["complete"](s, s.lease()))
		turn := func(hours int) store.Tick {
			return s.tick(hours, terms, func(k *store.Tick) { k.Expected = time.Time{} })
		}

		s.fire("its turn", store.TickEnqueued, turn(-1))
		s.must(attempts["complete"](s, s.lease()))
		s.rdb.HSet(s.ctx(), s.q.Schedule("nightly"), "runs", 2) // meanwhile the schedule has ended
		s.fire("the other's turn", store.TickEnqueued, turn(-2))

		s.stands("sched:nightly:"+strconv.FormatInt(tick.Add(-2*time.Hour).Unix(), 10), "pending")
		if r := s.scheduled(); r.Runs != 2 || !r.Last.Equal(tick) || len(r.Waiting) != 0 {
			s.t.Errorf("the record is %+v", r)
		}
		for _, line := range s.history()[:2] {
			if !strings.HasPrefix(line, "asked ") {
				s.t.Errorf("the history says %q", s.history())
			}
		}
	})
}

func TestTicksThatWereAskedForRespectOverlap(t *testing.T) {
	each(t, func(s *scene) {
		s.plan("r1", tick, 7)
		overlap := func(what string) func(*store.Tick) { return func(k *store.Tick) { k.Overlap = what } }
		s.fire("the first", store.TickEnqueued, s.tick(0, overlap("skip")))

		s.ask("left out", store.TickLeftOut, s.asked(-1, overlap("skip")))
		s.ask("waits", store.TickWaits, s.asked(-1, overlap("buffer_all")), s.asked(-2, overlap("buffer_all")))
		edits, err := s.EditedSince(s.ctx(), map[keys.Queue]int64{s.q: 0})
		if err != nil || !slices.Equal(edits[s.q].IDs, []string{"nightly"}) {
			s.t.Errorf("the beats are told of %v, %v", edits, err)
		}
		s.changesNothing("asked for again", func() { s.ask("waits", store.TickWaits, s.asked(-1, overlap("buffer_all"))) })
		if r := s.scheduled(); len(r.Waiting) != 2 || r.Last != tick {
			s.t.Errorf("the record is %+v", r)
		}
		s.ask("one of many", store.TickEnqueued, s.asked(-3, overlap("allow")))

		s.must(attempts["complete"](s, s.lease()))
		s.must(attempts["complete"](s, s.lease()))
		s.fire("its turn", store.TickEnqueued, s.tick(-1, overlap("buffer_all"), func(k *store.Tick) { k.Expected = time.Time{} }))
		s.stands("sched:nightly:1699996400", "pending")
	})
}
