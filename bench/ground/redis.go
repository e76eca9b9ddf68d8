package ground

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/devstore/redisproc"
	"github.com/seri-queue/seri/internal/keys"
)

// Redis is a server without persistence.
type Redis struct {
	Client *redis.Client

	server  redisproc.Server
	version string
	stop    context.CancelFunc
	gone    chan error
}

var _ Ground = (*Redis)(nil)

// StartRedis starts a server. [Redis.Stop] must be called; should the process die before, the server dies with it.
func StartRedis(ctx context.Context) (*Redis, error) {
	binary, err := redisproc.Find()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "seri-bench-redis-*")
	if err != nil {
		return nil, fmt.Errorf("start Redis: %w", err)
	}
	ctx, stop := context.WithCancel(ctx)
	r := &Redis{version: binary.Version, stop: stop, gone: make(chan error, 1)}
	ready := make(chan redisproc.Server, 1)
	go func() {
		r.gone <- redisproc.Run(ctx, redisproc.Config{
			Binary: binary.Path, Dir: dir, Scratch: true, Args: []string{"--appendonly", "no"},
		}, func(s redisproc.Server) { ready <- s })
	}()
	select {
	case r.server = <-ready:
	case err := <-r.gone:
		stop()
		return nil, err
	}
	r.Client = redis.NewClient(&redis.Options{Addr: r.server.Addr, MaxRetries: -1, ReadTimeout: time.Minute})
	return r, nil
}

// Stop ends the server.
func (r *Redis) Stop() {
	_ = r.Client.Close()
	r.stop()
	<-r.gone // whatever it says: its data is not wanted
}

// Addr is host and port.
func (r *Redis) Addr() string { return r.server.Addr }

// URL is part of [Ground].
func (r *Redis) URL() string { return "redis://" + r.server.Addr + "/0" }

// Version is part of [Ground].
func (r *Redis) Version() string { return "Redis " + r.version }

// CPU is part of [Ground].
func (r *Redis) CPU() time.Duration {
	info, err := r.Client.InfoMap(context.Background(), "cpu").Result()
	if err != nil {
		return 0
	}
	var seconds float64
	for _, field := range []string{"used_cpu_user", "used_cpu_sys"} {
		s, _ := strconv.ParseFloat(info["CPU"][field], 64) // absent: 0
		seconds += s
	}
	return time.Duration(seconds * float64(time.Second))
}

// Flush is part of [Ground].
func (r *Redis) Flush(ctx context.Context) error {
	if err := r.Client.FlushAll(ctx).Err(); err != nil {
		return fmt.Errorf("empty Redis: %w", err)
	}
	return r.Client.ConfigResetStat(ctx).Err()
}

// Bytes is part of [Ground].
func (r *Redis) Bytes(ctx context.Context) (int64, error) {
	info, err := r.Client.InfoMap(ctx, "memory").Result()
	if err != nil {
		return 0, fmt.Errorf("memory of Redis: %w", err)
	}
	return strconv.ParseInt(info["Memory"]["used_memory"], 10, 64)
}

// EventBytes is what the event streams take.
func (r *Redis) EventBytes(ctx context.Context, queues []string) (int64, error) {
	sum := int64(0)
	for _, q := range queues {
		n, err := r.Client.MemoryUsage(ctx, keys.Queue(q).Events(), 0).Result()
		if err != nil && !errors.Is(err, redis.Nil) {
			return 0, fmt.Errorf("memory of the events: %w", err)
		}
		sum += n
	}
	return sum, nil
}

// Calls counts how often the named commands have run since the last [Redis.Flush], as clients and scripts have called them.
func (r *Redis) Calls(ctx context.Context, names ...string) (int64, error) {
	info, err := r.Client.InfoMap(ctx, "commandstats").Result()
	if err != nil {
		return 0, fmt.Errorf("commands of Redis: %w", err)
	}
	sum := int64(0)
	for _, name := range names {
		var calls int64
		if _, err := fmt.Sscanf(info["Commandstats"]["cmdstat_"+name], "calls=%d", &calls); err == nil {
			sum += calls
		}
	}
	return sum, nil
}

// Reads counts how often Redis has read from a connection since the last [Redis.Flush]: once for a command or a pipeline.
// Its count of commands would include those of scripts.
func (r *Redis) Reads(ctx context.Context) (int64, error) {
	info, err := r.Client.InfoMap(ctx, "stats").Result()
	if err != nil {
		return 0, fmt.Errorf("commands of Redis: %w", err)
	}
	return strconv.ParseInt(info["Stats"]["total_reads_processed"], 10, 64)
}

// Unfinished is part of [Ground]. Seri and asynq keep tasks under the same keys.
func (r *Redis) Unfinished(ctx context.Context) (int64, error) {
	queues, err := r.Client.SMembers(ctx, keys.Queues).Result()
	if err != nil {
		return 0, fmt.Errorf("count unfinished tasks: %w", err)
	}
	sum := int64(0)
	for _, name := range queues {
		q := keys.Queue(name)
		counts, err := r.Client.Pipelined(ctx, func(p redis.Pipeliner) error {
			p.LLen(ctx, q.Pending())
			p.LLen(ctx, q.Active())
			p.ZCard(ctx, q.Scheduled())
			return nil
		})
		if err != nil {
			return 0, fmt.Errorf("count unfinished tasks: %w", err)
		}
		for _, cmd := range counts {
			sum += cmd.(*redis.IntCmd).Val()
		}
	}
	return sum, nil
}
