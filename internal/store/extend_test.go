package store_test

import (
	"errors"
	"testing"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/store"
)

func TestExtendMovesLeasesForward(t *testing.T) {
	each(t, func(s *scene) {
		s.addMany("t", 3)
		leases := pointers(s.dequeue(3))
		before := s.now()

		s.must(s.Extend(s.ctx(), s.q, leases[:2], time.Hour))

		for i, want := range []float64{3600, 3600, 30} {
			got := s.rdb.ZScore(s.ctx(), s.q.Lease(), leases[i].ID()).Val() - unix(before)
			if got > want+20 || got < want-20 {
				s.t.Errorf("the lease of %s ends in %f s, want %f", leases[i].ID(), got, want)
			}
		}
	})
}

// The lease's truth is what Redis says: as long as nobody has taken the task back, its holder may go on.
func TestExtendRenewsALeaseThatHasRunOutButWasNotTaken(t *testing.T) {
	each(t, func(s *scene) {
		l := s.start("t1")
		s.lapse("t1")

		s.must(s.Extend(s.ctx(), s.q, []*store.Lease{l}, time.Minute))

		// asynq's A3: a recoverer that has seen the old expiry takes the task all the same.
		s.changesNothing("recovery", func() {
			if r := s.recover(); r.Taken != 0 {
				s.t.Errorf("a renewed lease was taken: %+v", r)
			}
		})
		s.must(s.Complete(s.ctx(), s.q, []store.Completion{{Lease: l}}))
	})
}

func TestExtendGivesBackALeaseThatIsMissing(t *testing.T) {
	each(t, func(s *scene) {
		l := s.start("t1")
		s.rdb.ZRem(s.ctx(), s.q.Lease(), "t1")

		s.must(s.Extend(s.ctx(), s.q, []*store.Lease{l}, time.Minute))

		s.stands("t1", "active")
	})
}

func TestExtendTellsThatATaskIsRevoked(t *testing.T) {
	each(t, func(s *scene) {
		s.addMany("t", 2)
		leases := pointers(s.dequeue(2))
		if running, err := s.Revoke(s.ctx(), s.q, "t0"); !running || err != nil {
			s.t.Fatal(running, err)
		}

		errs, err := s.Extend(s.ctx(), s.q, leases, time.Hour)

		if err != nil || !errors.Is(errs[0], seri.ErrRevoked) || errs[1] != nil {
			s.t.Errorf("answered %v, %v", errs, err)
		}
		if left := s.rdb.ZScore(s.ctx(), s.q.Lease(), "t0").Val() - unix(s.now()); left < 3000 {
			s.t.Errorf("the lease of the revoked task ends in %f s: its handler must be able to stop in peace", left)
		}
	})
}

// asynq's A10: the lock of a task that runs for long ends under it, and an equal task runs beside it.
func TestExtendKeepsTheUniquenessLockOfARunningTask(t *testing.T) {
	const lease = time.Minute
	eachCase(t, map[string]struct {
		before      func(s *scene, lock string)
		holder      string
		least, most time.Duration
	}{
		"that ends before the lease": {func(s *scene, lock string) { s.rdb.PExpire(s.ctx(), lock, 2*time.Second) }, "t1", lease - 20*time.Second, lease},
		"that ends long after it":    {func(*scene, string) {}, "t1", time.Hour - 20*time.Second, time.Hour},
		"that has ended":             {func(s *scene, lock string) { s.rdb.Del(s.ctx(), lock) }, "t1", lease - 20*time.Second, lease},
		"that is another's":          {func(s *scene, lock string) { s.rdb.Set(s.ctx(), lock, "t2", 2*time.Minute) }, "t2", 100 * time.Second, 2 * time.Minute},
		"after the lease was lost": {func(s *scene, lock string) {
			s.rdb.PExpire(s.ctx(), lock, 30*time.Second)
			s.rdb.HSet(s.ctx(), s.q.Task("t1"), "nonce", "another")
		}, "t1", time.Second, 30 * time.Second},
		"that is no such key": {func(s *scene, lock string) {
			s.rdb.PExpire(s.ctx(), lock, 30*time.Second)
			s.rdb.HSet(s.ctx(), s.q.Task("t1"), "unique_key", "asynq:{elsewhere}:unique:x:")
		}, "t1", time.Second, 30 * time.Second},
	}, func(s *scene, c struct {
		before      func(s *scene, lock string)
		holder      string
		least, most time.Duration
	}) {
		l := s.start("t1", func(m *seri.Message) { m.UniqueFor = time.Hour })
		lock := s.q.Unique("mail:send", l.Message.Payload)
		c.before(s, lock)

		if _, err := s.Extend(s.ctx(), s.q, []*store.Lease{l}, lease); err != nil {
			s.t.Fatal(err)
		}

		if holder, left := s.rdb.Get(s.ctx(), lock).Val(), s.rdb.PTTL(s.ctx(), lock).Val(); holder != c.holder || left < c.least || left > c.most {
			s.t.Errorf("the lock is %s's for %v, want %s's for %v to %v", holder, left, c.holder, c.least, c.most)
		}
	})
}
