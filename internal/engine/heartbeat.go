package engine

import (
	"context"
	"errors"
	"log/slog"
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

// heartbeat keeps leases alive, and ends the contexts of handlers whose lease is lost, can no longer be proven to be
// alive, or whose task was revoked.
type heartbeat struct {
	store    extender
	registry *registry
	length   time.Duration
	check    chan []*attempt // somebody asked for the end of these
	logger   *slog.Logger
}

// run extends all leases each third of their length, so that two lost calls in a row do no harm.
func (h *heartbeat) run(ctx context.Context) error {
	ticker := time.NewTicker(h.length / 3)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			for q, attempts := range h.registry.byQueue() {
				h.extend(ctx, q, attempts)
			}
		case attempts := <-h.check:
			h.extend(ctx, attempts[0].lease.Queue, attempts)
			for _, a := range attempts {
				a.cancel(errCancelled) // no effect on those that turned out to be revoked or lost
			}
		}
	}
}

func (h *heartbeat) extend(ctx context.Context, q keys.Queue, attempts []*attempt) {
	for len(attempts) > 0 {
		n := min(len(attempts), store.MaxBatch)
		h.extendBatch(ctx, q, attempts[:n])
		attempts = attempts[n:]
	}
}

func (h *heartbeat) extendBatch(ctx context.Context, q keys.Queue, attempts []*attempt) {
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
		for _, a := range attempts {
			if !h.registry.provable(a) {
				h.lose(ctx, a, err)
			}
		}
		return
	}
	for i, a := range attempts {
		switch answer := answers[i]; {
		case answer == nil:
			h.registry.prove(a, asked, h.length)
		case errors.Is(answer, seri.ErrRevoked):
			h.registry.prove(a, asked, h.length)
			a.cancel(seri.ErrRevoked)
		case !a.settled.Load():
			h.lose(ctx, a, answer)
		}
	}
}

// lose ends a handler whose lease is, or may be, another's by now. The attempt itself is ended by its slot.
func (h *heartbeat) lose(ctx context.Context, a *attempt, why error) {
	if a.ctx.Err() != nil {
		return
	}
	a.cancel(seri.ErrLeaseLost)
	h.logger.WarnContext(ctx, "lease lost", "task_id", a.lease.ID(), "queue", a.lease.Queue, "type", a.lease.Message.Type,
		"token", a.lease.Token, "error", why)
}
