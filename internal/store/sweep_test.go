package store_test

import (
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

		if swept := s.sweep(); swept.Ghosts != 5 || swept.Leased != 0 {
			s.t.Errorf("swept %+v", swept)
		}
		s.gone("ghost")
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
