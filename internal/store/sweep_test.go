package store_test

import (
	"maps"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/store"
)

func (s *scene) sweep() store.Swept {
	s.t.Helper()
	swept, err := s.Sweep(s.ctx(), s.q, 30*time.Second)
	if err != nil {
		s.t.Fatal(err)
	}
	return swept
}

// asynq's A4: a task that is active without a lease stays so for ever.
func TestSweepLeasesWhatIsActiveWithoutALease(t *testing.T) {
	each(t, func(s *scene) {
		s.addMany("t", 2)
		s.dequeue(2)
		s.rdb.ZRem(s.ctx(), s.q.Lease(), "t0")
		before := s.rdb.ZScore(s.ctx(), s.q.Lease(), "t1").Val()

		if swept := s.sweep(); swept.Leased != 1 || swept.Ghosts != 0 {
			s.t.Errorf("swept %+v", swept)
		}

		s.stands("t0", "active")
		if left := s.rdb.ZScore(s.ctx(), s.q.Lease(), "t0").Val() - unix(s.now()); left < 10 || left > 30 {
			s.t.Errorf("the new lease ends in %f s", left)
		}
		if after := s.rdb.ZScore(s.ctx(), s.q.Lease(), "t1").Val(); after != before {
			s.t.Errorf("the other lease moved from %f to %f", before, after)
		}
		s.lapse("t0")
		s.recover()
		s.stands("t0", "pending")
		s.tells("t0", "queued started repaired queued")
	})
}

func TestSweepLeavesASoundQueueAsItIs(t *testing.T) {
	each(t, func(s *scene) {
		s.addMany("waits", 2, func(m *seri.Message) { m.ETA = time.Now().Add(time.Hour) })
		for _, act := range []string{"complete", "retry", "archive", "requeue"} {
			s.must(attempts[act](s, s.start(act)))
		}
		s.start("runs")

		s.changesNothing("a sweep", func() {
			if swept := s.sweep(); swept != (store.Swept{}) {
				s.t.Errorf("swept %+v", swept)
			}
		})
	})
}

func TestSweepRemovesGhostsFromEveryContainer(t *testing.T) {
	each(t, func(s *scene) {
		s.add("sound", func(m *seri.Message) { m.ETA = time.Now().Add(time.Hour) })
		for _, set := range []string{s.q.Scheduled(), s.q.Retry(), s.q.Archived(), s.q.Completed()} {
			s.rdb.ZAdd(s.ctx(), set, redis.Z{Score: 1, Member: "ghost of " + set})
		}
		s.rdb.LPush(s.ctx(), s.q.Active(), "ghost of active")
		s.rdb.ZAdd(s.ctx(), s.q.Lease(), redis.Z{Score: 1, Member: "ghost of active"})
		// A worker's late write, as a stock server makes it: a hash with a result and nothing else.
		s.rdb.HSet(s.ctx(), s.q.Task("ghost of active"), "result", "late")

		if swept := s.sweep(); swept != (store.Swept{Ghosts: 5}) {
			s.t.Errorf("swept %+v", swept)
		}
		s.gone("ghost")
		told := map[string]int{} // of what had ended nothing is told: it has not failed
		for _, e := range s.events() {
			if e.Data.Reason == seri.ReasonLost && e.Kind == seri.EventFailed && e.Seq == 0 {
				told[e.Task]++
			}
		}
		if want := map[string]int{"ghost of active": 1, "ghost of " + s.q.Scheduled(): 1, "ghost of " + s.q.Retry(): 1}; !maps.Equal(told, want) {
			s.t.Errorf("told of %v, want %v", told, want)
		}
		s.stands("sound", "scheduled")
	})
}

func TestSweepRemovesASecondEntryInActive(t *testing.T) {
	each(t, func(s *scene) {
		l := s.start("t1")
		s.rdb.LPush(s.ctx(), s.q.Active(), "t1")
		s.must(s.Complete(s.ctx(), s.q, []store.Completion{{Lease: l}}))

		s.sweep()

		s.stands("t1", "completed")
	})
}

func TestSweepLooksAtEveryMember(t *testing.T) {
	eachServer(t, func(s *scene) {
		ghosts := make([]redis.Z, 2500)
		for i := range ghosts {
			ghosts[i] = redis.Z{Score: float64(i), Member: "ghost" + strconv.Itoa(i)}
		}
		s.rdb.ZAdd(s.ctx(), s.q.Archived(), ghosts...)
		s.must(attempts["archive"](s, s.start("sound")))
		s.rdb.ZAdd(s.ctx(), s.q.Archived(), redis.Z{Score: 9e9, Member: "ghost"})

		if swept := s.sweep(); swept.Ghosts != 2501 {
			s.t.Errorf("swept %+v, want 2,501 ghosts in one go", swept)
		}
		s.stands("sound", "archived")
	})
}

// faults are ways in which a structure can be wrong that each leave the task t1.
var faults = map[string]struct {
	make   func(s *scene)
	swept  store.Swept
	state  string // of t1 in the end
	reason seri.Reason
}{
	"an active task that also waits to start": {
		func(s *scene) { s.start("t1"); s.rdb.RPush(s.ctx(), s.q.Pending(), "t1") },
		store.Swept{TwoPlaces: 1}, "active", "two_places",
	},
	"a pending task that stands there twice": {
		func(s *scene) { s.add("t1"); s.rdb.RPush(s.ctx(), s.q.Pending(), "t1") },
		store.Swept{TwoPlaces: 1}, "pending", "",
	},
	"a succeeded task that is to be tried again": {
		func(s *scene) {
			s.must(attempts["complete"](s, s.start("t1")))
			s.rdb.ZAdd(s.ctx(), s.q.Retry(), redis.Z{Score: 9e9, Member: "t1"})
		},
		store.Swept{TwoPlaces: 1}, "completed", "two_places",
	},
	"a retrying task among the active": {
		func(s *scene) {
			s.must(attempts["retry"](s, s.start("t1")))
			s.rdb.LPush(s.ctx(), s.q.Active(), "t1")
			s.rdb.ZAdd(s.ctx(), s.q.Lease(), redis.Z{Score: 9e9, Member: "t1"})
		},
		store.Swept{TwoPlaces: 1}, "retry", "two_places",
	},
	"a pending task whose state says archived": {
		func(s *scene) { s.add("t1"); s.rdb.HSet(s.ctx(), s.q.Task("t1"), "state", "archived") },
		store.Swept{Restated: 1}, "pending", "wrong_state",
	},
	"an archived task whose state says active": {
		func(s *scene) {
			s.must(attempts["archive"](s, s.start("t1")))
			s.rdb.HSet(s.ctx(), s.q.Task("t1"), "state", "active")
		},
		store.Swept{Restated: 1}, "archived", "wrong_state",
	},
	"a task without a state": {
		func(s *scene) { s.add("t1", later); s.rdb.HDel(s.ctx(), s.q.Task("t1"), "state") },
		store.Swept{Restated: 1}, "scheduled", "wrong_state",
	},
	"a leased task that is missing among the active": {
		func(s *scene) { s.start("t1"); s.rdb.LRem(s.ctx(), s.q.Active(), 0, "t1") },
		store.Swept{Reactivated: 1}, "active", "no_place",
	},
	"a lease of a task that has ended": {
		func(s *scene) {
			s.must(attempts["complete"](s, s.start("t1")))
			s.rdb.ZAdd(s.ctx(), s.q.Lease(), redis.Z{Score: 9e9, Member: "t1"})
		},
		store.Swept{StaleLeases: 1}, "completed", "",
	},
	"an exact time of a task that does not wait": {
		func(s *scene) { s.add("t1"); s.rdb.ZAdd(s.ctx(), s.q.Due(), redis.Z{Score: 9e12, Member: "t1"}) },
		store.Swept{StaleTimes: 1}, "pending", "",
	},
	"an exact time that disagrees with the container's": {
		func(s *scene) { s.add("t1", later); s.rdb.ZIncrBy(s.ctx(), s.q.Due(), 5000, "t1") },
		store.Swept{StaleTimes: 1}, "scheduled", "",
	},
}

func TestSweepPutsEveryTaskWhereItBelongsAndThereAlone(t *testing.T) {
	eachCase(t, faults, func(s *scene, c struct {
		make   func(s *scene)
		swept  store.Swept
		state  string
		reason seri.Reason
	}) {
		s.add("sound")
		s.dequeue(1)
		c.make(s)
		story := len(s.story("t1"))

		swept := s.sweep()

		if swept != c.swept {
			s.t.Errorf("swept %+v, want %+v", swept, c.swept)
		}
		s.stands("t1", c.state)
		s.stands("sound", "active")
		switch after := s.story("t1"); {
		case c.reason == "":
			if len(after) != story {
				s.t.Errorf("told %+v", after[story:])
			}
		case len(after) != story+1:
			s.t.Errorf("told %+v, want one event", after[story:])
		default:
			e := after[story]
			if info := s.info("t1"); e.Kind != seri.EventRepaired || e.Data.Reason != c.reason || e.State() != info.State {
				s.t.Errorf("told %+v of a task that is %s", e, info.State)
			}
		}
		s.counted(1)
		s.changesNothing("a second sweep", func() {
			if again := s.sweep(); again != (store.Swept{}) {
				s.t.Errorf("swept again: %+v", again)
			}
		})
	})
}

// counted checks the total of the queue's repairs.
func (s *scene) counted(want int64) {
	s.t.Helper()
	var total int64
	for _, text := range s.rdb.HVals(s.ctx(), s.q.Repairs()).Val() {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			s.t.Error(err)
		}
		total += n
	}
	if total != want {
		s.t.Errorf("%d repairs are counted, want %d", total, want)
	}
	if info := s.queue(); info.Repaired != want {
		s.t.Errorf("the queue tells of %d repairs, want %d", info.Repaired, want)
	}
}
