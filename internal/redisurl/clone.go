package redisurl

import (
	"fmt"

	"github.com/redis/go-redis/v9"
)

// Clone returns a client for the same Redis as rdb with up to connections of its own, for calls that block: closing it
// ends them, and they keep no connection from anybody else. rdb must be a [*redis.Client], also behind Sentinel, or a
// [*redis.ClusterClient].
func Clone(rdb redis.UniversalClient, connections int) (redis.UniversalClient, error) {
	switch c := rdb.(type) {
	case *redis.ClusterClient:
		options := *c.Options()
		options.PoolSize = connections
		clone := redis.NewClusterClient(&options)
		clone.AddHook(runOnce{})
		return clone, nil
	case *redis.Client:
		options := *c.Options()
		options.PoolSize = connections
		return redis.NewClient(&options), nil
	}
	return nil, fmt.Errorf("a Redis client of type %T cannot be used; make a *redis.Client or a *redis.ClusterClient", rdb)
}
