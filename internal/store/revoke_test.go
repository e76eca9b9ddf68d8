package store_test

import (
	"errors"
	"testing"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/store"
)

func TestRevokeWithdrawsATaskThatDoesNotRun(t *testing.T) {
	unique := func(m *seri.Message) { m.UniqueFor, m.Owner = time.Hour, "user:1" }
	eachCase(t, map[string]struct {
		prepare func(s *scene)
		events  string
	}{
		"that may start": {func(s *scene) { s.add("t1", unique) }, "queued revoked"},
		"that waits for its time": {func(s *scene) {
			s.add("t1", unique, func(m *seri.Message) { m.ETA = time.Now().Add(time.Hour) })
		}, "scheduled revoked"},
		"that waits for its next attempt": {func(s *scene) { s.must(attempts["retry"](s, s.start("t1", unique))) }, "queued started retrying revoked"},
		"that waits for a worker of its type": {func(s *scene) {
			s.add("t1", unique)
			s.dequeue(1, "other")
		}, "queued scheduled revoked"},
		"that was handed back": {func(s *scene) { s.must(attempts["requeue"](s, s.start("t1", unique))) }, "queued started queued revoked"},
	}, func(s *scene, c struct {
		prepare func(s *scene)
		events  string
	}) {
		c.prepare(s)

		running, err := s.Revoke(s.ctx(), s.q, "t1")

		if running || err != nil {
			s.t.Errorf("answered %t, %v", running, err)
		}
		s.stands("t1", "archived")
		last := s.tells("t1", c.events)
		if last.Data.Reason != seri.ReasonRevoked || last.Owner != "user:1" {
			s.t.Errorf("event %+v", last)
		}
		if info := s.info("t1"); info.State != seri.Revoked || info.Reason != seri.ReasonRevoked || info.FinishedAt.IsZero() || info.EnqueuedAt.IsZero() {
			s.t.Errorf("info %+v", info)
		}
		if n := s.rdb.Exists(s.ctx(), s.q.Due(), s.q.Unique("mail:send", []byte(`{"to":"t1"}`))).Val(); n != 0 {
			s.t.Error("its exact time or its uniqueness lock is left")
		}
		s.changesNothing("a second revocation", func() {
			if _, err := s.Revoke(s.ctx(), s.q, "t1"); !errors.Is(err, seri.ErrNotRevocable) {
				s.t.Errorf("answered %v", err)
			}
		})
		if b := s.dequeue(10); b.Popped != 0 {
			s.t.Errorf("a dequeue gave %+v", b)
		}
	})
}

// It was marked while it ran, then handed back, and is withdrawn before a worker looks at it. Nothing of the mark may be
// left: an operator who runs the task again means it.
func TestRevokeOfAMarkedTaskThatWasHandedBackLeavesNoMark(t *testing.T) {
	each(t, func(s *scene) {
		l := s.start("t1")
		if running, err := s.Revoke(s.ctx(), s.q, "t1"); !running || err != nil {
			s.t.Fatal(running, err)
		}
		s.must(attempts["requeue"](s, l))

		if running, err := s.Revoke(s.ctx(), s.q, "t1"); running || err != nil {
			s.t.Errorf("answered %t, %v", running, err)
		}

		s.stands("t1", "archived")
		s.tells("t1", "queued started queued revoked")
		s.rdb.ZRem(s.ctx(), s.q.Archived(), "t1") // as asynq's Inspector.RunTask
		s.rdb.LPush(s.ctx(), s.q.Pending(), "t1")
		s.rdb.HSet(s.ctx(), s.q.Task("t1"), "state", "pending")
		if again := s.lease(); again.ID() != "t1" {
			s.t.Errorf("lease %+v", again)
		}
	})
}

func TestRevokeRefusesATaskThatHasEndedOrNeverWas(t *testing.T) {
	eachCase(t, map[string]struct {
		prepare func(s *scene)
		want    error
	}{
		"succeeded":              {func(s *scene) { s.must(attempts["complete"](s, s.start("t1"))) }, seri.ErrNotRevocable},
		"failed":                 {func(s *scene) { s.must(attempts["archive"](s, s.start("t1"))) }, seri.ErrNotRevocable},
		"unknown":                {func(s *scene) {}, seri.ErrNotFound},
		"a hash without message": {func(s *scene) { s.rdb.HSet(s.ctx(), s.q.Task("t1"), "result", "late") }, seri.ErrNotFound},
	}, func(s *scene, c struct {
		prepare func(s *scene)
		want    error
	}) {
		c.prepare(s)

		s.changesNothing("a refused revocation", func() {
			if running, err := s.Revoke(s.ctx(), s.q, "t1"); running || !errors.Is(err, c.want) {
				s.t.Errorf("answered %t, %v; want %v", running, err, c.want)
			}
		})
	})
}

func TestRevokeMarksARunningTaskAndCallsItsWorker(t *testing.T) {
	each(t, func(s *scene) {
		calls := s.rdb.Subscribe(s.ctx(), keys.Cancel)
		s.t.Cleanup(func() { calls.Close() })
		if _, err := calls.Receive(s.ctx()); err != nil {
			s.t.Fatal(err)
		}
		id := string(s.q) + "-t1" // the channel is everybody's
		l := s.start(id)

		for range 2 { // a repeated call marks and calls again, and is no event
			running, err := s.Revoke(s.ctx(), s.q, id)
			if !running || err != nil {
				s.t.Errorf("answered %t, %v", running, err)
			}
			for {
				m, err := calls.ReceiveMessage(s.ctx())
				if err != nil {
					s.t.Fatal(err)
				}
				if m.Payload == id {
					break
				}
			}
		}

		s.stands(id, "active")
		s.tells(id, "queued started")
		s.must(s.Complete(s.ctx(), s.q, []store.Completion{{Lease: l}})) // it was faster
		s.stands(id, "completed")
		s.tells(id, "queued started succeeded")
	})
}
