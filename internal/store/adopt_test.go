package store_test

import (
	"strings"
	"testing"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/store"
)

// adopt looks at all keys, which on a server that is shared with other tests may take several calls.
func (s *scene) adopt() store.Adopted {
	s.t.Helper()
	var total store.Adopted
	for cursor := uint64(0); ; {
		adopted, next, err := s.Adopt(s.ctx(), s.q, 30*time.Second, cursor)
		if err != nil {
			s.t.Fatal(err)
		}
		total.Placed += adopted.Placed
		total.Quarantined += adopted.Quarantined
		total.Lost += adopted.Lost
		if cursor = next; cursor == 0 {
			return total
		}
	}
}

// expel takes a task out of every container, as a hand may, or a write that was lost in a split brain.
func (s *scene) expel(id string) {
	s.t.Helper()
	s.rdb.LRem(s.ctx(), s.q.Pending(), 0, id)
	s.rdb.LRem(s.ctx(), s.q.Active(), 0, id)
	for _, set := range []string{s.q.Lease(), s.q.Scheduled(), s.q.Retry(), s.q.Archived(), s.q.Completed()} {
		s.rdb.ZRem(s.ctx(), set, id)
	}
	if places := s.places(id); len(places) > 0 {
		s.t.Fatalf("task %s is still in %v", id, places)
	}
}

func TestAdoptPutsATaskWithoutAPlaceBack(t *testing.T) {
	forget := func(s *scene) { s.rdb.ZRem(s.ctx(), s.q.Due(), "t1") }
	eachCase(t, map[string]struct {
		make  func(s *scene)
		state string
		kind  seri.EventKind
		want  store.Adopted
	}{
		"pending":                       {func(s *scene) { s.add("t1") }, "pending", seri.EventRepaired, store.Adopted{Placed: 1}},
		"active":                        {func(s *scene) { s.start("t1") }, "active", seri.EventRepaired, store.Adopted{Placed: 1}},
		"scheduled":                     {func(s *scene) { s.add("t1", later) }, "scheduled", seri.EventRepaired, store.Adopted{Placed: 1}},
		"retrying":                      {func(s *scene) { s.must(attempts["retry"](s, s.start("t1"))) }, "retry", seri.EventRepaired, store.Adopted{Placed: 1}},
		"succeeded":                     {func(s *scene) { s.must(attempts["complete"](s, s.start("t1"))) }, "completed", seri.EventRepaired, store.Adopted{Placed: 1}},
		"failed":                        {func(s *scene) { s.must(attempts["archive"](s, s.start("t1"))) }, "archived", seri.EventRepaired, store.Adopted{Placed: 1}},
		"retrying, its time forgotten":  {func(s *scene) { s.must(attempts["retry"](s, s.start("t1"))); forget(s) }, "pending", seri.EventRepaired, store.Adopted{Placed: 1}},
		"scheduled, its time forgotten": {func(s *scene) { s.add("t1", later); forget(s) }, "archived", seri.EventFailed, store.Adopted{Quarantined: 1}},
	}, func(s *scene, c struct {
		make  func(s *scene)
		state string
		kind  seri.EventKind
		want  store.Adopted
	}) {
		s.add("sound")
		s.dequeue(1)
		c.make(s)
		story, before := len(s.story("t1")), s.info("t1")
		s.expel("t1")

		if adopted := s.adopt(); adopted != c.want {
			s.t.Errorf("adopted %+v, want %+v", adopted, c.want)
		}

		s.stands("t1", c.state)
		s.stands("sound", "active")
		after := s.story("t1")
		if len(after) != story+1 || after[story].Kind != c.kind {
			s.t.Fatalf("told %+v, want one %s event", after[story:], c.kind)
		}
		info := s.info("t1")
		if e := after[story]; e.State() != info.State {
			s.t.Errorf("told %+v of a task that is %s", e, info.State)
		}
		if c.state == "scheduled" && !info.DueAt.Equal(before.DueAt) {
			s.t.Errorf("due at %v, before %v", info.DueAt, before.DueAt)
		}
		if c.kind == seri.EventFailed && (info.Reason != seri.ReasonQuarantined || !strings.Contains(info.Error, "has lost its place")) {
			s.t.Errorf("quarantined with reason %q, error %q", info.Reason, info.Error)
		}
		s.counted(1)
		s.changesNothing("a second look, and a sweep", func() {
			if again, swept := s.adopt(), s.sweep(); again != (store.Adopted{}) || swept != (store.Swept{}) {
				s.t.Errorf("adopted again: %+v, swept %+v", again, swept)
			}
		})
	})
}

func TestAdoptDeletesWhatIsNoTask(t *testing.T) {
	each(t, func(s *scene) {
		s.add("sound")
		s.rdb.HSet(s.ctx(), s.q.Task("late"), "result", "of a stock server's late write")

		if adopted := s.adopt(); adopted != (store.Adopted{Lost: 1}) {
			s.t.Errorf("adopted %+v", adopted)
		}
		s.gone("late")
		s.stands("sound", "pending")
	})
}

func TestAdoptLeavesASoundQueueAsItIs(t *testing.T) {
	each(t, func(s *scene) {
		s.addMany("waits", 2, later)
		for _, act := range []string{"complete", "retry", "archive", "requeue"} {
			s.must(attempts[act](s, s.start(act)))
		}
		s.start("runs")

		s.changesNothing("a look for strays", func() {
			if adopted := s.adopt(); adopted != (store.Adopted{}) {
				s.t.Errorf("adopted %+v", adopted)
			}
		})
	})
}

// The glob that finds a queue's tasks finds no other queue's, whatever their names.
func TestAdoptTakesNamesLiterally(t *testing.T) {
	each(t, func(s *scene) {
		other := *s
		s.q += "[ab]*?\\^"
		other.q += "axx"
		s.add("t1")
		other.add("t2")
		s.expel("t1")
		other.expel("t2")

		if adopted := s.adopt(); adopted != (store.Adopted{Placed: 1}) {
			s.t.Errorf("adopted %+v", adopted)
		}
		s.stands("t1", "pending")
		if places := other.places("t2"); len(places) > 0 {
			s.t.Errorf("the other queue's task was put into %v", places)
		}
	})
}
