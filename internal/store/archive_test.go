package store_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/store"
)

func TestArchiveEndsATaskForGood(t *testing.T) {
	eachCase(t, map[string]struct {
		reason seri.Reason
		state  seri.State
		events string
		locked int64
	}{
		"because no retry is left":  {seri.ReasonExhausted, seri.Failed, "queued started failed", 1},
		"because it cannot succeed": {seri.ReasonPermanent, seri.Failed, "queued started failed", 1},
		"because it was revoked":    {seri.ReasonRevoked, seri.Revoked, "queued started revoked", 0},
	}, func(s *scene, c struct {
		reason seri.Reason
		state  seri.State
		events string
		locked int64
	}) {
		l := s.start("t1", func(m *seri.Message) { m.UniqueFor = time.Hour })

		s.must(s.Archive(s.ctx(), s.q, []store.Ending{{Lease: l, Reason: c.reason, Error: "boom \xff"}}))

		s.stands("t1", "archived")
		last := s.tells("t1", c.events)
		if last.Data.Reason != c.reason || last.Data.Error != "boom \ufffd" || last.Data.Attempt != 1 {
			s.t.Errorf("event %+v", last)
		}
		info := s.info("t1")
		if info.State != c.state || info.Reason != c.reason || info.Error != "boom \ufffd" || info.FinishedAt.IsZero() {
			s.t.Errorf("info %+v", info)
		}
		if m := s.raw("t1"); m.Retried != 0 || m.LastFailedAt == 0 {
			s.t.Errorf("message %+v: an archived task's retried stays, its last failure is told", m)
		}
		if got := s.rdb.Exists(s.ctx(), s.q.Unique("mail:send", l.Message.Payload)).Val(); got != c.locked {
			s.t.Errorf("the uniqueness lock exists: %d, want %d", got, c.locked)
		}
		s.counts(1, 1)
	})
}

// asynq's A8: its archive script deletes what is too old in one call, and stops at Lua's limit after it has moved the task.
func TestArchiveWorksBeforeNineThousandOldTasks(t *testing.T) {
	eachServer(t, func(s *scene) {
		old := make([]redis.Z, 9000)
		pipe := s.rdb.Pipeline()
		for i := range old {
			id := "old" + strconv.Itoa(i)
			old[i] = redis.Z{Score: float64(i + 1), Member: id}
			pipe.HSet(s.ctx(), s.q.Task(id), "msg", "m", "state", "archived", "owner", "user:1")
		}
		pipe.ZAdd(s.ctx(), s.q.Archived(), old...)
		if _, err := pipe.Exec(s.ctx()); err != nil {
			s.t.Fatal(err)
		}
		l := s.start("t1")

		s.must(s.Archive(s.ctx(), s.q, []store.Ending{{Lease: l, Reason: seri.ReasonExhausted}}))

		s.stands("t1", "archived")
		s.tells("t1", "queued started failed")

		// purge does the trimming, in steps.
		keep := store.Keep{Archived: 90 * 24 * time.Hour, MaxArchived: 9999, Events: time.Hour}
		for step := range 9 {
			p, err := s.Purge(s.ctx(), s.q, 5000, keep)
			if err != nil || p.Archived != 1000 {
				s.t.Fatalf("step %d: %+v, %v; want 1,000 tasks at most in a call", step, p, err)
			}
		}
		if p, err := s.Purge(s.ctx(), s.q, 1000, keep); err != nil || p.Archived != 0 {
			s.t.Errorf("%+v, %v", p, err)
		}
		s.stands("t1", "archived")
		if n := s.rdb.Exists(s.ctx(), s.q.Task("old0"), s.q.Task("old8999")).Val(); n != 0 {
			s.t.Error("an old task is left")
		}
	})
}

func TestAnOperatorsRunOfAnArchivedTaskStartsAnew(t *testing.T) {
	revoked := func(end attempt) func(s *scene, l *store.Lease) {
		return func(s *scene, l *store.Lease) {
			if _, err := s.Revoke(s.ctx(), s.q, "t1"); err != nil {
				s.t.Fatal(err)
			}
			s.must(end(s, l))
		}
	}
	eachCase(t, map[string]func(s *scene, l *store.Lease){
		"that had failed":                         func(s *scene, l *store.Lease) { s.must(attempts["archive"](s, l)) },
		"that was revoked, and was to be retried": revoked(attempts["retry"]),
		"that was revoked, and failed":            revoked(attempts["archive"]),
		"that was revoked, but succeeded":         revoked(attempts["complete"]),
		"that was revoked, and handed back": func(s *scene, l *store.Lease) {
			revoked(attempts["requeue"])(s, l)
			s.dequeue(1)
		},
		"that was revoked, and its worker vanished": func(s *scene, l *store.Lease) {
			revoked(func(s *scene, l ...*store.Lease) ([]error, error) { s.lapse("t1"); s.recover(); return nil, nil })(s, l)
		},
		"that was revoked before it ran": func(s *scene, l *store.Lease) {
			s.must(attempts["requeue"](s, l))
			if _, err := s.Revoke(s.ctx(), s.q, "t1"); err != nil {
				s.t.Fatal(err)
			}
		},
	}, func(s *scene, end func(s *scene, l *store.Lease)) {
		end(s, s.start("t1"))
		before := len(s.story("t1"))

		// as asynq's Inspector.RunTask
		s.rdb.ZRem(s.ctx(), s.q.Archived(), "t1")
		s.rdb.ZRem(s.ctx(), s.q.Completed(), "t1")
		s.rdb.LPush(s.ctx(), s.q.Pending(), "t1")
		s.rdb.HSet(s.ctx(), s.q.Task("t1"), "state", "pending")
		l := s.lease()

		s.stands("t1", "active")
		if info := s.info("t1"); info.State != seri.Active || info.Reason != "" || !info.FinishedAt.IsZero() || info.Result != nil {
			s.t.Errorf("info %+v", info)
		}
		s.must(s.Complete(s.ctx(), s.q, []store.Completion{{Lease: l, Result: []byte("2")}}))
		s.stands("t1", "completed")
		story := s.story("t1")
		if len(story) != before+2 || story[before].Kind != seri.EventStarted {
			s.t.Errorf("events %+v", story)
		}
	})
}
