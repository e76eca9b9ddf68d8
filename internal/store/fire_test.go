package store_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/store"
)

var tick = time.Unix(1_900_000_000, 0)

func (s *scene) tick(token uint64, change ...func(*seri.Message)) store.Tick {
	return store.Tick{
		Schedule: "nightly", Revision: "r1", Expected: tick, Next: tick.Add(time.Hour), Token: token,
		Task: s.message("sched:nightly:1900000000", change...),
	}
}

func (s *scene) plan(revision string, next time.Time, token uint64) time.Time {
	s.t.Helper()
	got, err := s.Plan(s.ctx(), s.q, "nightly", revision, next, token)
	if err != nil {
		s.t.Fatal(err)
	}
	return got
}

func (s *scene) fire(what string, want store.Fired, tick store.Tick) {
	s.t.Helper()
	if got, err := s.Fire(s.ctx(), s.q, tick); err != nil || got != want {
		s.t.Errorf("%s: answered %v, %v; want %v", what, got, err, want)
	}
}

func TestFireEnqueuesTheTaskOfATick(t *testing.T) {
	each(t, func(s *scene) {
		s.plan("r1", tick, 7)

		s.fire("in time", store.TickEnqueued, s.tick(7, func(m *seri.Message) {
			m.Owner, m.Expires = "user:1", time.Now().Add(time.Hour)
		}))

		id := "sched:nightly:1900000000"
		s.stands(id, "pending")
		if last := s.tells(id, "queued"); last.Owner != "user:1" {
			s.t.Errorf("event %+v", last)
		}
		if info := s.info(id); info.Owner != "user:1" || info.Expires.IsZero() || info.EnqueuedAt.IsZero() {
			s.t.Errorf("info %+v", info)
		}
		if tasks, more, err := s.Owned(s.ctx(), s.q, "user:1", 10); err != nil || more || len(tasks) != 1 {
			s.t.Errorf("the owner's tasks are %v, %v", tasks, err)
		}
		if next := s.plan("r1", tick, 7); !next.Equal(tick.Add(time.Hour)) {
			s.t.Errorf("the next tick is %v", next)
		}
		s.must(attempts["complete"](s, s.lease()))
		s.changesNothing("the same tick again", func() { s.fire("the same tick", store.TickMoved, s.tick(7)) })
	})
}

func TestFireEnqueuesOneTaskForAnyNumberOfCallers(t *testing.T) {
	each(t, func(s *scene) {
		s.plan("r1", tick, 1)
		answers := make([]store.Fired, 8)
		var wg sync.WaitGroup
		for i := range answers {
			wg.Go(func() {
				fired, err := s.Fire(s.ctx(), s.q, s.tick(1))
				if err != nil {
					s.t.Error(err)
				}
				answers[i] = fired
			})
		}
		wg.Wait()

		slices.Sort(answers)
		if answers[0] != store.TickEnqueued || answers[1] != store.TickMoved {
			s.t.Errorf("answers %v", answers)
		}
		s.stands("sched:nightly:1900000000", "pending")
		s.tells("sched:nightly:1900000000", "queued")
	})
}

func TestFireFindsTheTickOnRecordIsAnother(t *testing.T) {
	eachCase(t, map[string]func(*store.Tick){
		"an older tick":          func(k *store.Tick) { k.Expected = k.Expected.Add(-time.Hour) },
		"a later tick":           func(k *store.Tick) { k.Expected = k.Expected.Add(time.Hour) },
		"another definition":     func(k *store.Tick) { k.Revision = "r2" },
		"a schedule not planned": func(k *store.Tick) { k.Schedule = "other" },
	}, func(s *scene, change func(*store.Tick)) {
		s.plan("r1", tick, 1)
		k := s.tick(1)
		change(&k)

		s.changesNothing("a tick that is not the next", func() { s.fire("it", store.TickMoved, k) })
	})
}

func TestFireMovesOnIfTheTicksTaskExists(t *testing.T) {
	each(t, func(s *scene) {
		s.plan("r1", tick, 1)
		s.add("sched:nightly:1900000000")

		s.fire("with a task of that ID", store.TickExists, s.tick(1))

		s.tells("sched:nightly:1900000000", "queued")
		if next := s.plan("r1", tick, 1); !next.Equal(tick.Add(time.Hour)) {
			s.t.Errorf("the next tick is %v", next)
		}
	})
}

func TestAFormerLeaderIsFencedOff(t *testing.T) {
	eachCase(t, map[string]struct{ older, newer uint64 }{
		"by a greater token":                         {7, 8},
		"by one that is longer":                      {9, 10},
		"by one that differs in the sixteenth digit": {1_763_800_000_000_001, 1_763_800_000_000_002},
	}, func(s *scene, c struct{ older, newer uint64 }) {
		s.plan("r1", tick, c.newer)

		s.changesNothing("the former leader", func() {
			_, err := s.Fire(s.ctx(), s.q, s.tick(c.older))
			if _, ok := errors.AsType[*seri.FencedError](err); !ok {
				s.t.Errorf("fire answered %v", err)
			}
			_, err = s.Plan(s.ctx(), s.q, "nightly", "r0", tick, c.older)
			if _, ok := errors.AsType[*seri.FencedError](err); !ok {
				s.t.Errorf("plan answered %v", err)
			}
		})
		s.fire("the leader", store.TickEnqueued, s.tick(c.newer))
	})
}

func TestPlanKeepsTheNextTickOfAnUnchangedSchedule(t *testing.T) {
	each(t, func(s *scene) {
		if next := s.plan("r1", tick, 1); !next.Equal(tick) {
			s.t.Errorf("a new schedule: %v", next)
		}
		s.changesNothing("planning what is known", func() {
			if next := s.plan("r1", tick.Add(24*time.Hour), 2); !next.Equal(tick) {
				s.t.Errorf("after a day's outage: %v, want the tick that was missed", next)
			}
		})
		if next := s.plan("r2", tick.Add(time.Minute), 2); !next.Equal(tick.Add(time.Minute)) {
			s.t.Errorf("a changed schedule: %v", next)
		}
		for key, value := range s.world() {
			if strings.Contains(value, "with TTL") {
				s.t.Errorf("%s has a TTL: a schedule's memory must last", key)
			}
		}
	})
}
