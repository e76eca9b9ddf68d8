package engine

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/internal/redisurl"
	"github.com/seri-queue/seri/internal/store"
)

// awaiting is a fetcher of some queues that runs handler, with what it works with.
func awaiting(t *testing.T, rdb redis.UniversalClient, log *journal, handler seri.Handler, queues ...string) *fetcher {
	t.Helper()
	weights := make(map[string]int)
	for _, q := range queues {
		weights[q] = 1
	}
	s := store.New(rdb, store.Config{})
	e, err := New(s, Config{Queues: weights, Slots: 1, Handlers: []seri.Handler{handler}, Logger: log.logger()})
	if err != nil {
		t.Fatal(err)
	}
	r := newRegistry(log.logger())
	t.Cleanup(r.stop)
	slots := newSlots(1, r, newReporter(s, 2, log.logger()), make(chan outcome, 1), time.Second, log.logger())
	return &fetcher{
		engine: e, registry: r, heartbeat: newHeartbeat(s, r, e.Lease, log.logger()), slots: slots, idle: newIdle(rdb, e.queues),
		claims: newClaims(s, e.Lease, nil, slots, log.logger()), dequeue: s.Dequeue, logger: log.logger(),
		resting: make(map[keys.Queue]rest), drained: make(map[keys.Queue]time.Time), parked: make(map[keys.Queue]*parked),
	}
}

// A lease may run out from the moment at which Redis can have granted it.
func TestALeaseCountsFromTheRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := awaiting(t, nil, new(journal), handlerOf("test"), "q")
		asked := time.Now()

		attempts := f.take(t.Context(), f.ask(t.Context(), "q", 1, func(context.Context, keys.Queue, store.Wanted) (store.Batch, error) {
			time.Sleep(4 * time.Second)
			return store.Batch{Leases: []store.Lease{leaseOf("q", "a")}, Popped: 1}, nil
		}))

		time.Sleep(time.Until(asked.Add(f.engine.Lease - time.Millisecond)))
		if !f.registry.provable(attempts[0]) {
			t.Error("the lease cannot be proven a millisecond before its end")
		}
		time.Sleep(2 * time.Millisecond)
		if f.registry.provable(attempts[0]) {
			t.Error("the lease is believed longer than it lasts")
		}
	})
}

func TestTheOnlyQueueIsAwaitedOnTheConnectionThatBlocks(t *testing.T) {
	t.Parallel()
	usual, other := redistest.New(t), redistest.New(t) // two databases, to tell them apart
	ran := make(chan string, 1)
	f := awaiting(t, usual, new(journal), seri.Handler{Type: "test:task", Run: func(ctx context.Context, _ []byte) ([]byte, error) {
		e, _ := seri.ExecutionFrom(ctx)
		ran <- e.ID
		return nil, nil
	}}, "q")
	f.blocking = other
	m, err := seri.NewMessage("test:task", nil, seri.Queue("q"), seri.ID("t1"))
	if err != nil {
		t.Fatal(err)
	}
	if errs, err := store.New(other, store.Config{}).Enqueue(t.Context(), "q", []seri.Message{m}); err != nil || errs[0] != nil {
		t.Fatal(errs, err)
	}

	started, waited := f.await(t.Context(), f.slots.acquire(t.Context()))

	if started != 1 || !waited || <-ran != "t1" {
		t.Errorf("started %d tasks, waited %v", started, waited)
	}
	if f.engine.meters.Awaited.Load() == 0 {
		t.Error("the call was not counted")
	}
}

func TestOneOfSeveralQueuesIsNotAwaited(t *testing.T) {
	t.Parallel()
	f := awaiting(t, nil, new(journal), handlerOf("test"), "a", "b")
	if started, waited := f.await(t.Context(), 1); started != 0 || waited {
		t.Errorf("started %d, waited %v", started, waited)
	}
}

func TestTheRestAfterFailedAwaitsGrows(t *testing.T) {
	t.Parallel()
	var log journal
	f := awaiting(t, nil, &log, handlerOf("test"), "q")
	nobody := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1, DialerRetries: 1})
	t.Cleanup(func() { _ = nobody.Close() })
	f.blocking = nobody
	for _, want := range []time.Duration{faultBackoff, 2 * faultBackoff, 4 * faultBackoff, 8 * faultBackoff, faultLimit, faultLimit} {
		if started, waited := f.await(t.Context(), 1); started != 0 || waited {
			t.Errorf("started %d, waited %v", started, waited)
		}
		if got := f.resting["q"].length; got != want {
			t.Errorf("the queue rests for %v, want %v", got, want)
		}
		delete(f.resting, "q") // as after a call of the usual kind that went well
	}
	if !log.has("no tasks fetched") || f.engine.meters.FetchesFailed.Load() != 6 {
		t.Errorf("it was told of %v faults", f.engine.meters.FetchesFailed.Load())
	}
}

func TestTheEndOfABlockedCallIsNoFault(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t)
	var log journal
	f := awaiting(t, rdb, &log, handlerOf("test"), "q")
	own, err := redisurl.Clone(rdb, 1, blockFor)
	if err != nil {
		t.Fatal(err)
	}
	f.blocking = own
	_ = own.Close()

	f.await(t.Context(), 1)

	if log.has("no tasks fetched") || f.engine.meters.FetchesFailed.Load() != 0 {
		t.Error("a worker that stops complains of Redis")
	}
}

// One of several queues may lie on a node that is away.
func TestWhatOneQueueGivesIsKeptAndStartedWhileAnotherDoesNotAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := make(chan struct{})
		f := awaiting(t, nil, new(journal), seri.Handler{Type: "test", Run: func(context.Context, []byte) ([]byte, error) {
			close(began)
			return nil, nil
		}}, "away", "near")
		back := make(chan struct{})
		f.dequeue = func(_ context.Context, q keys.Queue, _ store.Wanted) (store.Batch, error) {
			if q == "away" {
				<-back
				return store.Batch{}, nil
			}
			return store.Batch{Leases: []store.Lease{leaseOf(q, "a")}, Popped: 1}, nil
		}
		fetched := make(chan int)
		go func() { fetched <- f.fetch(t.Context(), 2) }()

		synctest.Wait()
		if held := f.registry.byQueue(); len(held["near"]) != 1 {
			t.Errorf("the registry has %v, want the lease of the queue that answered", held)
		}
		select {
		case <-began:
		case <-time.After(2 * togetherFor):
			t.Error("the task has not begun")
		}
		close(back)
		if n := <-fetched; n != 1 {
			t.Errorf("fetched %d tasks, want 1", n)
		}
	})
}
