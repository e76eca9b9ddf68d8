package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redisfault"
	"github.com/seri-queue/seri/internal/store"
)

// reading is a place in the events of one queue.
type reading interface {
	// next returns the entries that have come since, waiting for the first one for a while.
	next(ctx context.Context) ([]string, error)
	close()
}

// read returns the place at which the events of a queue are now.
func (c *Client) read(ctx context.Context, q keys.Queue) (reading, error) {
	switch rdb := c.store.Redis(); c.carrier {
	case store.PubSub:
		return listen(ctx, q, rdb.Subscribe(ctx, q.Live()))
	case store.ShardedPubSub:
		return listen(ctx, q, rdb.SSubscribe(ctx, q.Live()))
	default:
		position, err := c.lastEntry(ctx, q)
		return &following{c, q, position}, err
	}
}

// following reads a stream.
type following struct {
	client   *Client
	queue    keys.Queue
	position string
}

func (f *following) next(ctx context.Context) ([]string, error) {
	messages, err := f.client.follow(ctx, f.queue, f.position)
	entries := make([]string, len(messages))
	for i, m := range messages {
		f.position = m.ID
		entries[i], _ = m.Values["e"].(string)
	}
	return entries, err
}

func (f *following) close() {}

// listening hears what is published and not kept, on a connection of its own.
type listening struct {
	queue    keys.Queue
	messages *redis.PubSub
}

// listen returns when Redis has confirmed that it is heard.
func listen(ctx context.Context, q keys.Queue, messages *redis.PubSub) (reading, error) {
	if _, err := messages.ReceiveTimeout(ctx, 5*time.Second); err != nil {
		messages.Close()
		return nil, fmt.Errorf("listen to the events of queue %q: %w", q, redisfault.Mark(err))
	}
	return &listening{q, messages}, nil
}

func (l *listening) next(ctx context.Context) ([]string, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	wait := recheck
	if deadline, ok := ctx.Deadline(); ok {
		wait = min(wait, max(time.Until(deadline), 0)+2*time.Millisecond)
	}
	stop := context.AfterFunc(ctx, func() { l.messages.Close() })
	message, err := l.messages.ReceiveTimeout(context.WithoutCancel(ctx), wait)
	stop()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listen to the events of queue %q: %w", l.queue, redisfault.Mark(err))
	}
	if m, ok := message.(*redis.Message); ok {
		if p, ok := store.DecodePublished(m.Payload); ok {
			return []string{p.Entry}, nil
		}
	}
	return nil, nil
}

func (l *listening) close() { l.messages.Close() }
