package redisurl

import (
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// Clone returns a client for the same Redis as rdb with up to connections of its own, for calls that block: closing it
// ends them, and they keep no connection from anybody else. What stands in a pipeline may block for up to block; a single
// command waits for its answer by itself. rdb must be a [*redis.Client], also behind Sentinel, or a
// [*redis.ClusterClient].
func Clone(rdb redis.UniversalClient, connections int, block time.Duration) (redis.UniversalClient, error) {
	switch c := rdb.(type) {
	case *redis.ClusterClient:
		options := *c.Options()
		options.PoolSize, options.MinIdleConns, options.MaxActiveConns, options.MaxRetries = connections, 0, 0, -1
		options.ReadTimeout = block + timeout
		clone := redis.NewClusterClient(&options)
		clone.AddHook(runOnce{})
		return clone, nil
	case *redis.Client:
		options := *c.Options()
		// go-redis has turned -1 retries into 0, and would turn 0 into its default.
		options.PoolSize, options.MinIdleConns, options.MaxActiveConns, options.MaxRetries = connections, 0, 0, -1
		options.ReadTimeout = block + timeout
		return redis.NewClient(&options), nil
	}
	return nil, fmt.Errorf("a Redis client of type %T cannot be used; make a *redis.Client or a *redis.ClusterClient", rdb)
}
