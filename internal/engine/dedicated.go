package engine

import (
	"fmt"

	"github.com/redis/go-redis/v9"
)

// dedicated returns a client with connections of its own to the same Redis, for blocked calls: it is closed to end them.
func dedicated(rdb redis.UniversalClient, connections int) (redis.UniversalClient, error) {
	switch c := rdb.(type) {
	case *redis.ClusterClient:
		options := *c.Options()
		options.PoolSize = connections
		return redis.NewClusterClient(&options), nil
	case *redis.Client: // also behind Sentinel
		options := *c.Options()
		options.PoolSize = connections
		return redis.NewClient(&options), nil
	}
	return nil, fmt.Errorf("a Redis client of type %T cannot be used; make a *redis.Client or a *redis.ClusterClient", rdb)
}
