package store_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/internal/store"
)

// adopt looks at all keys, which on a server that is shared with other tests may take several calls.
func (s *scene) adopt() store.Adopted {
	s.t.Helper()
	var total store.Adopted
	for {
		adopted, end, err := s.Adopt(s.ctx(), s.q, 30*time.Second)
		if err != nil {
			s.t.Fatal(err)
		}
		total.Placed += adopted.Placed
		total.Quarantined += adopted.Quarantined
		total.Lost += adopted.Lost
		if end {
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

// A search of a big server takes many calls, of whichever worker has the turn.
func TestAdoptGoesOnWhereAnotherWorkerHasStopped(t *testing.T) {
	t.Parallel()
	s := newScene(t, redistest.New(t))
	pipe := s.rdb.Pipeline()
	for i := range 110_000 { // more than one call looks at
		pipe.Set(s.ctx(), "other:"+strconv.Itoa(i), "", 0)
		if i%10_000 == 0 {
			s.exec(pipe)
		}
	}
	s.exec(pipe)
	ids := s.addMany("t", 200)
	for _, id := range ids {
		s.expel(id)
	}

	adopt := func() (int, bool) {
		worker := store.New(s.rdb, store.Config{}) // which knows nothing of the others
		adopted, end, err := worker.Adopt(s.ctx(), s.q, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		return adopted.Placed, end
	}
	first, end := adopt()
	cursor := s.rdb.Get(s.ctx(), s.q.Cursor()).Val()
	if end || first == 0 || first == len(ids) || cursor == "" {
		t.Fatalf("the first call puts %d of %d back, its end is %t, its cursor %q", first, len(ids), end, cursor)
	}
	if entry, ok := keys.Find(s.q.Cursor()); !ok || entry.Type != s.rdb.Type(s.ctx(), s.q.Cursor()).Val() || !entry.TTL {
		t.Errorf("the registry says %+v of the cursor", entry)
	}
	if left := s.rdb.TTL(s.ctx(), s.q.Cursor()).Val(); left <= 23*time.Hour || left > 24*time.Hour {
		t.Errorf("the cursor lives for %v", left)
	}
	second, end := adopt()
	if !end || first+second != len(ids) {
		t.Errorf("two calls put %d and %d of %d back; the end is reached: %t", first, second, len(ids), end)
	}
	if n := s.rdb.Exists(s.ctx(), s.q.Cursor()).Val(); n != 0 {
		t.Error("a search that has ended leaves a cursor")
	}
	if n := s.rdb.LLen(s.ctx(), s.q.Pending()).Val(); n != int64(len(ids)) {
		t.Errorf("%d tasks wait, want each of %d once", n, len(ids))
	}
}

// A task that stands in a list, but not in that of its state, is put there, as one that stands nowhere.
func TestAdoptTellsTheListsApart(t *testing.T) {
	each(t, func(s *scene) {
		s.start("runs")
		s.add("t1")
		s.rdb.HSet(s.ctx(), s.q.Task("t1"), "state", "active") // and stands in pending

		if adopted := s.adopt(); adopted != (store.Adopted{Placed: 1}) {
			s.t.Errorf("adopted %+v", adopted)
		}
		s.stands("runs", "active")
		if s.sweep(); len(s.places("t1")) != 1 {
			s.t.Errorf("the task stands in %v after a sweep", s.places("t1"))
		}
		s.stands("t1", "active")
	})
}

// A cursor that a hand has written stops nothing.
func TestAdoptBeginsAnewAtACursorThatIsNone(t *testing.T) {
	each(t, func(s *scene) {
		s.add("t1")
		s.expel("t1")
		s.rdb.Set(s.ctx(), s.q.Cursor(), "nonsense", 0)
		if adopted := s.adopt(); adopted != (store.Adopted{Placed: 1}) {
			s.t.Errorf("adopted %+v", adopted)
		}
		s.stands("t1", "pending")
	})
}
