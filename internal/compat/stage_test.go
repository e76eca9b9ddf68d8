package compat

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/internal/store"
	"github.com/seri-queue/seri/internal/wire"
)

// stage is one queue with Seri's store on one side and asynq's client and Inspector on the other.
type stage struct {
	*store.Store
	t         *testing.T
	rdb       redis.UniversalClient
	q         keys.Queue
	queue     string
	client    *asynq.Client
	inspector *asynq.Inspector
}

// each runs a test on one Redis and on a cluster. The embedded store lacks MEMORY USAGE, which asynq's Inspector needs.
func each(t *testing.T, test func(s *stage)) {
	t.Helper()
	t.Parallel()
	redistest.Each(t, func(t *testing.T, rdb redis.UniversalClient) { test(newStage(t, rdb)) })
}

func newStage(t *testing.T, rdb redis.UniversalClient) *stage {
	t.Helper()
	queue := redistest.Queue(t)
	return &stage{
		store.New(rdb, store.Config{}), t, rdb, keys.Queue(queue), queue,
		asynq.NewClientFromRedisClient(rdb), asynq.NewInspectorFromRedisClient(rdb),
	}
}

func (s *stage) ctx() context.Context { return s.t.Context() }

func (s *stage) check(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) must(errs []error, err error) {
	s.t.Helper()
	s.check(errors.Join(append(slices.Clone(errs), err)...))
}

func (s *stage) add(id string, change ...func(*seri.Message)) seri.Message {
	s.t.Helper()
	m := seri.Message{
		ID: id, Type: "mail:send", Queue: s.queue, Payload: []byte("payload of " + id), Headers: map[string]string{"trace": "abc"},
		MaxRetries: 3, Timeout: time.Minute, Retention: time.Hour,
	}
	for _, c := range change {
		c(&m)
	}
	s.must(s.Enqueue(s.ctx(), s.q, []seri.Message{m}))
	return m
}

func later(m *seri.Message) { m.ETA = time.Now().Add(time.Hour) }

func (s *stage) dequeue() store.Batch {
	s.t.Helper()
	b, err := s.Dequeue(s.ctx(), s.q, store.Wanted{Tasks: 100, Lease: 30 * time.Second, Worker: "host:1:w"})
	s.check(err)
	return b
}

// lease takes the next task, which must be id.
func (s *stage) lease(id string) *store.Lease {
	s.t.Helper()
	b, err := s.Dequeue(s.ctx(), s.q, store.Wanted{Tasks: 1, Lease: 30 * time.Second, Worker: "host:1:w"})
	s.check(err)
	if len(b.Leases) != 1 || b.Leases[0].ID() != id {
		s.t.Fatalf("batch %+v, want %s", b, id)
	}
	return &b.Leases[0]
}

func (s *stage) complete(l *store.Lease) {
	s.t.Helper()
	s.must(s.Complete(s.ctx(), s.q, []store.Completion{{Lease: l, Result: []byte(`{"ok":true}`)}}))
}

func (s *stage) retry(l *store.Lease) {
	s.t.Helper()
	s.must(s.Retry(s.ctx(), s.q, []store.Retry{{Lease: l, After: time.Hour, Error: "boom"}}))
}

func (s *stage) archive(l *store.Lease) {
	s.t.Helper()
	s.must(s.Archive(s.ctx(), s.q, []store.Ending{{Lease: l, Reason: seri.ReasonExhausted, Error: "boom"}}))
}

// into are the ways to bring a task into each of asynq's states with Seri.
var into = map[asynq.TaskState]func(s *stage, id string){
	asynq.TaskStatePending:   func(s *stage, id string) { s.add(id) },
	asynq.TaskStateScheduled: func(s *stage, id string) { s.add(id, later) },
	asynq.TaskStateActive:    func(s *stage, id string) { s.add(id); s.lease(id) },
	asynq.TaskStateRetry:     func(s *stage, id string) { s.add(id); s.retry(s.lease(id)) },
	asynq.TaskStateArchived:  func(s *stage, id string) { s.add(id); s.archive(s.lease(id)) },
	asynq.TaskStateCompleted: func(s *stage, id string) { s.add(id); s.complete(s.lease(id)) },
}

// lists are the Inspector's lists of each state.
var lists = map[asynq.TaskState]func(*asynq.Inspector, string, ...asynq.ListOption) ([]*asynq.TaskInfo, error){
	asynq.TaskStatePending:   (*asynq.Inspector).ListPendingTasks,
	asynq.TaskStateScheduled: (*asynq.Inspector).ListScheduledTasks,
	asynq.TaskStateActive:    (*asynq.Inspector).ListActiveTasks,
	asynq.TaskStateRetry:     (*asynq.Inspector).ListRetryTasks,
	asynq.TaskStateArchived:  (*asynq.Inspector).ListArchivedTasks,
	asynq.TaskStateCompleted: (*asynq.Inspector).ListCompletedTasks,
}

func (s *stage) info(id string) seri.Info {
	s.t.Helper()
	info, err := s.Info(s.ctx(), s.q, id)
	s.check(err)
	return info
}

// stock reads the task as asynq sees it.
func (s *stage) stock(id string) *asynq.TaskInfo {
	s.t.Helper()
	info, err := s.inspector.GetTaskInfo(s.queue, id)
	s.check(err)
	return info
}

// sound checks that asynq's readers work on the queue, that its counts fit its lists, and that Seri's sweep finds nothing.
func (s *stage) sound() *asynq.QueueInfo {
	s.t.Helper()
	info, err := s.inspector.GetQueueInfo(s.queue)
	s.check(err)
	for state, count := range map[asynq.TaskState]int{
		asynq.TaskStatePending: info.Pending, asynq.TaskStateScheduled: info.Scheduled, asynq.TaskStateActive: info.Active,
		asynq.TaskStateRetry: info.Retry, asynq.TaskStateArchived: info.Archived, asynq.TaskStateCompleted: info.Completed,
	} {
		tasks, err := lists[state](s.inspector, s.queue)
		s.check(err)
		if len(tasks) != count {
			s.t.Errorf("asynq counts %d %v tasks and lists %d", count, state, len(tasks))
		}
		for _, task := range tasks {
			if task.State != state || s.stock(task.ID).State != state {
				s.t.Errorf("task %s is listed as %v, its record says %v", task.ID, state, s.stock(task.ID).State)
			}
		}
	}
	if info.MemoryUsage < 0 || info.Size != info.Pending+info.Active+info.Scheduled+info.Retry+info.Archived+info.Completed+info.Aggregating {
		s.t.Errorf("asynq sees %+v", info)
	}
	swept, err := s.Sweep(s.ctx(), s.q, time.Minute)
	swept.StaleTimes = 0 // the exact times of tasks that asynq has moved, which count for nothing by then
	if err != nil || swept != (store.Swept{}) {
		s.t.Errorf("sweep found %+v, %v", swept, err)
	}
	return info
}

// kinds returns a task's events, after checking that they are numbered without a gap.
func (s *stage) kinds(id string) []seri.EventKind {
	s.t.Helper()
	entries, err := s.rdb.XRange(s.ctx(), s.q.Events(), "-", "+").Result()
	s.check(err)
	var kinds []seri.EventKind
	for _, entry := range entries {
		text, _ := entry.Values["e"].(string)
		events, err := wire.DecodeEvents(s.queue, text)
		s.check(err)
		for _, e := range events {
			if e.Task != id {
				continue
			}
			kinds = append(kinds, e.Kind)
			if e.Seq != uint64(len(kinds)) {
				s.t.Errorf("task %s: event %d has the number %d", id, len(kinds), e.Seq)
			}
		}
	}
	return kinds
}

// come makes a waiting task due in all that tells its time, as the hour that passes would, and forwards.
func (s *stage) come(id string) store.Forwarded {
	s.t.Helper()
	for _, set := range []string{s.q.Scheduled(), s.q.Retry(), s.q.Due()} {
		s.check(s.rdb.ZAddArgs(s.ctx(), set, redis.ZAddArgs{XX: true, Members: []redis.Z{{Score: 1, Member: id}}}).Err())
	}
	f, err := s.Forward(s.ctx(), s.q, 100)
	s.check(err)
	return f
}
