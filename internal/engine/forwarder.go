package engine

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/pause"
	"github.com/seri-queue/seri/internal/store"
)

// forwardAtLeast is how often a queue's due tasks are looked at even when none is expected: stock producers ring no bell,
// and their times are whole seconds.
const forwardAtLeast = time.Second

// forwarder makes a queue's tasks startable when their time comes, to the millisecond.
type forwarder struct {
	store  *store.Store
	rdb    redis.UniversalClient // for the blocked call alone
	queue  keys.Queue
	logger *slog.Logger
	bell   chan struct{} // an earlier due time has come in
}

func (f *forwarder) run(ctx context.Context) error {
	var failed backoff
	for {
		wait := forwardAtLeast
		forwarded, err := f.store.Forward(ctx, f.queue, store.MaxBatch)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			f.logger.WarnContext(ctx, "due tasks not forwarded", "queue", f.queue, "error", err)
			wait = failed.next()
		case forwarded.Moved == store.MaxBatch:
			continue // there may be more
		case forwarded.Next >= 0:
			wait = min(wait, forwarded.Next)
		}
		if err == nil {
			failed = backoff{}
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-f.bell:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// listen waits for the doorbell that enqueue rings.
func (f *forwarder) listen(ctx context.Context) error {
	var failed backoff
	for ctx.Err() == nil {
		err := f.rdb.BLPop(ctx, blockFor, f.queue.Wake()).Err()
		switch {
		case err == nil:
			select {
			case f.bell <- struct{}{}:
			default:
			}
		case !errors.Is(err, redis.Nil):
			pause.For(ctx, failed.next())
			continue
		}
		failed = backoff{}
	}
	return nil
}
