package redistest

import (
	"context"
	"log/slog"
	"os"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/devstore"
	"github.com/seri-queue/seri/internal/redisurl"
)

// ForExample opens a Redis that one runnable example has for itself, which has no [testing.TB]; in a program that is
// client.OpenRedis. It panics if there is none to be had.
func ForExample() (rdb redis.UniversalClient, closeRedis func()) {
	dir, err := os.MkdirTemp("", "seri-example-*")
	if err != nil {
		panic(err)
	}
	server, err := devstore.Open(context.Background(), dir, slog.New(slog.DiscardHandler))
	if err != nil {
		panic(err)
	}
	rdb, err = redisurl.Open(server.URL())
	if err != nil {
		panic(err)
	}
	return rdb, func() {
		_ = rdb.Close()
		_ = server.Close()
		_ = os.RemoveAll(dir)
	}
}
