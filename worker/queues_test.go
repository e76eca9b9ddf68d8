package worker_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/worker"
)

// ordered is a task whose handler notes the queue that it came from. With one slot that is the order of the fetches.
func ordered() (*seri.Task[seri.None, seri.None], seri.Handler, func() []string) {
	var mu sync.Mutex
	var order []string
	task := seri.NewTask[seri.None, seri.None]("test:ordered")
	handler := task.HandledBy(func(ctx context.Context, _ seri.None) (seri.None, error) {
		execution, _ := seri.ExecutionFrom(ctx)
		mu.Lock()
		defer mu.Unlock()
		order = append(order, execution.Queue)
		return seri.None{}, nil
	})
	return task, handler, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(order)
	}
}

func TestAStrictWorkerServesTheHeaviestQueueFirst(t *testing.T) {
	each(t, func(w *world) {
		task, handler, order := ordered()
		low, mid, high := w.queue+"-low", w.queue+"-mid", w.queue+"-high"
		var last *seri.Ticket[seri.None]
		for range 20 {
			last = put(w, task, seri.None{}, seri.Queue(low))
			put(w, task, seri.None{}, seri.Queue(mid))
			put(w, task, seri.None{}, seri.Queue(high))
		}
		w.work(worker.Config{Queues: map[string]int{low: 1, mid: 2, high: 3}, Strict: true, Slots: 1}, handler)
		if _, err := last.Wait(w.ctx); err != nil {
			w.t.Fatal(err)
		}

		var seen []string
		for _, q := range order() {
			seen = append(seen, strings.TrimPrefix(q, w.queue))
		}
		if want := slices.Concat(slices.Repeat([]string{"-high"}, 20), slices.Repeat([]string{"-mid"}, 20), slices.Repeat([]string{"-low"}, 20)); !slices.Equal(seen, want) {
			w.t.Errorf("order: %q", seen)
		}
	})
}

func TestAWorkerServesQueuesByWeight(t *testing.T) {
	each(t, func(w *world) {
		task, handler, order := ordered()
		heavy, light := w.queue+"-heavy", w.queue+"-light"
		const n = 120
		for _, q := range []string{heavy, light} {
			var messages []seri.Message
			for range n {
				m, err := task.Message(seri.None{}, seri.Queue(q))
				if err != nil {
					w.t.Fatal(err)
				}
				messages = append(messages, m)
			}
			for _, err := range w.EnqueueBatch(w.ctx, messages) {
				if err != nil {
					w.t.Fatal(err)
				}
			}
		}
		last := put(w, task, seri.None{}, seri.Queue(light))
		w.work(worker.Config{Queues: map[string]int{heavy: 3, light: 1}, Slots: 1}, handler)
		if _, err := last.Wait(w.ctx); err != nil {
			w.t.Fatal(err)
		}

		// The first hundred come while both queues have tasks. Of them 75 ± 4.3 are heavy; beyond five times that is no chance.
		share := 0
		for _, q := range order()[:100] {
			if q == heavy {
				share++
			}
		}
		if share < 54 || share > 96 {
			w.t.Errorf("%d of the first 100 tasks are of the queue with weight 3 of 4", share)
		}
	})
}

func TestAPausedQueueRests(t *testing.T) {
	each(t, func(w *world) {
		var dequeues atomic.Int64
		fence := keys.Queue(w.queue).Fence()
		asked := make(chan struct{}, 1000)
		w.rdb.AddHook(spy(func(cmd redis.Cmder) {
			// Not that of what the user may do, which names the key as an argument.
			if strings.HasPrefix(cmd.Name(), "eval") && cmd.Args()[2] != 0 && slices.Contains(cmd.Args(), any(fence)) {
				dequeues.Add(1)
				asked <- struct{}{}
			}
		}))
		ticket := put(w, add, sum{1, 2})
		if err := w.Pause(w.ctx, w.queue); err != nil {
			w.t.Fatal(err)
		}
		begun := time.Now()
		w.work(worker.Config{}, handleAdd())

		const n = 5 // the first of them twice, if the server has yet to learn the script
		for range n {
			receive(w, asked, "a look at the paused queue")
		}
		if took := time.Since(begun); took < (n-2)*400*time.Millisecond {
			w.t.Errorf("a paused queue was asked %d times in %v", n, took)
		}
		if info, err := w.Task(w.ctx, w.queue, ticket.ID); err != nil || info.State != seri.Pending {
			w.t.Errorf("while the queue is paused its task is %s, %v", info.State, err)
		}
		if err := w.Resume(w.ctx, w.queue); err != nil {
			w.t.Fatal(err)
		}
		if got, err := ticket.Wait(w.ctx); err != nil || got != 3 {
			w.t.Errorf("after the pause: %d, %v", got, err)
		}
	})
}

func TestATaskWaitsForAWorkerThatKnowsItsType(t *testing.T) {
	each(t, func(w *world) {
		task := seri.NewTask[int, int]("test:rare")
		w.work(worker.Config{}, handleAdd())
		ticket := put(w, task, 7)
		parked := w.until(ticket.ID, seri.EventScheduled)
		if parked.Data.Reason != seri.ReasonNoWorker {
			w.t.Errorf("the reason is %q", parked.Data.Reason)
		}
		if got, err := put(w, add, sum{1, 1}).Wait(w.ctx); err != nil || got != 2 { // it is in nobody's way
			w.t.Errorf("another task: %d, %v", got, err)
		}

		w.work(worker.Config{}, handleAdd(), task.HandledBy(func(_ context.Context, i int) (int, error) { return i * i, nil }))

		if got, err := ticket.Wait(w.ctx); err != nil || got != 49 {
			w.t.Errorf("result %d, %v", got, err)
		}
		if info := w.end(ticket.ID); info.Attempt != 1 || info.Reason != "" {
			w.t.Errorf("attempt %d, reason %q; want the first, and no trace of the waiting", info.Attempt, info.Reason)
		}
	})
}

// Each slot takes the next task as soon as it is free, and no more than there are slots run at once.
func TestSlotsBoundWhatRunsAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, redistest.New(t))
	var running, most atomic.Int64
	task := seri.NewTask[int, seri.None]("test:bounded")
	var tickets []*seri.Ticket[seri.None]
	for i := range 50 {
		tickets = append(tickets, put(w, task, i))
	}
	full := make(chan struct{})
	w.work(worker.Config{Slots: 3}, task.HandledBy(func(ctx context.Context, _ int) (seri.None, error) {
		n := running.Add(1)
		defer running.Add(-1)
		for seen := most.Load(); n > seen && !most.CompareAndSwap(seen, n); seen = most.Load() {
		}
		if n == 3 {
			select {
			case <-full:
			default:
				close(full)
			}
		}
		<-full // nobody goes on until three are here
		return seri.None{}, nil
	}))
	for _, ticket := range tickets {
		if _, err := ticket.Wait(w.ctx); err != nil {
			t.Fatal(err)
		}
	}
	if most.Load() != 3 {
		t.Errorf("%d tasks ran at once, want 3", most.Load())
	}
}
