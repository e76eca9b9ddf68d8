package compat

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/worker"
)

// patience is how long a test waits for what must happen, on a machine that is busy with others.
const patience = 30 * time.Second

// journal is a worker's log, which tests can read.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// work runs a worker of Seri's on the stage's queue until the test ends or stop is called, which returns when it has.
func (s *stage) work(handlers ...seri.Handler) (log *journal, stop func()) {
	s.t.Helper()
	log = &journal{}
	w, err := worker.New(s.rdb, handlers, worker.Config{
		Queues: map[string]int{s.queue: 1}, Slots: 4, Grace: time.Second, Logger: slog.New(slog.NewTextHandler(log, nil)),
	})
	s.check(err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.ctx()))
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			s.t.Errorf("the worker ended with %v", err)
		}
		if s.t.Failed() {
			s.t.Logf("the worker's log:\n%s", log)
		}
	})
	s.t.Cleanup(stop)
	return log, stop
}

// until waits for what nobody announces.
func (s *stage) until(what string, is func() bool) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.ctx(), patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			s.t.Fatalf("waited in vain until %s", what)
		}
	}
}

func handler(run func(ctx context.Context, payload []byte) ([]byte, error)) seri.Handler {
	return seri.Handler{Type: "mail:send", Run: run, Retry: seri.Fixed(time.Hour)}
}

// asynqmon has the times of what runs from the worker's own announcements, and its "cancel" ends attempts.
func TestAsynqmonSeesWhatAWorkerRunsAndCancels(t *testing.T) {
	for name, cancel := range map[string]func(s *stage, d *dashboard, ids []string){
		"one by one": func(s *stage, d *dashboard, ids []string) {
			for _, id := range ids {
				d.call(s.t, http.MethodPost, s.path("/active_tasks/"+url.PathEscape(id)+":cancel"), nil)
			}
		},
		"in a batch": func(s *stage, d *dashboard, ids []string) {
			answer := d.call(s.t, http.MethodPost, s.path("/active_tasks:batch_cancel"), map[string]any{"task_ids": ids})
			if !strings.Contains(string(answer), `"error_ids":[]`) {
				s.t.Errorf("asynqmon answers %s", answer)
			}
		},
		"all": func(s *stage, d *dashboard, _ []string) {
			d.call(s.t, http.MethodPost, s.path("/active_tasks:cancel_all"), nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(s *stage) {
				d := newDashboard(s.t, s.rdb)
				ids := []string{s.queue + "-a", s.queue + "-b"} // the channel of cancellations is everybody's
				for _, id := range ids {
					s.add(id, full)
				}
				s.work(handler(func(ctx context.Context, _ []byte) ([]byte, error) {
					<-ctx.Done()
					return nil, ctx.Err()
				}))

				var active []monTask
				s.until("asynqmon sees two tasks run", func() bool {
					active = read[monTasks](s.t, d, s.path("/active_tasks")).Tasks
					return len(active) == 2 && active[0].StartTime != "-" && active[1].StartTime != "-"
				})
				for _, task := range active {
					begun, err := time.Parse(time.RFC3339, task.StartTime)
					if ends, fault := time.Parse(time.RFC3339, task.Deadline); errors.Join(err, fault) != nil || ends.Sub(begun) != time.Minute || time.Since(begun) > patience || task.Orphaned {
						s.t.Errorf("asynqmon sees %+v", task)
					}
				}
				servers := read[struct{ Servers []monServer }](s.t, d, "servers").Servers
				ours := slices.DeleteFunc(servers, func(m monServer) bool { return m.Queues[s.queue] != 1 }) // the cluster is everybody's
				if len(ours) != 1 || ours[0].Concurrency != 4 || ours[0].Status != "active" || len(ours[0].Active) != 2 {
					s.t.Errorf("asynqmon sees the servers %+v", ours)
				}

				cancel(s, d, ids)

				for _, id := range ids {
					s.until("the attempt has failed", func() bool { return s.info(id).State == seri.Retrying })
					if task := read[monTask](s.t, d, s.path("/tasks/"+id)); task.State != "retry" || task.Retried != 1 || !strings.HasPrefix(task.Error, "attempt cancelled by an operator") {
						s.t.Errorf("asynqmon sees %+v", task)
					}
				}
			})
		})
	}
}

// Stock clients enqueue, and operators press buttons as they come to hand, while workers run: in the end every task is in
// one place, asynq's readers and counts agree, and there is nothing to repair.
func TestStockCallsWhileAWorkerRuns(t *testing.T) {
	each(t, func(s *stage) {
		seed := rand.Uint64()
		random := rand.New(rand.NewPCG(seed, 0))
		s.t.Logf("seed %d", seed)
		_, stop := s.work(handler(func(ctx context.Context, payload []byte) ([]byte, error) {
			switch payload[0] % 4 {
			case 0:
				return nil, errors.New("boom")
			case 1:
				return nil, seri.Permanent(errors.New("no use"))
			}
			return []byte(`{"ok":true}`), nil
		}))
		one := func(do func(string, string) error) func(string) error {
			return func(id string) error { return do(s.queue, id) }
		}
		all := func(do func(string) (int, error)) func(string) error {
			return func(string) error { _, err := do(s.queue); return err }
		}
		i := s.inspector
		calls := []func(id string) error{
			one(i.RunTask), one(i.RunTask), one(i.ArchiveTask), one(i.DeleteTask), i.CancelProcessing,
			all(i.RunAllScheduledTasks), all(i.RunAllRetryTasks), all(i.RunAllArchivedTasks), all(i.ArchiveAllPendingTasks),
			all(i.ArchiveAllScheduledTasks), all(i.ArchiveAllRetryTasks), all(i.DeleteAllArchivedTasks), all(i.DeleteAllCompletedTasks),
			all(i.DeleteAllPendingTasks), all(i.DeleteAllScheduledTasks), all(i.DeleteAllRetryTasks),
			func(string) error { _, err := i.GetQueueInfo(s.queue); s.check(err); return err },
			func(string) error {
				for _, list := range lists {
					if _, err := list(i, s.queue); err != nil {
						s.t.Errorf("asynq cannot list: %v", err)
					}
				}
				return nil
			},
		}
		for n := range 600 {
			id := fmt.Sprint("t", n/3)
			var err error
			switch n % 3 {
			case 0:
				options := []asynq.Option{asynq.Queue(s.queue), asynq.TaskID(id), asynq.MaxRetry(random.IntN(2)), asynq.Retention(time.Hour)}
				switch random.IntN(4) {
				case 0:
					options = append(options, asynq.ProcessIn(time.Hour))
				case 1:
					options = append(options, asynq.Unique(time.Hour))
				}
				_, err = s.client.Enqueue(asynq.NewTask("mail:send", []byte{byte(random.IntN(256)), byte(n), byte(n >> 8)}), options...)
				s.check(err)
			default:
				err = calls[random.IntN(len(calls))](fmt.Sprint("t", random.IntN(n/3+1)))
			}
			if err != nil && !refused(err) {
				s.t.Errorf("asynq answers %v", err)
			}
			switch n { // not at random: a worker looks at a paused queue once a second only
			case 300:
				s.check(i.PauseQueue(s.queue))
			case 315:
				s.check(i.UnpauseQueue(s.queue))
			}
			if n%20 == 19 { // the worker keeps up with the buttons
				before, err := s.Queue(s.ctx(), s.q)
				s.check(err)
				_, err = s.client.Enqueue(asynq.NewTask("mail:send", []byte{2}), asynq.Queue(s.queue))
				s.check(err)
				s.until("the worker has ended a task", func() bool {
					q, err := s.Queue(s.ctx(), s.q)
					s.check(err)
					return q.Processed > before.Processed
				})
			}
		}
		s.until("nothing is pending or active", func() bool {
			q, err := s.Queue(s.ctx(), s.q)
			s.check(err)
			return q.Pending == 0 && q.Active == 0
		})
		stop()
		q := s.sound()
		if leases := s.rdb.ZCard(s.ctx(), s.q.Lease()).Val(); leases != 0 || q.ProcessedTotal < 30 {
			s.t.Errorf("%d leases are left; asynq sees %+v", leases, q)
		}
		places := map[string]int{}
		for _, list := range lists {
			for page := 1; ; page++ {
				tasks, err := list(i, s.queue, asynq.Page(page), asynq.PageSize(100))
				s.check(err)
				for _, task := range tasks {
					places[task.ID]++
				}
				if len(tasks) < 100 {
					break
				}
			}
		}
		for n := range 200 {
			id := fmt.Sprint("t", n)
			exists := s.rdb.Exists(s.ctx(), s.q.Task(id)).Val() == 1
			if places[id] > 1 || exists != (places[id] == 1) {
				s.t.Errorf("task %s is in %d places, its record is there: %t", id, places[id], exists)
			}
			s.kinds(id)
		}
	})
}

// refused tells that asynq has refused a call because of where the task or the queue is just now.
func refused(err error) bool {
	text := err.Error()
	return errors.Is(err, asynq.ErrTaskNotFound) || slices.ContainsFunc([]string{
		"active state", "already", "not paused", "FAILED_PRECONDITION", "cannot",
	}, func(part string) bool { return strings.Contains(text, part) })
}

// Seri is no aggregator: what a stock client puts into a group stays there, and can be seen, while workers run.
func TestAGroupIsLeftAloneByAWorker(t *testing.T) {
	each(t, func(s *stage) {
		ran := make(chan string, 10)
		s.work(handler(func(_ context.Context, payload []byte) ([]byte, error) {
			ran <- string(payload)
			return nil, nil
		}))
		for _, id := range []string{"a", "b"} {
			_, err := s.client.Enqueue(asynq.NewTask("mail:send", []byte(id)), asynq.Queue(s.queue), asynq.TaskID(id), asynq.Group("g"))
			s.check(err)
		}
		_, err := s.client.Enqueue(asynq.NewTask("mail:send", []byte("later")), asynq.Queue(s.queue), asynq.Group("g"), asynq.ProcessIn(time.Second))
		s.check(err)
		_, err = s.client.Enqueue(asynq.NewTask("mail:send", []byte("single")), asynq.Queue(s.queue))
		s.check(err)

		// A task that is scheduled has no group any more, as in asynq.
		both := []string{<-ran, <-ran} // asynq cuts times to whole seconds, so "later" may be now
		if slices.Sort(both); !slices.Equal(both, []string{"later", "single"}) {
			s.t.Errorf("ran %q", both)
		}
		if tasks, err := s.inspector.ListAggregatingTasks(s.queue, "g"); err != nil || len(tasks) != 2 {
			s.t.Errorf("asynq lists %+v, %v", tasks, err)
		}
		if info := s.info("a"); info.State != seri.Pending || info.Reason != seri.ReasonAggregating {
			s.t.Errorf("info %+v", info)
		}
		s.until("only the group is left", func() bool {
			q, err := s.inspector.GetQueueInfo(s.queue)
			return err == nil && q.Size == 2 && q.Aggregating == 2 && q.Groups == 1 && q.MemoryUsage > 0
		})
		s.check(s.inspector.RunTask(s.queue, "a"))
		if id := <-ran; id != "a" {
			s.t.Errorf("ran %q", id)
		}
	})
}

// A stock server beside a worker of Seri's is found, by the worker and by whoever lists queues; Seri's own are not taken
// for one.
func TestAStockServerBesideAWorkerIsFound(t *testing.T) {
	each(t, func(s *stage) {
		foreign := func() (names []string) {
			servers, err := s.Servers(s.ctx())
			s.check(err)
			for _, server := range servers { // the cluster is everybody's
				if !server.Fenced && slices.Contains(server.Queues, s.q) {
					names = append(names, server.Name)
				}
			}
			return names
		}
		_, stop := s.work(handler(func(context.Context, []byte) ([]byte, error) { return nil, nil }))
		s.until("asynq sees the worker", func() bool { return len(s.servers()) == 1 })
		if names := foreign(); names != nil {
			s.t.Errorf("a worker of Seri's is taken for foreign: %q", names)
		}
		stop()

		server := asynq.NewServerFromRedisClient(s.rdb, asynq.Config{Queues: map[string]int{s.queue: 1, "other": 1}, LogLevel: asynq.FatalLevel})
		s.check(server.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error { return nil })))
		down := sync.OnceFunc(server.Shutdown)
		s.t.Cleanup(down)
		s.until("the stock server is found", func() bool { return len(foreign()) == 1 })
		name := s.servers()[0]
		if names := foreign(); !slices.Equal(names, []string{name}) {
			s.t.Errorf("found %q, asynq sees %q", names, name)
		}
		log, _ := s.work(handler(func(context.Context, []byte) ([]byte, error) { return nil, nil }))
		s.until("the worker warns", func() bool {
			return strings.Contains(log.String(), "level=WARN") && strings.Contains(log.String(), "server="+name) &&
				strings.Contains(log.String(), fmt.Sprintf("queues=[%s]", s.queue))
		})

		down()
		if names := foreign(); names != nil {
			s.t.Errorf("%q have ended and are still found", names)
		}
	})
}

// servers returns the names of the servers on the stage's queue that a stock Inspector sees.
func (s *stage) servers() (names []string) {
	s.t.Helper()
	servers, err := s.inspector.Servers()
	s.check(err)
	for _, server := range servers {
		if server.Queues[s.queue] > 0 {
			names = append(names, fmt.Sprintf("%s:%d:%s", server.Host, server.PID, server.ID))
		}
	}
	return names
}
