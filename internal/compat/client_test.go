package compat

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/store"
)

func TestStockClientEnqueuesAndSeriRuns(t *testing.T) {
	each(t, func(s *stage) {
		deadline := time.Now().Add(time.Hour).Truncate(time.Second)
		task := asynq.NewTaskWithHeaders("mail:send", []byte{0, 1, 255}, map[string]string{"trace": "ü"})
		info, err := s.client.Enqueue(task, asynq.Queue(s.queue), asynq.TaskID("t1"), asynq.MaxRetry(7), asynq.Timeout(90*time.Second),
			asynq.Deadline(deadline), asynq.Retention(2*time.Hour))
		s.check(err)
		if before := s.info("t1"); before.State != seri.Pending || before.EnqueuedAt.IsZero() || before.Seq != 0 {
			s.t.Errorf("before: %+v", before)
		}

		l := s.lease(info.ID)

		m := l.Message
		if m.Type != "mail:send" || string(m.Payload) != "\x00\x01\xff" || m.Headers["trace"] != "ü" || m.MaxRetries != 7 || m.Timeout != 90 ||
			m.Deadline != deadline.Unix() || m.Retention != 7200 || l.Attempt() != 1 || l.Token == 0 {
			s.t.Errorf("lease %+v", l)
		}
		if active := s.stock("t1"); active.State != asynq.TaskStateActive {
			s.t.Errorf("asynq sees %+v", active)
		}
		s.complete(l)

		after := s.info("t1")
		if after.State != seri.Succeeded || after.Retention != 2*time.Hour || string(after.Result) != `{"ok":true}` || after.EnqueuedAt.IsZero() {
			s.t.Errorf("after: %+v", after)
		}
		done := s.stock("t1")
		if done.State != asynq.TaskStateCompleted || string(done.Result) != `{"ok":true}` || time.Since(done.CompletedAt) > time.Minute || done.Headers["trace"] != "ü" {
			s.t.Errorf("asynq sees %+v", done)
		}
		if kinds := s.kinds("t1"); !slices.Equal(kinds, []seri.EventKind{seri.EventQueued, seri.EventStarted, seri.EventSucceeded}) {
			s.t.Errorf("events %v", kinds)
		}
		if q := s.sound(); q.Processed != 1 || q.Failed != 0 || q.ProcessedTotal != 1 {
			s.t.Errorf("asynq counts %+v", q)
		}
	})
}

func TestStockClientsDefaultTaskIsDeletedAtItsEnd(t *testing.T) {
	each(t, func(s *stage) {
		info, err := s.client.Enqueue(asynq.NewTask("mail:send", nil), asynq.Queue(s.queue))
		s.check(err)

		l := s.lease(info.ID)
		if l.Message.MaxRetries != 25 || l.Message.Timeout != 1800 || l.Message.Payload != nil {
			s.t.Errorf("lease %+v", l)
		}
		s.complete(l)

		if _, err := s.inspector.GetTaskInfo(s.queue, info.ID); !errors.Is(err, asynq.ErrTaskNotFound) {
			s.t.Errorf("asynq answers %v", err)
		}
		s.sound()
	})
}

func TestStockClientSchedulesAndSeriForwardsInTime(t *testing.T) {
	each(t, func(s *stage) {
		_, err := s.client.Enqueue(asynq.NewTask("mail:send", nil), asynq.Queue(s.queue), asynq.TaskID("t1"), asynq.ProcessIn(time.Hour))
		s.check(err)
		score := s.rdb.ZScore(s.ctx(), s.q.Scheduled(), "t1").Val()

		if info := s.info("t1"); info.State != seri.Scheduled || info.DueAt.Unix() != int64(score) {
			s.t.Errorf("info %+v, score %f", info, score)
		}
		if f, err := s.Forward(s.ctx(), s.q, 100); err != nil || f.Moved != 0 || f.Next < 59*time.Minute || f.Next > time.Hour {
			s.t.Errorf("forwarded %+v, %v", f, err)
		}
		s.rdb.ZAdd(s.ctx(), s.q.Scheduled(), redis.Z{Score: float64(time.Now().Unix()), Member: "t1"})
		if f, err := s.Forward(s.ctx(), s.q, 100); err != nil || f.Moved != 1 {
			s.t.Errorf("forwarded %+v, %v", f, err)
		}
		if q := s.sound(); q.Latency > time.Minute {
			s.t.Errorf("asynq sees a latency of %v", q.Latency)
		}
		s.complete(s.lease("t1"))
	})
}

func TestStockClientAndSeriShareUniqueness(t *testing.T) {
	each(t, func(s *stage) {
		task := asynq.NewTask("mail:send", []byte("same"))
		same := func(m *seri.Message) { m.Payload, m.UniqueFor = []byte("same"), time.Hour }

		_, err := s.client.Enqueue(task, asynq.Queue(s.queue), asynq.TaskID("stock"), asynq.Unique(time.Hour))
		s.check(err)
		errs, err := s.Enqueue(s.ctx(), s.q, []seri.Message{{ID: "seri", Type: "mail:send", Payload: []byte("same"), UniqueFor: time.Hour}})
		if err != nil || !errors.Is(errs[0], seri.ErrDuplicate) {
			s.t.Errorf("Seri answers %v, %v", errs, err)
		}
		s.complete(s.lease("stock")) // frees the lock

		s.add("seri", same)
		if _, err := s.client.Enqueue(task, asynq.Queue(s.queue), asynq.Unique(time.Hour)); !errors.Is(err, asynq.ErrDuplicateTask) {
			s.t.Errorf("asynq answers %v", err)
		}
		s.check(s.inspector.DeleteTask(s.queue, "seri")) // frees the lock
		s.add("seri", same)
		if _, err := s.Revoke(s.ctx(), s.q, "seri"); err != nil { // frees the lock
			s.t.Error(err)
		}
		if _, err := s.client.Enqueue(task, asynq.Queue(s.queue), asynq.Unique(time.Hour)); err != nil {
			s.t.Errorf("asynq answers %v", err)
		}
		s.sound()
	})
}

func TestStockClientAndSeriShareIDs(t *testing.T) {
	each(t, func(s *stage) {
		s.add("t1")
		if _, err := s.client.Enqueue(asynq.NewTask("x", nil), asynq.Queue(s.queue), asynq.TaskID("t1")); !errors.Is(err, asynq.ErrTaskIDConflict) {
			s.t.Errorf("asynq answers %v", err)
		}
		_, err := s.client.Enqueue(asynq.NewTask("x", nil), asynq.Queue(s.queue), asynq.TaskID("t2"))
		s.check(err)
		errs, err := s.Enqueue(s.ctx(), s.q, []seri.Message{{ID: "t2", Type: "x"}})
		if err != nil || !errors.Is(errs[0], seri.ErrConflict) {
			s.t.Errorf("Seri answers %v, %v", errs, err)
		}
		if b := s.dequeue(); len(b.Leases) != 2 || b.Leases[0].ID() != "t1" || b.Leases[1].ID() != "t2" {
			s.t.Errorf("batch %+v", b)
		}
	})
}

// A group's task waits for asynq's aggregator. Run by hand, it is a task as any other.
func TestStockClientsGroupWaitsUntilItIsRun(t *testing.T) {
	each(t, func(s *stage) {
		for _, id := range []string{"t1", "t2"} {
			_, err := s.client.Enqueue(asynq.NewTask("mail:send", []byte("p")), asynq.Queue(s.queue), asynq.TaskID(id), asynq.Group("g"))
			s.check(err)
		}
		if b := s.dequeue(); b.Popped != 0 {
			s.t.Errorf("batch %+v", b)
		}
		if running, err := s.Revoke(s.ctx(), s.q, "t2"); err != nil || !running {
			s.t.Errorf("revoke of a grouped task: %t, %v", running, err)
		}

		n, err := s.inspector.RunAllAggregatingTasks(s.queue, "g")
		if err != nil || n != 2 {
			s.t.Errorf("asynq runs %d, %v", n, err)
		}
		b := s.dequeue()
		if len(b.Leases) != 1 || b.Leases[0].ID() != "t1" || b.Leases[0].Message.GroupKey != "g" {
			s.t.Fatalf("batch %+v", b)
		}
		s.retry(&b.Leases[0])
		if f := s.come("t1"); f.Moved != 1 {
			s.t.Errorf("forwarded %+v", f)
		}
		s.complete(s.lease("t1"))
		if info := s.info("t2"); info.State != seri.Revoked {
			s.t.Errorf("info %+v", info)
		}
		s.sound()
	})
}

func TestStockPauseIsHonouredAndSerisPauseIsSeen(t *testing.T) {
	each(t, func(s *stage) {
		s.add("t1")
		s.check(s.inspector.PauseQueue(s.queue))
		if b := s.dequeue(); !b.Paused {
			s.t.Errorf("batch %+v", b)
		}
		s.check(s.Pause(s.ctx(), s.q))
		s.check(s.Resume(s.ctx(), s.q))
		if q := s.sound(); q.Paused {
			s.t.Errorf("asynq sees %+v", q)
		}
		s.check(s.Pause(s.ctx(), s.q))
		if q := s.sound(); !q.Paused {
			s.t.Errorf("asynq sees %+v", q)
		}
		s.check(s.inspector.UnpauseQueue(s.queue))
		s.lease("t1")
	})
}

func TestStockInspectorSeesALeaseThatRanOutAsOrphaned(t *testing.T) {
	each(t, func(s *stage) {
		s.add("t1")
		l := s.lease("t1")
		orphaned := func() bool {
			tasks, err := s.inspector.ListActiveTasks(s.queue)
			s.check(err)
			return tasks[0].IsOrphaned
		}

		if orphaned() {
			s.t.Error("a task in time is an orphan")
		}
		s.rdb.ZAdd(s.ctx(), s.q.Lease(), redis.Z{Score: 1, Member: "t1"})
		if !orphaned() {
			s.t.Error("a task whose lease ran out is none")
		}
		s.must(s.Extend(s.ctx(), s.q, []*store.Lease{l}, time.Minute))
		if orphaned() {
			s.t.Error("an extended task is an orphan")
		}
	})
}
