package engine

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/pause"
	"github.com/seri-queue/seri/internal/store"
)

// lookEvery is how often a worker looks for foreign servers, and so how often it warns of each.
const lookEvery = time.Minute

// foreignFinder finds the live servers of stock asynq.
type foreignFinder interface {
	Foreign(ctx context.Context) ([]store.ForeignServer, error)
}

// lookout warns of servers of stock asynq on this worker's queues: they know no tokens, so nothing is fenced there.
type lookout struct {
	store  foreignFinder
	queues []keys.Queue
	logger *slog.Logger
}

func (l *lookout) run(ctx context.Context) error {
	for ctx.Err() == nil {
		l.look(ctx)
		pause.For(ctx, lookEvery)
	}
	return nil
}

func (l *lookout) look(ctx context.Context) {
	servers, err := l.store.Foreign(ctx)
	if err != nil {
		if ctx.Err() == nil {
			l.logger.WarnContext(ctx, "foreign servers not looked for", "error", err)
		}
		return
	}
	for _, server := range servers {
		shared := slices.DeleteFunc(slices.Clone(server.Queues), func(q keys.Queue) bool { return !slices.Contains(l.queues, q) })
		if len(shared) > 0 {
			l.logger.WarnContext(ctx, "found a server of stock asynq: nothing is fenced on the queues that it consumes", "server", server.Name, "queues", shared)
		}
	}
}
