package engine

import (
	"context"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/keys"
)

// revocations hears of tasks that were revoked while they run, so that a handler is told at once and not by the next
// heartbeat. The word on the channel is only a hint, as a stock Inspector's "cancel" uses it too: the mark is in the task.
type revocations struct {
	rdb      redis.UniversalClient
	registry *registry
	check    chan<- []*attempt
	all      chan<- struct{} // asks for a look at every lease
}

func (r *revocations) run(ctx context.Context) error {
	sub := r.rdb.Subscribe(ctx, keys.Cancel)
	defer sub.Close()
	heard := sub.ChannelWithSubscriptions() // reconnects by itself
	for {
		select {
		case <-ctx.Done():
			return nil
		case heard, ok := <-heard:
			if !ok {
				return nil
			}
			message, ok := heard.(*redis.Message)
			if !ok { // subscribed, at first or again: what was said before is in the tasks
				select {
				case r.all <- struct{}{}:
				default:
				}
				continue
			}
			for _, a := range r.registry.withID(message.Payload) {
				select {
				case r.check <- []*attempt{a}:
				case <-ctx.Done():
					return nil
				}
			}
		}
	}
}
