package events

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/keys"
)

//go:embed behind.lua
var behindSource string

var behind = redis.NewScript(behindSource)

// Behind tells how old the oldest entry of all queues is that is still to be passed on; 0 if there is none. relayed says how far
// a queue has been. How many they are is not told: Redis would have to read them all, more the less it can afford it.
func Behind(ctx context.Context, rdb redis.UniversalClient, relayed func(queue string) Mark) (time.Duration, error) {
	queues, err := redisStreams{rdb: rdb}.Queues(ctx)
	if err != nil {
		return 0, err
	}
	var oldest time.Duration
	for _, q := range queues {
		age, err := behind.Run(ctx, rdb, []string{keys.Queue(q).Events()}, relayed(q).ID.String()).Int64()
		if err != nil {
			return 0, fmt.Errorf("look for the oldest event of queue %q: %w", q, err)
		}
		oldest = max(oldest, time.Duration(age)*time.Millisecond)
	}
	return oldest, nil
}
