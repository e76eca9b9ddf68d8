package worker_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/internal/store"
	"github.com/seri-queue/seri/worker"
)

func TestAnotherWorkerRunsTheTaskOfADeadOne(t *testing.T) {
	each(t, func(w *world) {
		ticket := put(w, add, sum{1, 2})
		const length = time.Second
		died := w.clock() // at the latest
		dead := w.lease(length)

		w.work(worker.Config{Lease: length}, handleAdd())

		if got, err := ticket.Wait(w.ctx); err != nil || got != 3 {
			w.t.Errorf("result %d, %v", got, err)
		}
		info := w.end(ticket.ID)
		if took := info.StartedAt.Sub(died); took < length-time.Millisecond || took > length+2*time.Second {
			w.t.Errorf("started again %v after the lease of %v began", took, length)
		}
		if info.Crashes != 1 || info.Attempt != 1 {
			w.t.Errorf("%d crashes, attempt %d; want 1 and 1: a crash costs no attempt", info.Crashes, info.Attempt)
		}
		// The dead worker wakes up, and has a result too.
		answers, err := store.New(w.rdb, store.Config{}).Complete(w.ctx, keys.Queue(w.queue),
			[]store.Completion{{Lease: dead, Result: []byte(`666`)}})
		if _, fenced := errors.AsType[*seri.FencedError](answers[0]); err != nil || !fenced {
			w.t.Errorf("the zombie's result: %v, %v; want it refused", answers, err)
		}
		if got := string(w.end(ticket.ID).Result); got != "3" {
			w.t.Errorf("the result is %s now", got)
		}
	})
}

// A worker that was cut off for longer than its lease, while another took its task over, is told so by its own clock,
// and its handler cannot complete what is the other's.
func TestAHandlerThatHasLostItsLeaseCannotComplete(t *testing.T) {
	each(t, func(w *world) {
		task := seri.NewTask[seri.None, string]("test:zombie")
		started := make(chan context.Context, 2)
		finish := make(chan string)
		ticket := put(w, task, seri.None{})
		w.work(worker.Config{Lease: 600 * time.Millisecond, Slots: 1}, task.HandledBy(func(ctx context.Context, _ seri.None) (string, error) {
			started <- ctx
			return <-finish, nil // whatever becomes of the context
		}))
		ctx := receive(w, started, "the handler")
		mine, _ := seri.TokenFrom(ctx)

		// As if recovery had found the lease run out, and another worker had taken the task. The worker's own heartbeat
		// may come between the two steps and extend the lease, and its caretaker may be faster.
		q := keys.Queue(w.queue)
		s := store.New(w.rdb, store.Config{})
		for w.rdb.HGet(w.ctx, q.Task(ticket.ID), "state").Val() == "active" {
			if err := w.rdb.ZAddXX(w.ctx, q.Lease(), redis.Z{Score: 1, Member: ticket.ID}).Err(); err != nil {
				w.t.Fatal(err)
			}
			if _, err := s.Recover(w.ctx, q, 10, store.CrashPolicy{Max: 3}); err != nil {
				w.t.Fatal(err)
			}
		}
		other := w.lease(time.Minute)
		if other.Token <= mine {
			w.t.Errorf("the new token %d is not above %d", other.Token, mine)
		}

		<-ctx.Done()
		if cause := context.Cause(ctx); !errors.Is(cause, seri.ErrLeaseLost) {
			w.t.Errorf("the context ended with %v", cause)
		}
		finish <- "the zombie's result"
		if err := errors.Join(first(s.Complete(w.ctx, q, []store.Completion{{Lease: other, Result: []byte(`"the heir's"`)}}))...); err != nil {
			w.t.Errorf("the heir's result was refused: %v", err)
		}
		if got, err := ticket.Wait(w.ctx); err != nil || got != "the heir's" {
			w.t.Errorf("the result is %q, %v", got, err)
		}
	})
}

func first(errs []error, err error) []error { return append(errs, err) }

func TestAStoppedWorkerHandsBackAtOnce(t *testing.T) {
	each(t, func(w *world) {
		b := newBlocking("test:block")
		ticket := put(w, b.task, "")
		stop := w.work(worker.Config{Grace: time.Millisecond}, b.handler())
		ctx := receive(w, b.started, "the first worker's handler")

		stop()

		if cause := context.Cause(ctx); !errors.Is(cause, seri.ErrStopping) {
			w.t.Errorf("the handler's context ended with %v", cause)
		}
		info, err := w.Task(w.ctx, w.queue, ticket.ID)
		if err != nil || info.State != seri.Pending || info.Attempt != 1 || info.Crashes != 0 {
			w.t.Errorf("after the stop: %+v, %v; want it pending, and its next attempt to be the first again", info, err)
		}
		b.release <- "done"
		w.work(worker.Config{}, b.handler())
		if got, err := ticket.Wait(w.ctx); err != nil || got != "done" {
			w.t.Errorf("result %q, %v", got, err)
		}
	})
}

func TestAStoppedWorkerWaitsForRunningTasks(t *testing.T) {
	each(t, func(w *world) {
		b := newBlocking("test:block")
		running := put(w, b.task, "")
		stop := w.work(worker.Config{Slots: 1}, b.handler())
		receive(w, b.started, "the handler")
		stopped := make(chan struct{})
		go func() { stop(); close(stopped) }()

		b.release <- "done"
		receive(w, stopped, "the worker's end")

		if info := w.end(running.ID); info.State != seri.Succeeded {
			w.t.Errorf("the running task is %s", info.State)
		}
	})
}

func TestAWorkerOutlivesItsRedis(t *testing.T) {
	t.Parallel()
	cases := map[string]func(*redistest.Server){
		"restarted": (*redistest.Server).Restart,
		"killed":    func(s *redistest.Server) { s.Kill(); s.Start() },
	}
	for sentence, harm := range cases {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			server := redistest.Exclusive(t, "--appendonly", "yes", "--appendfsync", "always")
			w := newWorld(t, server.Client())
			const n = 60
			var mu sync.Mutex
			runs := map[int]int{}
			task := seri.NewTask[int, int]("test:count", seri.MaxRetries(0))
			half, resume := make(chan struct{}), make(chan struct{})
			w.work(worker.Config{Slots: 4, Lease: 10 * time.Second}, task.HandledBy(func(_ context.Context, i int) (int, error) {
				mu.Lock()
				runs[i]++
				total := len(runs)
				mu.Unlock()
				if total == n/2 {
					close(half)
				}
				if total >= n/2 {
					<-resume // four tasks are running while Redis is away
				}
				return i, nil
			}))
			messages := make([]seri.Message, n)
			for i := range messages {
				m, err := task.Message(i, seri.Queue(w.queue), seri.ID(fmt.Sprint(i)))
				if err != nil {
					t.Fatal(err)
				}
				messages[i] = m
			}
			if err := errors.Join(w.EnqueueBatch(w.ctx, messages)...); err != nil {
				t.Fatal(err)
			}
			receive(w, half, "half of the tasks")

			harm(server)
			close(resume)

			for i := range n {
				if info := w.waitAgain(fmt.Sprint(i)); info.State != seri.Succeeded {
					t.Errorf("task %d is %s: %s", i, info.State, info.Error)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			twice := maps.Clone(runs)
			maps.DeleteFunc(twice, func(_, times int) bool { return times == 1 })
			if len(twice) > 4+4 { // those under way when Redis went, and those of a fetch whose answer was lost
				t.Errorf("%d tasks ran more than once: %v", len(twice), twice)
			}
		})
	}
}

// waitAgain waits over failures of the network.
func (w *world) waitAgain(id string) seri.Info {
	w.t.Helper()
	for {
		info, err := w.Wait(w.ctx, w.queue, id)
		if err == nil {
			return info
		}
		if w.ctx.Err() != nil {
			w.t.Fatalf("task %s: %v", id, err)
		}
	}
}

// Frozen for longer than the lease, Redis keeps its connections open and answers nobody.
func TestAFrozenRedisEndsHandlersInTime(t *testing.T) {
	t.Parallel()
	server := redistest.Exclusive(t)
	w := newWorld(t, server.Client())
	b := newBlocking("test:block")
	ticket := put(w, b.task, "")
	const length = 900 * time.Millisecond
	w.work(worker.Config{Lease: length, Slots: 1}, b.handler())
	ctx := receive(w, b.started, "the handler")

	frozen := time.Now()
	server.Pause()
	select {
	case <-ctx.Done():
	case <-w.ctx.Done():
		t.Error("the handler goes on although its lease is over")
	}
	took := time.Since(frozen)
	server.Resume()

	if cause := context.Cause(ctx); !errors.Is(cause, seri.ErrLeaseLost) {
		t.Errorf("the context ended with %v", cause)
	}
	if took < length/3 || took > length+time.Second { // the second is for a busy machine; the exact moment is tested in a bubble
		t.Errorf("the handler went on for %v without Redis, its lease is %v", took, length)
	}
	b.release <- "in the end"
	if info := w.waitAgain(ticket.ID); info.State != seri.Succeeded || info.Attempt != 1 {
		t.Errorf("the task is %s after attempt %d", info.State, info.Attempt)
	}
}

func TestAWorkerLeavesNothingRunning(t *testing.T) { // not parallel: it looks at all goroutines
	rdb := redistest.New(t)
	w := newWorld(t, rdb)
	ours := func() string {
		var found []string
		buffer := make([]byte, 1<<20)
		for stack := range strings.SplitSeq(string(buffer[:runtime.Stack(buffer, true)]), "\n\n") {
			if strings.Contains(stack, "seri/internal/engine.") || strings.Contains(stack, "seri/internal/run.") {
				found = append(found, stack)
			}
		}
		return strings.Join(found, "\n\n")
	}
	put(w, add, sum{1, 1}, seri.Delay(time.Hour))
	ticket := put(w, add, sum{1, 1})
	connections := rdb.PoolStats().TotalConns
	stop := w.work(worker.Config{}, handleAdd())
	if _, err := ticket.Wait(w.ctx); err != nil {
		t.Fatal(err)
	}
	if ours() == "" {
		t.Fatal("the engine is not to be seen in the stacks: the test looks for the wrong thing")
	}

	stop()

	left := ours()
	for left != "" && w.ctx.Err() == nil { // those that have done their work may not have come to their last instruction
		runtime.Gosched()
		left = ours()
	}
	if left != "" {
		t.Errorf("goroutines are left:\n%s", left)
	}
	clients, err := rdb.Info(w.ctx, "clients").Result()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(clients, "blocked_clients:0") {
		t.Errorf("blocked calls are left: %s (connections before: %d)", clients, connections)
	}
}

func TestRunAfterTheEndDoesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, redistest.New(t))
	runner, err := worker.New(w.rdb, []seri.Handler{handleAdd()}, worker.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(w.ctx)
	cancel()
	if err := runner.Run(ctx); err != nil {
		t.Error(err)
	}
}
