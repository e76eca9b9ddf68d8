package store_test

import (
	"math"
	"testing"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/store"
)

func TestRetrySchedulesTheNextAttempt(t *testing.T) {
	eachCase(t, map[string]time.Duration{
		"in 300 ms": 300 * time.Millisecond, "in a minute": time.Minute, "at once": 0,
	}, func(s *scene, after time.Duration) {
		l := s.start("t1", func(m *seri.Message) { m.Headers = map[string]string{"a": "b"} })
		enqueued := s.info("t1").EnqueuedAt

		s.must(s.Retry(s.ctx(), s.q, []store.Retry{{Lease: l, After: after, Error: "boom \xff \"x\""}}))

		s.stands("t1", "retry")
		last := s.tells("t1", "queued started retrying")
		if last.Data.Attempt != 1 || last.Data.Error != "boom \ufffd \"x\"" || last.Data.Due.Sub(last.Time) != after {
			s.t.Errorf("event %+v", last)
		}
		info := s.info("t1")
		if info.State != seri.Retrying || info.Attempt != 1 || info.Error != "boom \ufffd \"x\"" || !info.DueAt.Equal(last.Data.Due) || !info.EnqueuedAt.Equal(enqueued.Truncate(time.Millisecond)) {
			s.t.Errorf("info %+v", info)
		}
		m := s.raw("t1")
		if m.Retried != 1 || m.LastError != info.Error || m.LastFailedAt < last.Time.Unix() || m.Headers["a"] != "b" || m.Timeout != 60 {
			s.t.Errorf("message %+v", m)
		}
		score := s.rdb.ZScore(s.ctx(), s.q.Retry(), "t1").Val()
		if want := math.Ceil(float64(last.Data.Due.UnixMilli()) / 1000); score != want {
			s.t.Errorf("score %f, want the whole second %f, for asynq's readers", score, want)
		}
		s.counts(1, 1)
	})
}

func TestRetryCountsEveryAttempt(t *testing.T) {
	each(t, func(s *scene) {
		s.add("t1")
		for attempt := 1; attempt <= 3; attempt++ {
			l := s.lease()
			if l.Attempt() != attempt || l.Message.Retried != attempt-1 {
				s.t.Errorf("attempt %d has the lease %+v", attempt, l)
			}
			if story := s.story("t1"); story[len(story)-1].Data.Attempt != attempt {
				s.t.Errorf("attempt %d has the event %+v", attempt, story[len(story)-1])
			}
			s.must(s.Retry(s.ctx(), s.q, []store.Retry{{Lease: l, After: time.Hour}}))
			s.come("t1")
			if f := s.forward(); f.Moved != 1 {
				s.t.Errorf("forwarded %+v", f)
			}
		}
		s.counts(3, 3)
	})
}

func TestRetryOfARevokedTaskRevokesIt(t *testing.T) {
	each(t, func(s *scene) {
		l := s.start("t1", func(m *seri.Message) { m.UniqueFor = time.Hour })
		if running, err := s.Revoke(s.ctx(), s.q, "t1"); !running || err != nil {
			s.t.Fatal(running, err)
		}

		s.must(s.Retry(s.ctx(), s.q, []store.Retry{{Lease: l, Error: "cancelled"}}))

		s.stands("t1", "archived")
		if last := s.tells("t1", "queued started revoked"); last.Data.Reason != seri.ReasonRevoked {
			s.t.Errorf("event %+v", last)
		}
		if info := s.info("t1"); info.State != seri.Revoked || info.Reason != seri.ReasonRevoked || info.FinishedAt.IsZero() || !info.DueAt.IsZero() {
			s.t.Errorf("info %+v", info)
		}
		if n := s.rdb.Exists(s.ctx(), s.q.Unique("mail:send", l.Message.Payload), s.q.Due()).Val(); n != 0 {
			s.t.Error("its uniqueness lock or its due time is left")
		}
		s.changesNothing("the repeated call", func() {
			s.must(s.Retry(s.ctx(), s.q, []store.Retry{{Lease: l, Error: "cancelled"}}))
		})
	})
}
