package role

import (
	"context"
	"fmt"
	"regexp"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/elasticache"
	"github.com/seri-queue/seri/internal/redisurl"
)

// RedisIAM are the settings of how Redis is logged in to without a password.
type RedisIAM struct {
	RedisIAMCache      string `name:"redis-iam-cache" env:"SERI_REDIS_IAM_CACHE" placeholder:"NAME" help:"Log in to ElastiCache with IAM, as the user that the URL names without a password: ID of the replication group, or name of the serverless cache."`
	RedisIAMServerless Switch `name:"redis-iam-serverless" env:"SERI_REDIS_IAM_SERVERLESS" help:"The cache is a serverless one."`
}

// cacheName is what ElastiCache calls a cache.
var cacheName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]{0,39}$`)

func (r *RedisIAM) check(f *faults, url string) {
	f.add("redis-iam-serverless", r.RedisIAMServerless.wrong)
	switch {
	case r.RedisIAMCache == "":
		if r.RedisIAMServerless.On {
			f.add("redis-iam-serverless", "is set, but --redis-iam-cache (SERI_REDIS_IAM_CACHE) does not name the cache")
		}
		if rdb, err := redisurl.Open(url); err != nil {
			f.check("redis-url", err)
		} else {
			rdb.Close()
		}
	case !cacheName.MatchString(r.RedisIAMCache):
		f.add("redis-iam-cache", fmt.Sprintf("is %q, must be the ID of a replication group or the name of a serverless cache, such as seri: not its address", r.RedisIAMCache))
	default:
		f.check("redis-url", elasticache.Check(url))
	}
}

// Open opens Redis at url, with or without IAM. It connects to nothing yet.
func (r *RedisIAM) Open(ctx context.Context, url string) (redis.UniversalClient, error) {
	if r.RedisIAMCache == "" {
		return redisurl.Open(url)
	}
	rdb, err := elasticache.Open(ctx, url, elasticache.Cache{Name: r.RedisIAMCache, Serverless: r.RedisIAMServerless.On})
	if err != nil {
		return nil, fmt.Errorf("--redis-iam-cache (SERI_REDIS_IAM_CACHE): %w", err)
	}
	return rdb, nil
}
