package compat

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/store"
	"github.com/seri-queue/seri/internal/wire"
)

// start starts a stock server on the queue.
func (s *stage) start(handler asynq.HandlerFunc) *asynq.Server {
	s.t.Helper()
	server := asynq.NewServerFromRedisClient(s.rdb, asynq.Config{
		Concurrency: 2, Queues: map[string]int{s.queue: 1}, LogLevel: asynq.FatalLevel,
		TaskCheckInterval:        10 * time.Millisecond,
		DelayedTaskCheckInterval: 50 * time.Millisecond,
		RetryDelayFunc:           func(int, error, *asynq.Task) time.Duration { return time.Hour },
	})
	s.check(server.Start(handler))
	return server
}

// serve runs a stock server on the queue until the handler has seen n tasks, and returns when it has stopped.
func (s *stage) serve(n int, handler asynq.HandlerFunc) {
	s.t.Helper()
	seen := make(chan string, 100)
	server := s.start(func(ctx context.Context, task *asynq.Task) error {
		id, _ := asynq.GetTaskID(ctx)
		defer func() { seen <- id }()
		return handler(ctx, task)
	})
	for range n {
		select {
		case <-seen:
		case <-time.After(20 * time.Second):
			s.t.Error("the stock server has not taken the task")
		}
	}
	server.Shutdown() // waits for what runs
}

func TestStockServerRunsSerisTasks(t *testing.T) {
	each(t, func(s *stage) {
		s.add("succeeds", func(m *seri.Message) { m.Owner, m.UniqueFor = "user:1", time.Hour })
		s.add("deleted", func(m *seri.Message) { m.Retention = 0 })
		s.add("retried")
		s.add("given up", func(m *seri.Message) { m.MaxRetries = 0 })
		s.add("skipped")
		s.add("due now", func(m *seri.Message) { m.ETA = time.Now().Add(100 * time.Millisecond) })

		s.serve(6, func(ctx context.Context, task *asynq.Task) error {
			id, _ := asynq.GetTaskID(ctx)
			retry, _ := asynq.GetMaxRetry(ctx)
			if task.Type() != "mail:send" || string(task.Payload()) != "payload of "+id || task.Headers()["trace"] != "abc" || id != "given up" && retry != 3 {
				return fmt.Errorf("the task is not what was enqueued: %s %q: %w", task.Type(), task.Payload(), asynq.SkipRetry)
			}
			switch id {
			case "retried", "given up":
				return errors.New("boom")
			case "skipped":
				return fmt.Errorf("no use: %w", asynq.SkipRetry)
			}
			_, err := task.ResultWriter().Write([]byte(`"done"`))
			return err
		})

		for id, want := range map[string]struct {
			state  seri.State
			reason seri.Reason
			err    string
		}{
			"succeeds": {seri.Succeeded, "", ""},
			"due now":  {seri.Succeeded, "", ""},
			"retried":  {seri.Retrying, "", "boom"},
			"given up": {seri.Failed, seri.ReasonArchived, "boom"},
			"skipped":  {seri.Failed, seri.ReasonArchived, "no use: skip retry for the task"},
		} {
			info := s.info(id)
			if info.State != want.state || info.Reason != want.reason || info.Error != want.err {
				s.t.Errorf("%s: %+v", id, info)
			}
			if want.state == seri.Succeeded && (string(info.Result) != `"done"` || info.FinishedAt.IsZero()) {
				s.t.Errorf("%s: %+v", id, info)
			}
			if want.state == seri.Retrying && time.Until(info.DueAt) < 59*time.Minute {
				s.t.Errorf("%s is due at %v", id, info.DueAt)
			}
		}
		if _, err := s.Info(s.ctx(), s.q, "deleted"); !errors.Is(err, seri.ErrNotFound) {
			s.t.Errorf("deleted: %v", err)
		}
		if n := s.rdb.Exists(s.ctx(), s.q.Unique("mail:send", []byte("payload of succeeds"))).Val(); n != 0 {
			s.t.Error("the stock server did not free the uniqueness lock")
		}
		if q := s.sound(); q.Processed != 6 || q.Failed != 3 {
			s.t.Errorf("asynq counts %+v", q)
		}

		// Back to Seri: a team moves over one process at a time.
		s.come("retried")
		l := s.lease("retried")
		if l.Attempt() != 2 {
			s.t.Errorf("lease %+v", l)
		}
		s.complete(l)
		if info := s.info("retried"); info.Attempt != 2 || info.State != seri.Succeeded {
			s.t.Errorf("info %+v", info)
		}
		s.sound()
		s.kinds("retried")
	})
}

func TestStockServerTakesUpWhatSeriHandsBack(t *testing.T) {
	each(t, func(s *stage) {
		s.add("handed back")
		s.must(s.Requeue(s.ctx(), s.q, []*store.Lease{s.lease("handed back")}))
		s.add("parked")
		if _, err := s.Dequeue(s.ctx(), s.q, store.Wanted{Tasks: 10, Lease: time.Minute, Types: []string{"other"}}); err != nil {
			s.t.Fatal(err)
		}
		for _, id := range []string{"parked", "handed back"} {
			if info := s.info(id); info.State != seri.Scheduled || info.Reason != seri.ReasonNoWorker {
				s.t.Errorf("%s: %+v", id, info)
			}
			s.come(id)
		}

		s.serve(2, func(context.Context, *asynq.Task) error { return nil })

		for _, id := range []string{"parked", "handed back"} {
			if info := s.info(id); info.State != seri.Succeeded || info.Reason != "" {
				s.t.Errorf("%s: %+v", id, info)
			}
		}
		s.sound()
	})
}

// A stock server takes back what it believes to be dead, by the score of the lease. Seri keeps that score as asynq does.
func TestStockServerLeavesSerisLeasesAlone(t *testing.T) {
	each(t, func(s *stage) {
		held := s.begin("held")
		s.begin("lost")
		longAgo := float64(time.Now().Add(-time.Minute).Unix()) // Seri's caretaker would have come first
		s.check(s.rdb.ZAdd(s.ctx(), s.q.Lease(), redis.Z{Score: longAgo, Member: "lost"}).Err())

		server := s.start(func(context.Context, *asynq.Task) error { return nil }) // its recoverer begins at once
		s.until("the stock server has taken the lost task back", func() bool { return s.stock("lost").State == asynq.TaskStateRetry })
		server.Shutdown()

		if info := s.info("lost"); info.State != seri.Retrying || info.Error != "asynq: task lease expired" || info.Attempt != 1 {
			s.t.Errorf("info %+v", info)
		}
		if info := s.info("held"); info.State != seri.Active || info.Attempt != 1 {
			s.t.Errorf("info %+v", info)
		}
		s.complete(held)
		s.sound()
	})
}

// Seri's workers run no groups; a stock server beside them may.
func TestStockServerAggregatesBesideAWorker(t *testing.T) {
	each(t, func(s *stage) {
		ran := make(chan string, 10)
		s.work(handler(func(_ context.Context, payload []byte) ([]byte, error) {
			ran <- string(payload)
			return nil, nil
		}))
		for _, id := range []string{"a", "b", "c"} {
			_, err := s.client.Enqueue(asynq.NewTask("mail:send", []byte(id)), asynq.Queue(s.queue), asynq.TaskID(id), asynq.Group("g"))
			s.check(err)
		}
		server := asynq.NewServerFromRedisClient(s.rdb, asynq.Config{
			Queues: map[string]int{s.queue: 1}, LogLevel: asynq.FatalLevel, GroupMaxSize: 3, GroupGracePeriod: time.Second,
			GroupAggregator: asynq.GroupAggregatorFunc(func(group string, tasks []*asynq.Task) *asynq.Task {
				payload := []byte(group + ":")
				for _, task := range tasks {
					payload = append(payload, task.Payload()...)
				}
				return asynq.NewTask("mail:send", payload)
			}),
		})
		s.check(server.Start(asynq.HandlerFunc(func(_ context.Context, task *asynq.Task) error {
			ran <- string(task.Payload())
			return nil
		})))
		defer server.Shutdown()

		if payload := <-ran; payload != "g:abc" {
			s.t.Errorf("ran %q", payload)
		}
		s.until("nothing is left", func() bool {
			q, err := s.inspector.GetQueueInfo(s.queue)
			return err == nil && q.Size == 0 && q.Groups == 0
		})
		if q := s.sound(); q.Processed != 1 || q.Failed != 0 {
			s.t.Errorf("asynq sees %+v", q)
		}
	})
}

func TestStockInspectorSeesSerisWorkers(t *testing.T) {
	each(t, func(s *stage) {
		started, deadline := time.Now().Add(-time.Minute).Truncate(time.Second), time.Now().Add(time.Minute).Truncate(time.Second)
		id := s.queue // of this test alone
		name := fmt.Sprintf("host:%d:%s", os.Getpid(), id)
		w := store.Worker{
			Name: name,
			Server: wire.ServerInfo{
				Host: "host", PID: os.Getpid(), ID: id, Concurrency: 10, Queues: map[string]int{s.queue: 3, "low": 1},
				StrictPriority: true, Status: "active", Started: started, ActiveWorkers: 1,
			},
			Running: []wire.WorkerInfo{{
				Host: "host", PID: os.Getpid(), ServerID: id, TaskID: "t1", TaskType: "mail:send", Payload: []byte("p"),
				Queue: s.queue, Started: started, Deadline: deadline,
			}},
			Types: []store.Type{{Name: "mail:send", Args: []byte(`{"type":"object"}`), Queues: []string{s.queue}}},
		}
		find := func() *asynq.ServerInfo {
			s.t.Helper()
			servers, err := s.inspector.Servers()
			s.check(err)
			for _, server := range servers {
				if server.ID == id {
					return server
				}
			}
			return nil
		}

		s.check(s.Announce(s.ctx(), w, time.Minute))

		server := find()
		if server == nil {
			s.t.Fatal("the worker is not among asynq's servers")
		}
		if server.Host != "host" || server.PID != os.Getpid() || server.Concurrency != 10 || server.Queues[s.queue] != 3 || !server.StrictPriority ||
			server.Status != "active" || !server.Started.Equal(started) || len(server.ActiveWorkers) != 1 {
			s.t.Fatalf("asynq sees %+v", server)
		}
		if task := server.ActiveWorkers[0]; task.TaskID != "t1" || task.TaskType != "mail:send" || string(task.TaskPayload) != "p" || task.Queue != s.queue ||
			!task.Started.Equal(started) || !task.Deadline.Equal(deadline) {
			s.t.Errorf("asynq sees %+v", task)
		}
		types, err := s.Types(s.ctx())
		if err != nil || len(types[name]) != 1 || types[name][0].Name != "mail:send" {
			s.t.Errorf("types %+v, %v", types, err)
		}
		for _, key := range []string{keys.Server(name), keys.Running(name), keys.TypesOf(name)} {
			if ttl := s.rdb.TTL(s.ctx(), key).Val(); ttl <= 0 || ttl > time.Minute {
				s.t.Errorf("%s has the TTL %v", key, ttl)
			}
		}

		w.Running = nil
		s.check(s.Announce(s.ctx(), w, time.Minute))
		if server := find(); server == nil || len(server.ActiveWorkers) != 0 {
			s.t.Errorf("asynq sees %+v, with a task that has ended", server)
		}
		s.check(s.Withdraw(s.ctx(), name))
		if server := find(); server != nil {
			s.t.Errorf("asynq still sees %+v", server)
		}
		if types, err := s.Types(s.ctx()); err != nil || types[name] != nil {
			s.t.Errorf("types %+v, %v", types, err)
		}
	})
}
