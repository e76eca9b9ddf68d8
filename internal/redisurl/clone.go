package redisurl

import (
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// leaveAfter is how long a cloned client behind Sentinel keeps a connection. The client that it was cloned from is told of a
// failover and drops its connections; the clone dials anew, and asks the Sentinels then.
const leaveAfter = 10 * time.Second

// Clone returns a client for the same Redis as rdb with up to connections of its own, for calls that block: closing it
// ends them, and they keep no connection from anybody else. What stands in a pipeline may block for up to block; a single
// command waits for its answer by itself. rdb must be a [*redis.Client], also behind Sentinel, or a
// [*redis.ClusterClient].
func Clone(rdb redis.UniversalClient, connections int, block time.Duration) (redis.UniversalClient, error) {
	switch c := rdb.(type) {
	case *redis.ClusterClient:
		options := *c.Options()
		options.PoolSize, options.MinIdleConns, options.MaxActiveConns, options.MaxRetries = connections, 0, 0, -1
		options.ReadTimeout = longer(options.ReadTimeout, block)
		clone := redis.NewClusterClient(&options)
		clone.AddHook(runOnce{})
		return clone, nil
	case *redis.Client:
		options := *c.Options()
		// go-redis has turned -1 retries into 0, and would turn 0 into its default.
		options.PoolSize, options.MinIdleConns, options.MaxActiveConns, options.MaxRetries = connections, 0, 0, -1
		options.ReadTimeout = longer(options.ReadTimeout, block)
		if behindSentinel(c) {
			options.ConnMaxLifetime = leaveAfter
		}
		return redis.NewClient(&options), nil
	}
	return nil, fmt.Errorf("a Redis client of type %T cannot be used; make a *redis.Client or a *redis.ClusterClient", rdb)
}

// longer returns a timeout for answers that may take block more. go-redis has turned -1 (no timeout) into 0 and -2 (no
// deadline at all) into -1, and would turn 0 into its default.
func longer(timeout, block time.Duration) time.Duration {
	if timeout <= 0 {
		return timeout - 1
	}
	return timeout + block
}
