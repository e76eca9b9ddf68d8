package engine

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/store"
)

// extender is what the heartbeat needs of the store.
type extender interface {
	Extend(ctx context.Context, q keys.Queue, leases []*store.Lease, length time.Duration) ([]error, error)
}

// errCancelled is the cause when a stock Inspector cancels a task that runs: the attempt fails, as in asynq.
var errCancelled = errors.New("attempt cancelled by an operator")

// heartbeat keeps leases alive, and ends the contexts of handlers whose lease is lost or whose task was revoked.
type heartbeat struct {
	store    extender
	registry *registry
	length   time.Duration
	check    chan []*attempt // somebody asked for the end of these
	hurry    chan struct{}   // leases came in that will not live until the next beat is sure to be over
	alive    func()          // told of every turn of the loop
	logger   *slog.Logger
}

// turnEvery is how often the loop of an idle heartbeat turns, only to show that it does.
const turnEvery = 5 * time.Second

func newHeartbeat(s extender, r *registry, length time.Duration, logger *slog.Logger) *heartbeat {
	return &heartbeat{
		store: s, registry: r, length: length, check: make(chan []*attempt), hurry: make(chan struct{}, 1), alive: func() {},
		logger: logger,
	}
}

// received tells the heartbeat of leases that were asked for at the time asked. If the answer took long, they are extended
// at once.
func (h *heartbeat) received(asked time.Time) {
	if time.Since(asked) < h.length/30 {
		return
	}
	select {
	case h.hurry <- struct{}{}:
	default:
	}
}

// run extends all leases three times within nine tenths of their length, so that two lost calls in a row do no harm, not even
// to a lease that was old when it came (received).
func (h *heartbeat) run(ctx context.Context) error {
	ticker := time.NewTicker(h.length * 3 / 10)
	defer ticker.Stop()
	turn := time.NewTicker(turnEvery)
	defer turn.Stop()
	for {
		h.alive()
		select {
		case <-ctx.Done():
			return nil
		case <-turn.C:
		case <-ticker.C:
			h.beat(ctx)
		case <-h.hurry:
			h.beat(ctx)
		case attempts := <-h.check:
			h.extend(ctx, attempts[0].lease.Queue, attempts)
			for _, a := range attempts {
				a.cancel(errCancelled) // no effect on those that turned out to be revoked or lost
			}
		}
	}
}

// beat extends all leases, those of different queues side by side: where one shard of a cluster does not answer, the
// leases on the others live on.
func (h *heartbeat) beat(ctx context.Context) {
	var calls sync.WaitGroup
	for q, attempts := range h.registry.byQueue() {
		// What was given up stays so. Extended once more, it would be kept from the worker that is to run it now.
		attempts = slices.DeleteFunc(attempts, func(a *attempt) bool { return a.lost() || !h.registry.provable(a) })
		for batch := range slices.Chunk(attempts, store.MaxBatch) {
			calls.Go(func() { h.extend(ctx, q, batch) })
		}
	}
	calls.Wait()
}

// extend extends leases of one queue, at most [store.MaxBatch].
func (h *heartbeat) extend(ctx context.Context, q keys.Queue, attempts []*attempt) {
	leases := make([]*store.Lease, len(attempts))
	for i, a := range attempts {
		leases[i] = &a.lease
	}
	asked := time.Now()
	call, cancel := context.WithTimeout(ctx, h.length/3)
	answers, err := h.store.Extend(call, q, leases, h.length)
	cancel()
	if err != nil {
		if ctx.Err() == nil {
			h.logger.WarnContext(ctx, "leases not extended", "queue", q, "leases", len(leases), "error", err)
		}
		return // as long as they can be proven to be alive, they are; the registry keeps the time
	}
	for i, a := range attempts {
		switch answer := answers[i]; {
		case answer == nil:
			h.registry.prove(a, asked, h.length)
		case errors.Is(answer, seri.ErrRevoked):
			h.registry.prove(a, asked, h.length)
			a.cancel(seri.ErrRevoked)
		default:
			h.registry.lose(a, answer)
		}
	}
}
