package beat_test

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/beat"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redistest"
)

// Three beats on one Redis, of which the leader is stopped again and again: each tick is enqueued once.
func TestBeatsTakeOverWithoutLosingOrDoublingATick(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, rdb redis.UniversalClient) {
		q := keys.Queue(redistest.Queue(t))
		m, err := seri.NewMessage("report", []byte("{}"), seri.Queue(string(q)))
		if err != nil {
			t.Fatal(err)
		}
		s, err := beat.NewSchedule("s", "@every 1s", nil, m)
		if err != nil {
			t.Fatal(err)
		}
		start := func() (stop func()) {
			b, err := beat.New(rdb, []beat.Schedule{s}, beat.Config{Lock: string(q), Lease: 300 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- b.Run(ctx) }()
			return func() {
				cancel()
				if err := <-ended; err != nil {
					t.Error(err)
				}
			}
		}
		stops := []func(){start(), start(), start()}

		var ticks []time.Time
		position := "0-0"
		for len(ticks) < 4 {
			streams, err := rdb.XRead(t.Context(), &redis.XReadArgs{Streams: []string{q.Events(), position}, Block: 10 * time.Second}).Result()
			if err != nil {
				t.Fatal(err)
			}
			for _, entry := range streams[0].Messages {
				position = entry.ID
				ticks = append(ticks, time.Now())
			}
			stops[0]()
			stops = append(stops[1:], start())
		}
		for _, stop := range stops {
			stop()
		}

		ids := rdb.LRange(t.Context(), q.Pending(), 0, -1).Val()
		seen := make(map[string]bool)
		for _, id := range ids {
			if seen[id] {
				t.Errorf("%s was enqueued twice", id)
			}
			seen[id] = true
		}
		if len(ids) < len(ticks) {
			t.Errorf("%d tasks, but %d events", len(ids), len(ticks))
		}
	})
}
