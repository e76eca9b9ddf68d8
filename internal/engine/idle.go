package engine

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/pause"
)

// blockFor limits one blocked call, so that a connection that died silently is noticed.
const blockFor = 5 * time.Second

// idle waits for work without polling. Its connections are its own: they are closed to end a blocked call.
type idle struct {
	rdb   redis.UniversalClient
	armed map[keys.Queue]chan struct{} // asks the queue's watch to look
	work  chan struct{}                // some queue may have a task
}

func newIdle(rdb redis.UniversalClient, queues []keys.Queue) *idle {
	i := &idle{rdb: rdb, armed: make(map[keys.Queue]chan struct{}), work: make(chan struct{}, 1)}
	for _, q := range queues {
		i.armed[q] = make(chan struct{}, 1)
	}
	return i
}

// wait returns when one of queues may have a task, or after limit.
func (i *idle) wait(ctx context.Context, queues []keys.Queue, limit time.Duration) {
	for _, q := range queues {
		select {
		case i.armed[q] <- struct{}{}:
		default: // it is looking already
		}
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-i.work:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// ring ends the current or the next wait.
func (i *idle) ring() {
	select {
	case i.work <- struct{}{}:
	default:
	}
}

// watch waits for tasks of one queue while the fetcher is idle. BLMOVE from the right end to the right end waits on the
// pending list itself and changes nothing, so stock asynq clients, who ring no bell, wake us too.
func (i *idle) watch(ctx context.Context, q keys.Queue) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-i.armed[q]:
		}
		for ctx.Err() == nil {
			err := i.rdb.BLMove(ctx, q.Pending(), q.Pending(), "RIGHT", "RIGHT", blockFor).Err()
			if err == redis.Nil {
				continue
			}
			if err != nil {
				pause.For(ctx, faultBackoff)
			}
			i.ring() // after an error too: the fetcher finds out, and waits longer each time
			break
		}
	}
}
