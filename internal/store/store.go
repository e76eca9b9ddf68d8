package store

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redisfault"
)

// MaxBatch is the most tasks that one call may be about.
const MaxBatch = 1000

// Store is the state machine on one Redis. It is safe for concurrent use.
type Store struct {
	rdb     redis.UniversalClient
	runner  runner
	carrier Carrier
	config  struct{ MaxEvents any } // as scripts are given it

	mu    sync.Mutex
	known map[keys.Queue]time.Time // when each queue was last put into asynq's registry of queues
}

// Config tunes a [Store]. The zero value is ready to use.
type Config struct {
	// MaxEvents is about how many entries each queue's event stream keeps. An entry holds the events of one batch,
	// so a busy queue keeps many more events. Default: 10,000.
	MaxEvents int
	// Events says how events are handed on. Default: [Streams].
	Events Carrier
}

// New returns a store on rdb, whose options must not let it repeat commands by itself (MaxRetries: -1): the store
// cannot know of such a repetition, and a dequeue that ran twice leases tasks to nobody.
func New(rdb redis.UniversalClient, config Config) *Store {
	if config.MaxEvents <= 0 {
		config.MaxEvents = 10_000
	}
	s := &Store{
		rdb:     rdb,
		runner:  runner{rdb: rdb},
		carrier: cmp.Or(config.Events, Streams),
		known:   make(map[keys.Queue]time.Time),
	}
	s.config.MaxEvents = s.carrier.limit(config.MaxEvents)
	return s
}

// Redis returns the client that the store was made with.
func (s *Store) Redis() redis.UniversalClient { return s.rdb }

func (s *Store) run(ctx context.Context, sc *script, q keys.Queue, keys []string, args ...any) (any, error) {
	reply, err := s.runner.run(ctx, sc, keys, args...).Result()
	if err != nil {
		return nil, fmt.Errorf("%s queue %q: %w", sc.name, q, redisfault.Mark(err))
	}
	return reply, nil
}

// eventsLife is how long the stream of a queue that nobody uses any more lives; append and purge know it too.
const eventsLife = 7 * 24 * time.Hour

// reregister is how often a queue's name is written again, so that it comes back after a flush or a lossy failover.
const reregister = 10 * time.Second

// register puts q into asynq's registry of queues, which lives in another slot than the queue, and lets the stream of its
// events live on. Scripts leave that to others: it would be a part of what each of them costs.
func (s *Store) register(ctx context.Context, q keys.Queue) error {
	s.mu.Lock()
	fresh := time.Since(s.known[q]) < reregister
	s.mu.Unlock()
	if fresh {
		return nil
	}
	if _, err := s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		p.SAdd(ctx, keys.Queues, string(q))
		p.Expire(ctx, s.carrier.events(q), eventsLife)
		return nil
	}); err != nil {
		return fmt.Errorf("register queue %q: %w", q, redisfault.Mark(err))
	}
	s.mu.Lock()
	s.known[q] = time.Now()
	s.mu.Unlock()
	return nil
}
