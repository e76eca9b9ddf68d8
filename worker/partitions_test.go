package worker_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/client"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/worker"
)

// divide makes the world's queue one of n partitions.
func (w *world) divide(n int) map[string]int {
	partitions := map[string]int{w.queue: n}
	w.Client = client.New(w.rdb, client.Config{Partitions: partitions})
	return partitions
}

func TestADividedQueueUsesEveryMasterAndAllItsTasksRun(t *testing.T) {
	each(t, func(w *world) {
		partitions := w.divide(8)
		task := seri.NewTask[int, int]("test:square")
		const n = 200
		messages, ids := []seri.Message{}, map[string]int{}
		for i := range n {
			m, err := task.Message(i, seri.Queue(w.queue))
			if err != nil {
				w.t.Fatal(err)
			}
			messages, ids[m.ID] = append(messages, m), i
		}
		for _, err := range w.EnqueueBatch(w.ctx, messages) {
			if err != nil {
				w.t.Fatal(err)
			}
		}
		if cluster, ok := w.rdb.(*redis.ClusterClient); ok {
			pending := make(map[string]int64)
			for i := range 8 {
				q := keys.Queue(w.queue).Partition(i)
				master, err := cluster.MasterForKey(w.ctx, q.Pending())
				if err != nil {
					w.t.Fatal(err)
				}
				pending[master.Options().Addr] += w.rdb.LLen(w.ctx, q.Pending()).Val()
			}
			for _, waiting := range pending {
				if waiting == 0 || len(pending) != 3 {
					w.t.Fatalf("the tasks lie on these masters: %v, want some on each of three", pending)
				}
			}
		}

		w.work(worker.Config{Partitions: partitions}, task.HandledBy(func(ctx context.Context, i int) (int, error) {
			if e, _ := seri.ExecutionFrom(ctx); e.Queue != w.queue {
				return 0, seri.Permanent(fmt.Errorf("the handler is told the queue %q", e.Queue))
			}
			seri.Progress(ctx, 1, 1, "there")
			return i * i, nil
		}))

		for id, i := range ids {
			info := w.end(id)
			if info.State != seri.Succeeded || string(info.Result) != fmt.Sprint(i*i) || info.Queue != w.queue {
				w.t.Fatalf("task %d: %+v", i, info)
			}
		}
		info, err := w.Queue(w.ctx, w.queue)
		if err != nil || info.Succeeded != n || info.Processed != n {
			w.t.Errorf("the queue: %+v, %v", info, err)
		}
		for _, p := range info.Partitions {
			if p.Succeeded == 0 {
				w.t.Errorf("partition %s has run nothing", p.Name)
			}
		}
	})
}

func TestProgressOfADividedQueueIsSeen(t *testing.T) {
	each(t, func(w *world) {
		partitions := w.divide(8)
		task := seri.NewTask[seri.None, seri.None]("test:progress", seri.PartitionKey("user:42")) // in partition 6
		seen := make(chan struct{})
		w.work(worker.Config{Partitions: partitions}, task.HandledBy(func(ctx context.Context, _ seri.None) (seri.None, error) {
			again := time.NewTicker(10 * time.Millisecond) // it may begin before somebody watches
			defer again.Stop()
			for i := int64(1); ; i++ {
				seri.Progress(ctx, i, 0, "on the way")
				select {
				case <-seen:
					return seri.None{}, nil
				case <-ctx.Done():
					return seri.None{}, ctx.Err()
				case <-again.C:
				}
			}
		}))
		m, err := task.Message(seri.None{}, seri.Queue(w.queue))
		if err != nil {
			w.t.Fatal(err)
		}
		if err := w.Enqueue(w.ctx, m); err != nil {
			w.t.Fatal(err)
		}

		var once sync.Once
		info, err := w.Watch(w.ctx, w.queue, m.ID, func(e seri.Event) {
			if e.Queue != w.queue || e.Partition != 6 {
				w.t.Errorf("event %+v", e)
			}
			if e.Kind == seri.EventProgress {
				once.Do(func() { close(seen) })
			}
		})

		if err != nil || info.State != seri.Succeeded || info.Partition != 6 {
			w.t.Errorf("the end: %+v, %v", info, err)
		}
	})
}

func TestAnAsynqHandlerServesADividedQueue(t *testing.T) {
	t.Parallel()
	w := newWorld(t, redistest.New(t))
	partitions := w.divide(8)
	queues := make(chan string, 1)
	mux := asynq.NewServeMux()
	mux.HandleFunc("test:old", func(ctx context.Context, _ *asynq.Task) error {
		e, _ := seri.ExecutionFrom(ctx)
		queues <- e.Queue
		return nil
	})
	w.work(worker.Config{Partitions: partitions, Asynq: mux})
	m, err := seri.NewMessage("test:old", nil, seri.Queue(w.queue), seri.PartitionKey("user:42"))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Enqueue(w.ctx, m); err != nil {
		t.Fatal(err)
	}
	if q := receive(w, queues, "the handler"); q != w.queue {
		t.Errorf("the handler is told the queue %q", q)
	}
}

func TestAWorkerThatWaitsForThePartitionsOnRecordShowsThatItTurns(t *testing.T) {
	t.Parallel()
	for name, dial := range map[string]func(ctx context.Context) error{
		"Redis refuses":        func(context.Context) error { return syscall.ECONNREFUSED },
		"Redis does not reply": func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				rdb := redis.NewClient(&redis.Options{
					Addr: "127.0.0.1:1", MaxRetries: -1, ContextTimeoutEnabled: true,
					Dialer: func(ctx context.Context, _, _ string) (net.Conn, error) { return nil, dial(ctx) },
				})
				defer time.Sleep(time.Minute) // until the driver has given up as well
				defer rdb.Close()
				last, longest, turns := time.Now(), time.Duration(0), 0
				task := seri.NewTask[seri.None, seri.None]("test:idle")
				w, err := worker.New(rdb, []seri.Handler{task.HandledBy(func(context.Context, seri.None) (seri.None, error) {
					return seri.None{}, nil
				})}, worker.Config{
					Queues: map[string]int{"images": 1}, Partitions: map[string]int{"images": 4}, Logger: slog.New(slog.DiscardHandler),
					Alive: func() {
						longest, last, turns = max(longest, time.Since(last)), time.Now(), turns+1
					},
				})
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
				defer cancel()

				if err := w.Run(ctx); err != nil {
					t.Error(err)
				}

				if longest = max(longest, time.Since(last)); longest > 5*time.Second || turns < 60 {
					t.Errorf("showed that it turns %d times, and not for %v", turns, longest)
				}
			})
		})
	}
}

func TestAWorkerThatWouldLeavePartitionsUnservedIsRefused(t *testing.T) {
	each(t, func(w *world) {
		w.divide(8)
		if err := w.Declare(w.ctx); err != nil {
			w.t.Fatal(err)
		}
		for name, c := range map[string]struct {
			declared int
			refused  bool
		}{
			"none": {0, true}, "fewer": {4, true}, "as many": {8, false}, "more, before producers use them": {12, false},
		} {
			config := worker.Config{Queues: map[string]int{w.queue: 1}}
			if c.declared > 0 {
				config.Partitions = map[string]int{w.queue: c.declared}
			}
			runner, err := worker.New(w.rdb, []seri.Handler{handleAdd()}, config)
			if err != nil {
				w.t.Fatal(err)
			}
			if !c.refused {
				w.work(config, handleAdd())
				continue
			}
			err = runner.Run(w.ctx)
			refused, ok := errors.AsType[*seri.PartitionsError](err)
			if !ok || refused.Declared != max(c.declared, 1) || refused.OnRecord != 8 {
				w.t.Errorf("%s: %v", name, err)
			}
		}
		if got, err := put(w, add, sum{1, 2}, seri.PartitionKey("user:42")).Wait(w.ctx); err != nil || got != 3 {
			w.t.Errorf("result %d, %v", got, err)
		}
	})
}

func TestFaultyPartitionsAreTold(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		config worker.Config
		says   string
	}{
		"too many":           {worker.Config{Partitions: map[string]int{"images": 65}}, `option Partitions: queue "images" has 65 partitions, must be 1 to 64`},
		"a partition":        {worker.Config{Queues: map[string]int{"images": 1, "images:1": 1}, Partitions: map[string]int{"images": 2}}, `option Queues names "images:1", a partition of "images"`},
		"a weight, as ever":  {worker.Config{Queues: map[string]int{"images": 0}, Partitions: map[string]int{"images": 2}}, `option Queues gives "images" the weight 0`},
		"with another fault": {worker.Config{Slots: -1, Partitions: map[string]int{"images": 65}}, "option Slots is -1"},
	} {
		_, err := worker.New(redistest.New(t), []seri.Handler{handleAdd()}, c.config)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want it to say %s", name, err, c.says)
		}
	}
}
