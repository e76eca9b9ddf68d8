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

// serverFinder finds the live servers, those of stock asynq among them.
type serverFinder interface {
	Servers(ctx context.Context) ([]store.Server, error)
}

// lookout warns of servers of stock asynq on this worker's queues: they know no tokens, so nothing is fenced there.
type lookout struct {
	store  serverFinder
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
	servers, err := l.store.Servers(ctx)
	if err != nil {
		if ctx.Err() == nil {
			l.logger.WarnContext(ctx, "foreign servers not looked for", "error", err)
		}
		return
	}
	for _, server := range servers {
		if server.Fenced {
			continue
		}
		shared := slices.DeleteFunc(slices.Clone(server.Queues), func(q keys.Queue) bool { return !slices.Contains(l.queues, q) })
		if len(shared) > 0 {
			l.logger.WarnContext(ctx, "found a server of stock asynq: nothing is fenced on the queues that it consumes", "server", server.Name, "queues", shared)
		}
	}
}
