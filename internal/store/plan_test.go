package store_test

import (
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/internal/store"
	"github.com/seri-queue/seri/lock"
)

func TestPlanComparesBeforeItWrites(t *testing.T) {
	each(t, func(s *scene) {
		s.plan("r1", tick, 7)
		read := s.scheduled()
		s.fire("meanwhile", store.TickEnqueued, s.tick(0))

		for what, p := range map[string]store.Plan{
			"a change": {Was: read, Revision: "r2", Next: tick}, "a removal": {Was: read}, "an addition": {Revision: "r2", Next: tick},
		} {
			p.Schedule = "nightly"
			s.changesNothing(what+" of what was fired meanwhile", func() {
				if written, err := s.Plan(s.ctx(), s.q, leads(7), []store.Plan{p}); err != nil || written[0] {
					s.t.Errorf("%s is answered with %v, %v", what, written, err)
				}
			})
		}
		p := store.Plan{Schedule: "nightly", Was: s.scheduled()}
		if written, err := s.Plan(s.ctx(), s.q, leads(7), []store.Plan{p}); err != nil || !written[0] {
			s.t.Errorf("the removal of what was read is answered with %v, %v", written, err)
		}
		if r := s.scheduled(); r.ID != "" {
			s.t.Errorf("the record is %+v", r)
		}
		if ids, err := s.ScheduleIDs(s.ctx(), s.q); err != nil || len(ids) != 0 {
			s.t.Errorf("the index has %v, %v", ids, err)
		}
	})
}

func TestAChangeAtRunTimeIsTold(t *testing.T) {
	each(t, func(s *scene) {
		s.plan("r1", tick, 7) // by a leader, of which nobody has to be told
		since := map[string]int64{}
		edits := func() store.Edits {
			s.t.Helper()
			e, err := s.EditedSince(s.ctx(), map[keys.Queue]int64{s.q: since["n"]})
			s.must(nil, err)
			since["n"] = max(since["n"], e[s.q].Last)
			return e[s.q]
		}
		if e := edits(); len(e.IDs) != 0 {
			s.t.Errorf("changed are %v", e)
		}
		for _, id := range []string{"a", "b"} {
			written, err := s.Plan(s.ctx(), s.q, store.Leader{Lock: "beat"}, []store.Plan{{Schedule: id, Revision: "r", Origin: store.OriginAPI, Next: tick}})
			if err != nil || !written[0] {
				s.t.Fatal(written, err)
			}
		}
		if e := edits(); !slices.Equal(e.IDs, []string{"a", "b"}) || e.All {
			s.t.Errorf("changed are %v", e)
		}
		s.must(nil, s.PauseSchedule(s.ctx(), s.q, "a", "for a while"))
		if e := edits(); !slices.Equal(e.IDs, []string{"a"}) {
			s.t.Errorf("changed are %v", e)
		}
	})
}

func TestANewDefinitionEndsThePauseThatFollowedOnFailures(t *testing.T) {
	each(t, func(s *scene) {
		s.plan("r1", tick, 7)
		strict := func(k *store.Tick) { k.PauseAfter = 1 }
		s.fire("the first", store.TickEnqueued, s.tick(0, strict))
		s.must(endings["archive"](s, s.lease()))
		s.fire("after a failure", store.TickPaused, s.tick(1, strict))
		if r := s.scheduled(); !r.Paused || !r.ByItself {
			s.t.Errorf("the record is %+v", r)
		}
		s.plan("r1", tick.Add(2*time.Hour), 8)
		if r := s.scheduled(); !r.Paused {
			s.t.Error("the same definition ends the pause")
		}

		s.plan("r2", tick.Add(3*time.Hour), 8)

		if r := s.scheduled(); r.Paused || r.ByItself || r.Failures != 0 {
			s.t.Errorf("the record is %+v", r)
		}
		if score := s.rdb.ZScore(s.ctx(), s.q.Schedules(), "nightly").Val(); score != float64(tick.Add(3*time.Hour).Unix()) {
			s.t.Errorf("the index has %v", score)
		}
		s.tellsOfSchedule("fired paused resumed")

		s.must(nil, s.PauseSchedule(s.ctx(), s.q, "nightly", "by hand"))
		s.plan("r3", tick.Add(4*time.Hour), 8)
		if r := s.scheduled(); !r.Paused || r.ByItself || r.Note != "by hand" {
			s.t.Errorf("after a pause by hand and a new definition the record is %+v", r)
		}
	})
}

func TestTheLockOfBeatsTellsWhetherOneLeads(t *testing.T) {
	t.Parallel()
	redistest.EachWithEmbedded(t, func(t *testing.T, rdb redis.UniversalClient) {
		s := store.New(rdb, store.Config{})
		name := redistest.Queue(t)
		if led, err := s.Led(t.Context(), name); led || err != nil {
			t.Errorf("nobody has had the lock: %v, %v", led, err)
		}
		held, err := lock.New(rdb).Try(t.Context(), name, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if led, err := s.Led(t.Context(), name); !led || err != nil {
			t.Errorf("the lock is held: %v, %v", led, err)
		}
		if err := held.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		if led, err := s.Led(t.Context(), name); led || err != nil {
			t.Errorf("the lock was given back: %v, %v", led, err)
		}
	})
}
