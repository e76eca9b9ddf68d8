package store_test

import (
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/store"
)

func TestRecoverTakesBackWhatHasRunOutAndNothingElse(t *testing.T) {
	each(t, func(s *scene) {
		s.addMany("t", 3, func(m *seri.Message) { m.Owner = "user:1" })
		s.dequeue(3)
		s.lapse("t1")

		r := s.recover()

		if r.Taken != 1 || r.Poison != 0 || !r.Others {
			s.t.Errorf("recovered %+v", r)
		}
		s.stands("t0", "active")
		s.stands("t1", "pending")
		s.stands("t2", "active")
		if last := s.tells("t1", "queued started queued"); last.Data.Reason != seri.ReasonCrashed || last.Owner != "user:1" {
			s.t.Errorf("event %+v", last)
		}
		s.changesNothing("a second recovery", func() {
			if r := s.recover(); r.Taken != 0 {
				s.t.Errorf("recovered %+v", r)
			}
		})
		s.lapse("t0", "t2")
		if r := s.recover(); r.Taken != 2 || r.Others {
			s.t.Errorf("recovered %+v", r)
		}
	})
}

// asynq's A6: the death of a worker costs a retry, and a task without retries is archived by the first one.
func TestACrashCostsNoRetry(t *testing.T) {
	each(t, func(s *scene) {
		s.start("t1", func(m *seri.Message) { m.MaxRetries = 0 })
		s.lapse("t1")
		s.recover()

		l := s.lease()

		if l.Attempt() != 1 || l.Message.Retried != 0 {
			s.t.Errorf("lease %+v", l)
		}
		if info := s.info("t1"); info.Attempt != 1 || info.Crashes != 1 || info.State != seri.Active {
			s.t.Errorf("info %+v", info)
		}
		s.counts(0, 0)
	})
}

func TestRecoverGivesATaskUpAsPoisonAtTheThirdCrash(t *testing.T) {
	each(t, func(s *scene) {
		s.start("t1", func(m *seri.Message) { m.UniqueFor, m.Owner = time.Hour, "user:1" })

		s.lapse("t1")
		s.recover()
		s.stands("t1", "pending")
		s.lease()

		s.lapse("t1")
		s.recover()
		s.stands("t1", "retry")
		last := s.tells("t1", "queued started queued started retrying")
		if wait := last.Data.Due.Sub(last.Time); last.Data.Reason != seri.ReasonCrashed || wait < 500*time.Millisecond || wait > time.Second {
			s.t.Errorf("event %+v: want a back-off between 0.5 s and 1 s", last)
		}
		if info := s.info("t1"); info.State != seri.Retrying || info.Reason != seri.ReasonCrashed || info.Attempt != 1 || info.Crashes != 2 || !info.DueAt.Equal(last.Data.Due) {
			s.t.Errorf("info %+v", info)
		}
		s.come("t1")
		s.forward()
		if l := s.lease(); l.Attempt() != 1 {
			s.t.Errorf("lease %+v", l)
		}

		s.lapse("t1")
		if r := s.recover(); r.Taken != 1 || r.Poison != 1 {
			s.t.Errorf("recovered %+v", r)
		}

		s.stands("t1", "archived")
		last = s.tells("t1", "queued started queued started retrying queued started failed")
		if last.Data.Reason != seri.ReasonPoison || !strings.Contains(last.Data.Error, "vanished 3 times") || last.Owner != "user:1" {
			s.t.Errorf("event %+v", last)
		}
		info := s.info("t1")
		if info.State != seri.Failed || info.Reason != seri.ReasonPoison || info.Error != last.Data.Error || info.Crashes != 3 || info.FinishedAt.IsZero() {
			s.t.Errorf("info %+v", info)
		}
		if m := s.raw("t1"); m.LastError != last.Data.Error || m.LastFailedAt < last.Time.Unix() || string(m.Payload) != `{"to":"t1"}` {
			s.t.Errorf("message %+v", m)
		}
		s.counts(1, 1)
	})
}

// An operator who has mended a poison task and runs it again gives it a new life, not one crash.
func TestThePoisonTaskThatIsRunAgainCountsItsCrashesAnew(t *testing.T) {
	each(t, func(s *scene) {
		s.start("t1")
		s.rdb.HSet(s.ctx(), s.q.Task("t1"), "crashes", policy.Max-1)
		s.lapse("t1")
		if r := s.recover(); r.Poison != 1 {
			s.t.Fatalf("recovered %+v", r)
		}
		s.rdb.ZRem(s.ctx(), s.q.Archived(), "t1") // as asynq's Inspector.RunTask
		s.rdb.LPush(s.ctx(), s.q.Pending(), "t1")
		s.rdb.HSet(s.ctx(), s.q.Task("t1"), "state", "pending")
		s.lease()
		s.lapse("t1")

		r := s.recover()

		s.stands("t1", "pending")
		if info := s.info("t1"); r.Poison != 0 || info.Crashes != 1 {
			s.t.Errorf("recovered %+v, info %+v", r, info)
		}
	})
}

func TestTheBackOffAfterCrashesGrowsAndIsBounded(t *testing.T) {
	eachCase(t, map[string]struct {
		crashes   string // so far
		low, high time.Duration
	}{
		"the third":    {"2", 2 * time.Second, 4 * time.Second},
		"the fourth":   {"3", 8 * time.Second, 16 * time.Second},
		"the fifth":    {"4", 32 * time.Second, 64 * time.Second},
		"the fiftieth": {"49", 30 * time.Minute, time.Hour},
	}, func(s *scene, c struct {
		crashes   string
		low, high time.Duration
	}) {
		s.start("t1")
		s.rdb.HSet(s.ctx(), s.q.Task("t1"), "crashes", c.crashes)
		s.lapse("t1")

		if _, err := s.Recover(s.ctx(), s.q, 10, store.CrashPolicy{Max: 1000, Backoff: time.Second}); err != nil {
			s.t.Fatal(err)
		}

		last := s.tells("t1", "queued started retrying")
		if wait := last.Data.Due.Sub(last.Time); wait < c.low || wait > c.high {
			s.t.Errorf("a back-off of %v, want between %v and %v", wait, c.low, c.high)
		}
	})
}

func TestRecoverOfARevokedTaskRevokesIt(t *testing.T) {
	each(t, func(s *scene) {
		l := s.start("t1", func(m *seri.Message) { m.UniqueFor = time.Hour })
		if running, err := s.Revoke(s.ctx(), s.q, "t1"); !running || err != nil {
			s.t.Fatal(running, err)
		}
		s.lapse("t1")

		s.recover()

		s.stands("t1", "archived")
		if last := s.tells("t1", "queued started revoked"); last.Data.Reason != seri.ReasonRevoked {
			s.t.Errorf("event %+v", last)
		}
		if n := s.rdb.Exists(s.ctx(), s.q.Unique("mail:send", l.Message.Payload)).Val(); n != 0 {
			s.t.Error("a task that will never run keeps its uniqueness lock")
		}
		s.changesNothing("its zombie", func() {
			errs, err := s.Complete(s.ctx(), s.q, []store.Completion{{Lease: l}})
			s.refused("complete", 0, errs, err)
		})
	})
}

func TestRecoverDropsLeasesOfNothing(t *testing.T) {
	eachCase(t, map[string]func(s *scene){
		"a task that is gone":       func(s *scene) { s.rdb.Del(s.ctx(), s.q.Task("t1")); s.rdb.LRem(s.ctx(), s.q.Active(), 1, "t1") },
		"a task without a message":  func(s *scene) { s.rdb.HDel(s.ctx(), s.q.Task("t1"), "msg") },
		"a task that is not a hash": func(s *scene) { s.rdb.Set(s.ctx(), s.q.Task("t1"), "x", 0) },
	}, func(s *scene, damage func(s *scene)) {
		s.start("t1")
		damage(s)
		s.lapse("t1")

		if r := s.recover(); r.Taken != 0 {
			s.t.Errorf("recovered %+v", r)
		}
		for key, value := range s.world() {
			if strings.HasPrefix(key, "asynq:") {
				s.t.Errorf("%s is left: %s", key, value)
			}
		}
	})
}

func TestRecoverLeavesATaskWhereItsHolderHasMovedIt(t *testing.T) {
	each(t, func(s *scene) {
		l := s.start("t1")
		s.must(attempts["complete"](s, l))
		s.rdb.ZAdd(s.ctx(), s.q.Lease(), redis.Z{Score: 1, Member: "t1"}) // as a stock heartbeat might

		if r := s.recover(); r.Taken != 0 {
			s.t.Errorf("recovered %+v", r)
		}
		s.stands("t1", "completed")
		s.tells("t1", "queued started succeeded")
	})
}

func TestRecoverKeepsItsLimit(t *testing.T) {
	eachServer(t, func(s *scene) {
		ids := s.addMany("t", 1000)
		s.dequeue(1000)
		pipe := s.rdb.Pipeline()
		for _, id := range ids {
			pipe.ZAdd(s.ctx(), s.q.Lease(), redis.Z{Score: 1, Member: id})
		}
		if _, err := pipe.Exec(s.ctx()); err != nil {
			s.t.Fatal(err)
		}
		for _, want := range []int{600, 400, 0} {
			if r, err := s.Recover(s.ctx(), s.q, 600, policy); err != nil || r.Taken != want {
				s.t.Errorf("recovered %+v, %v; want %d", r, err, want)
			}
		}
		if n := s.rdb.LLen(s.ctx(), s.q.Pending()).Val(); n != 1000 {
			s.t.Errorf("%d pending", n)
		}
	})
}
