package client

import (
	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/redisurl"
)

// OpenRedis returns a client of go-redis for url, set up the way Seri's packages want it, for a client, a worker or a
// beat: no command is repeated behind its caller's back, a context's deadline bounds the network, and the answer of a near
// server is looked for during up to 100 µs before the goroutine sleeps, which makes one call after the other faster where
// processors are idle. Closing it is the caller's.
//
// One server is redis://[user:password@]host[:6379][/db], and rediss:// with TLS; unix:///path/to/redis.sock, Sentinels
// (redis+sentinel://host:26379?master=NAME) and clusters (redis+cluster://host:6379) are possible, too; docs/operations.md
// has all settings. It connects to nothing yet. The error names every fault of the URL, and never the password.
//
// A program that makes its client of go-redis otherwise gives it the option MaxRetries: -1.
func OpenRedis(url string) (redis.UniversalClient, error) { return redisurl.Open(url) }
