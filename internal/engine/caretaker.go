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

// How often the caretaker looks after each queue, and what it keeps beside what it is told.
const (
	purgeEvery = 8 * time.Second // as asynq's janitor

	crashBackoff = 4 * time.Second // after a task's second crash

	eventsAge = 24 * time.Hour
)

// caretaker takes back the tasks of dead workers and deletes what was kept long enough. Every worker has one; each step is
// atomic, so they do not get into each other's way.
type caretaker struct {
	engine *Engine
	logger *slog.Logger
}

func (c *caretaker) run(ctx context.Context) error {
	// Recovery within a second of the lease's end, or sooner where leases are shorter. Where there is no lease, the first
	// one to come will last for a while.
	often, seldom := min(c.engine.Lease/4, time.Second), min(c.engine.Lease/2, 4*time.Second)
	var purged time.Time
	for {
		now, period := time.Now(), seldom
		for _, q := range c.engine.queues {
			if c.recover(ctx, q) {
				period = often
			}
			if now.Sub(purged) >= purgeEvery {
				c.purge(ctx, q)
			}
		}
		if now.Sub(purged) >= purgeEvery {
			purged = now
		}
		pause.For(ctx, period*3/4+rand.N(period/4)) // workers that started together drift apart
		if ctx.Err() != nil {
			return nil
		}
	}
}

// recover takes tasks of one queue back, and reports whether others are leased, or may be.
func (c *caretaker) recover(ctx context.Context, q keys.Queue) (leased bool) {
	for ctx.Err() == nil {
		r, err := c.engine.store.Recover(ctx, q, 100, store.CrashPolicy{Max: c.engine.Crashes, Backoff: crashBackoff})
		if c.failed(ctx, "expired leases not recovered", q, err) {
			return true
		}
		if r.Taken > 0 {
			c.engine.meters.TasksRecovered.Add(r.Taken)
			c.engine.meters.TasksPoisoned.Add(r.Poison)
			c.logger.WarnContext(ctx, "recovered tasks whose lease had run out", "queue", q, "count", r.Taken, "poison", r.Poison)
		}
		if r.Taken < 100 {
			return r.Others
		}
	}
	return true
}

func (c *caretaker) purge(ctx context.Context, q keys.Queue) {
	keep := store.Keep{Archived: c.engine.ArchiveAge, MaxArchived: c.engine.ArchiveSize, Events: eventsAge}
	trimmed := 0
	for ctx.Err() == nil {
		p, err := c.engine.store.Purge(ctx, q, 500, keep)
		trimmed += p.Archived
		if c.failed(ctx, "old tasks not deleted", q, err) || max(p.Succeeded, p.Archived) < 500 {
			break
		}
	}
	if trimmed > 0 {
		c.logger.WarnContext(ctx, "trimmed the archive: failed and revoked tasks were too old or too many", "queue", q, "count", trimmed)
	}
}

func (c *caretaker) failed(ctx context.Context, what string, q keys.Queue, err error) bool {
	if err != nil && ctx.Err() == nil {
		c.logger.WarnContext(ctx, what, "queue", q, "error", err)
	}
	return err != nil
}
