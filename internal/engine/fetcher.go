package engine

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/store"
)

// How long the fetcher waits when it has nothing to wait for.
const (
	pausedRecheck = 500 * time.Millisecond // a paused queue gives no sign when it is resumed
	faultBackoff  = 500 * time.Millisecond // at first, after an error of Redis; doubled up to the next line
	faultLimit    = 5 * time.Second
)

// fetcher takes tasks out of the queues, as many as slots are free.
type fetcher struct {
	engine   *Engine
	registry *registry
	slots    *slots
	idle     *idle
	logger   *slog.Logger
}

func (f *fetcher) run(ctx context.Context) error {
	backoff := faultBackoff
	for {
		free := f.slots.acquire(ctx)
		if free == 0 {
			return nil // asked to stop
		}
		started, paused, err := f.fetch(ctx, free)
		f.slots.release(free - started)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			f.logger.WarnContext(ctx, "no tasks fetched", "error", err, "retry_in", backoff)
			sleep(ctx, backoff/2+rand.N(backoff/2))
			backoff = min(2*backoff, faultLimit)
			continue
		case started == 0 && paused:
			f.idle.wait(ctx, pausedRecheck)
		case started == 0:
			f.idle.wait(ctx, time.Minute)
		}
		backoff = faultBackoff
	}
}

// fetch asks the queues in turn until all free slots are taken, and starts what it gets.
func (f *fetcher) fetch(ctx context.Context, free int) (started int, paused bool, err error) {
	for _, q := range f.order() {
		want := store.Wanted{
			Tasks: min(free-started, store.MaxBatch), Lease: f.engine.Lease, Worker: f.engine.name, Types: f.engine.types,
		}
		if want.Tasks == 0 || ctx.Err() != nil {
			break
		}
		asked := time.Now()
		batch, err := f.engine.store.Dequeue(context.WithoutCancel(ctx), q, want) // a call under way may have leased tasks: hear its answer
		if err != nil {
			return started, paused, err
		}
		f.tell(ctx, q, batch)
		paused = paused || batch.Paused
		for _, lease := range batch.Leases {
			a := f.registry.add(lease, f.engine.handler(lease.Message.Type), asked, f.engine.Lease)
			f.slots.start(a)
		}
		started += len(batch.Leases)
		if batch.Popped > len(batch.Leases) { // there may be more behind what was set aside
			f.idle.ring()
		}
	}
	return started, paused, nil
}

func (f *fetcher) tell(ctx context.Context, q keys.Queue, b store.Batch) {
	if b.Ghosts > 0 {
		f.logger.WarnContext(ctx, "dropped IDs without a task", "queue", q, "count", b.Ghosts)
	}
	if b.Parked > 0 {
		f.logger.WarnContext(ctx, "set tasks aside that this worker has no handler for", "queue", q, "count", b.Parked)
	}
	if b.Broken > 0 {
		f.logger.ErrorContext(ctx, "left tasks alone whose message does not decode", "queue", q, "count", b.Broken)
	}
}

// order returns the queues in the order in which they are asked this time. Strict: by weight. Otherwise random, a queue
// of weight 3 coming before one of weight 1 three times out of four (Efraimidis and Spirakis, "Weighted random sampling
// with a reservoir", 2006).
func (f *fetcher) order() []keys.Queue {
	queues := f.engine.queues
	if len(queues) == 1 {
		return queues
	}
	rank := make(map[keys.Queue]float64, len(queues))
	for _, q := range queues {
		weight := float64(f.engine.Queues[string(q)])
		if rank[q] = weight; !f.engine.Strict {
			rank[q] = -rand.ExpFloat64() / weight
		}
	}
	queues = slices.Clone(queues)
	slices.SortStableFunc(queues, func(a, b keys.Queue) int {
		switch {
		case rank[a] > rank[b]:
			return -1
		case rank[a] < rank[b]:
			return 1
		}
		return 0
	})
	return queues
}

// sleep waits for d or the end of ctx.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
