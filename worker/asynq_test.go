package worker_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/worker"
)

// raw enqueues a task that is known by its name only.
func (w *world) raw(typ, payload string, options ...seri.Option) string {
	w.t.Helper()
	m, err := seri.NewMessage(typ, []byte(payload), append([]seri.Option{seri.Queue(w.queue)}, options...)...)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.Enqueue(w.ctx, m); err != nil {
		w.t.Fatal(err)
	}
	return m.ID
}

func TestAnAsynqServeMuxRunsAsItIs(t *testing.T) {
	each(t, func(w *world) {
		seen := make(chan string, 1)
		mux := asynq.NewServeMux()
		mux.Use(func(next asynq.Handler) asynq.Handler {
			return asynq.HandlerFunc(func(ctx context.Context, task *asynq.Task) error {
				return next.ProcessTask(context.WithValue(ctx, ctxKey{}, "middleware"), task)
			})
		})
		mux.HandleFunc("mail:send", func(ctx context.Context, task *asynq.Task) error {
			seen <- fmt.Sprint(task.Type(), " ", string(task.Payload()), " ", task.Headers()["trace"], " ", ctx.Value(ctxKey{}))
			return nil
		})
		mux.HandleFunc("mail:skip", func(context.Context, *asynq.Task) error {
			return fmt.Errorf("no such user: %w", asynq.SkipRetry)
		})
		mux.HandleFunc("mail:revoke", func(context.Context, *asynq.Task) error {
			return fmt.Errorf("not needed any more: %w", asynq.RevokeTask)
		})
		mux.HandleFunc("mail:panic", func(context.Context, *asynq.Task) error { panic("at the disco") })
		send := w.raw("mail:send", "not JSON at all", seri.Header("trace", "abc"))
		skip := w.raw("mail:skip", "")
		revoke := w.raw("mail:revoke", "")
		panics := w.raw("mail:panic", "", seri.MaxRetries(0))
		unknown := w.raw("sms:send", "", seri.MaxRetries(0))
		ours := put(w, add, sum{1, 2}) // a handler of Seri's beside it

		w.work(worker.Config{Asynq: mux}, handleAdd())

		if got, want := receive(w, seen, "the mux"), "mail:send not JSON at all abc middleware"; got != want {
			w.t.Errorf("the mux saw %q, want %q", got, want)
		}
		w.want(w.end(send), seri.Succeeded, "", "")
		w.want(w.end(skip), seri.Failed, seri.ReasonPermanent, "no such user: skip retry for the task")
		w.want(w.end(revoke), seri.Succeeded, "", "")
		w.want(w.end(panics), seri.Failed, seri.ReasonExhausted, "panic: at the disco")
		w.want(w.end(unknown), seri.Failed, seri.ReasonExhausted, `no handler for type "sms:send" in this worker`)
		if got, err := ours.Wait(w.ctx); err != nil || got != 3 {
			w.t.Errorf("Seri's own task: %d, %v", got, err)
		}
	})
}

type ctxKey struct{}

func TestAnAsynqHandlerRunsEveryType(t *testing.T) {
	t.Parallel()
	w := newWorld(t, redistest.New(t))
	calls := make(chan string, 10)
	a, b := w.raw("any:thing", ""), w.raw("other", "")
	w.work(worker.Config{Asynq: asynq.HandlerFunc(func(ctx context.Context, task *asynq.Task) error {
		execution, ok := seri.ExecutionFrom(ctx)
		if !ok || execution.Attempt == 1 && task.Type() == "other" {
			return seri.RetryAfter(errors.New("not yet"), time.Millisecond)
		}
		calls <- task.Type()
		return nil
	})})
	for _, id := range []string{a, b} {
		if info := w.end(id); info.State != seri.Succeeded {
			t.Errorf("%s is %s: %s", info.Type, info.State, info.Error)
		}
	}
	if len(calls) != 2 {
		t.Errorf("%d calls", len(calls))
	}
}

// A stock Inspector sees the worker and what it runs, and its "cancel" ends the attempt as a failure.
func TestAStockInspectorSeesTheWorkerAndCancels(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t)
	w := newWorld(t, rdb)
	options := rdb.Options()
	inspector := asynq.NewInspector(asynq.RedisClientOpt{Addr: options.Addr, DB: options.DB})
	t.Cleanup(func() { _ = inspector.Close() })
	b := newBlocking("test:block", seri.Retry(seri.Fixed(time.Hour)))
	ticket := put(w, b.task, "x")
	stop := w.work(worker.Config{Slots: 3, Queues: map[string]int{w.queue: 2}, Strict: true}, b.handler())
	ctx := receive(w, b.started, "the handler")

	running := w.running(inspector)
	server, err := inspector.Servers()
	if err != nil || len(server) != 1 || server[0].Concurrency != 3 || server[0].Queues[w.queue] != 2 || !server[0].StrictPriority || server[0].Status != "active" {
		t.Errorf("servers: %+v, %v", server, err)
	}
	if running.TaskID != ticket.ID || running.TaskType != "test:block" || running.Queue != w.queue || string(running.TaskPayload) != `"x"` ||
		time.Since(running.Started) > patience || running.Deadline.Sub(running.Started) != seri.DefaultTimeout {
		t.Errorf("the running task: %+v", running)
	}

	if err := inspector.CancelProcessing(ticket.ID); err != nil {
		t.Fatal(err)
	}
	w.until(ticket.ID, seri.EventRetrying)
	info, err := w.Task(w.ctx, w.queue, ticket.ID)
	if err != nil || info.State != seri.Retrying || !strings.HasPrefix(info.Error, "attempt cancelled by an operator: stopped:") {
		t.Errorf("after the cancellation: %s, error %q, %v", info.State, info.Error, err)
	}
	if ctx.Err() == nil {
		t.Error("the handler's context has not ended")
	}
	stop()
	if left, err := inspector.Servers(); err != nil || len(left) != 0 {
		t.Errorf("after the stop: %+v, %v", left, err)
	}
}

// running waits until an Inspector sees a task run. Workers show themselves every few seconds; an Inspector can only poll.
func (w *world) running(inspector *asynq.Inspector) *asynq.WorkerInfo {
	w.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		servers, err := inspector.Servers()
		if err != nil {
			w.t.Fatal(err)
		}
		for _, s := range servers {
			if len(s.ActiveWorkers) > 0 {
				return s.ActiveWorkers[0]
			}
		}
		select {
		case <-tick.C:
		case <-w.ctx.Done():
			w.t.Fatal("the Inspector sees no running task")
		}
	}
}

func TestAWorkerNeedsAClientThatItCanCopy(t *testing.T) {
	t.Parallel()
	ring := redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"a": "127.0.0.1:1"}})
	t.Cleanup(func() { _ = ring.Close() })
	runner, err := worker.New(ring, []seri.Handler{handleAdd()}, worker.Config{})
	if err == nil {
		err = runner.Run(t.Context())
	}
	if err == nil || !strings.Contains(err.Error(), "*redis.Ring") {
		t.Errorf("got %v", err)
	}
}
