package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redisfault"
	"github.com/seri-queue/seri/internal/wire"
)

// Wait returns a task once it has ended. It follows the queue's events, so it also tells the result of a task that is
// deleted when it succeeds, if it was called before that. [seri.ErrNotFound] if the task is not there.
// Each call holds one connection to Redis while it waits.
func (c *Client) Wait(ctx context.Context, queue, id string) (seri.Info, error) {
	return c.Watch(ctx, queue, id, nil)
}

// Watch is [Client.Wait] with every later event of the task shown to see, in order; nil sees none.
func (c *Client) Watch(ctx context.Context, queue, id string, see func(seri.Event)) (seri.Info, error) {
	q, err := c.locate(ctx, queue, id)
	if err != nil {
		return seri.Info{}, err
	}
	info, err := c.watch(ctx, q, id, see)
	return c.shown(info), err
}

// watch is Watch in one partition, whose name the returned task has still.
func (c *Client) watch(ctx context.Context, q keys.Queue, id string, see func(seri.Event)) (seri.Info, error) {
	place := c.partitions.Find(q)
	reading, err := c.read(ctx, q) // before the task is read, so that nothing falls between
	if err != nil {
		return seri.Info{}, err
	}
	defer reading.close()
	info, err := c.store.Info(ctx, q, id)
	if err != nil || info.State.Terminal() {
		return info, err
	}
	checked := time.Now()
	for {
		entries, err := reading.next(ctx)
		if err != nil {
			return seri.Info{}, err
		}
		for _, text := range entries {
			events, err := wire.DecodeEvents(place.Queue, text)
			if err != nil {
				return seri.Info{}, err
			}
			for _, e := range events {
				if e.Task != id || e.Seq <= info.Seq {
					continue
				}
				e.Partition = place.Partition
				if see != nil {
					see(e)
				}
				if e.Kind.Terminal() {
					return c.ended(ctx, q, info, e)
				}
			}
		}
		if len(entries) > 0 && time.Since(checked) < recheck {
			continue
		}
		// Make sure that the end was not missed: its event may have been trimmed or lost, and a stock Inspector writes none.
		checked = time.Now()
		now, err := c.store.Info(ctx, q, id)
		if err != nil || now.State.Terminal() {
			return now, err
		}
	}
}

// ended returns the task as on record, or as the terminal event tells if it is deleted already.
func (c *Client) ended(ctx context.Context, q keys.Queue, info seri.Info, e seri.Event) (seri.Info, error) {
	now, err := c.store.Info(ctx, q, info.ID)
	if err == nil && now.Seq >= e.Seq {
		return now, nil
	}
	if !errors.Is(err, seri.ErrNotFound) {
		return now, err
	}
	info.State, info.Reason, info.Seq, info.FinishedAt = e.Kind.State(), e.Data.Reason, e.Seq, e.Time
	info.Attempt, info.Result, info.Error = e.Data.Attempt, e.Data.Result, e.Data.Error
	if e.Data.Truncated {
		return info, fmt.Errorf("task %s has succeeded, but its result is gone: it was too large for an event and the task has no retention", info.ID)
	}
	return info, nil
}

// recheck is how often a task that is waited for is looked at, should its event not come.
const recheck = 2 * time.Second

// follow returns the entries after position, waiting for the first one for a while. Redis ends the wait, just after the
// context's deadline: a deadline of the connection would be reported as an error of the network.
func (c *Client) follow(ctx context.Context, q keys.Queue, position string) ([]redis.XMessage, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	block := recheck
	if deadline, ok := ctx.Deadline(); ok {
		block = min(block, max(time.Until(deadline), 0)+2*time.Millisecond)
	}
	call, cancel := context.WithTimeout(context.WithoutCancel(ctx), block+time.Second)
	defer cancel()
	streams, err := c.store.Redis().XRead(call, &redis.XReadArgs{
		Streams: []string{q.Events(), position}, Count: 100, Block: block,
	}).Result()
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("follow the events of queue %q: %w", q, redisfault.Mark(err))
	}
	return streams[0].Messages, nil
}

// lastEntry returns the ID of the newest entry of q's events.
func (c *Client) lastEntry(ctx context.Context, q keys.Queue) (string, error) {
	last, err := c.store.Redis().XRevRangeN(ctx, q.Events(), "+", "-", 1).Result()
	if err != nil {
		return "", fmt.Errorf("follow the events of queue %q: %w", q, redisfault.Mark(err))
	}
	if len(last) == 0 {
		return "0-0", nil
	}
	return last[0].ID, nil
}
