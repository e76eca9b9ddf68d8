package engine

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/pause"
	"github.com/seri-queue/seri/internal/store"
)

// A queue is swept once in sweepEvery, by one of its workers. They ask more often whose turn it is, which costs next to
// nothing, so that the work of one that has died is taken up soon.
const (
	sweepEvery = time.Minute
	askEvery   = 5 * time.Second
)

// sweeper repairs what cannot be. It runs beside the caretaker: a long queue takes seconds to look over, for which the
// tasks of a dead worker must not wait.
type sweeper struct {
	store  *store.Store
	queues []keys.Queue
	worker string
	lease  time.Duration // for an active task that has none
	logger *slog.Logger
}

func (s *sweeper) run(ctx context.Context) error {
	for {
		pause.For(ctx, askEvery*3/4+rand.N(askEvery/4)) // a worker begins with tasks; and those that started together drift apart
		for _, q := range s.queues {
			if ctx.Err() != nil {
				return nil
			}
			s.look(ctx, q)
		}
	}
}

// look sweeps a queue if it is this worker's turn.
func (s *sweeper) look(ctx context.Context, q keys.Queue) {
	mine, err := s.store.Turn(ctx, q, s.worker, sweepEvery)
	if s.failed(ctx, "queue not swept", q, err) || !mine {
		return
	}
	swept, err := s.store.Sweep(ctx, q, s.lease)
	if !s.failed(ctx, "queue not swept", q, err) && swept != (store.Swept{}) {
		s.logger.WarnContext(ctx, "repaired the queue", "queue", q, "leases_added", swept.Leased, "ghosts_removed", swept.Ghosts,
			"second_places_removed", swept.TwoPlaces, "states_corrected", swept.Restated, "reactivated", swept.Reactivated,
			"leases_removed", swept.StaleLeases, "times_removed", swept.StaleTimes)
	}
	adopted, _, err := s.store.Adopt(ctx, q, s.lease)
	if !s.failed(ctx, "stray tasks not looked for", q, err) && adopted != (store.Adopted{}) {
		s.logger.WarnContext(ctx, "put stray tasks back", "queue", q, "placed", adopted.Placed, "quarantined", adopted.Quarantined, "lost", adopted.Lost)
	}
}

func (s *sweeper) failed(ctx context.Context, what string, q keys.Queue, err error) bool {
	if err != nil && ctx.Err() == nil {
		s.logger.WarnContext(ctx, what, "queue", q, "error", err)
	}
	return err != nil
}
