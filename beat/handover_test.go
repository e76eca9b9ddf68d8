package beat_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/beat"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redistest"
)

// leading tells of every "beat leads" that is logged.
type leading struct {
	slog.Handler
	now chan struct{}
}

func (l leading) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "beat leads" {
		l.now <- struct{}{}
	}
	return nil
}

// With a lease of an hour nobody leads by waiting for its end; without being woken, the second beat would look after 2 s.
func TestAStoppedBeatHandsOverAtOnce(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, rdb redis.UniversalClient) {
		name := redistest.Queue(t)
		start := func() (leads chan struct{}, stop func()) {
			leads = make(chan struct{}, 1)
			logger := slog.New(leading{slog.NewTextHandler(t.Output(), nil), leads})
			b, err := beat.New(rdb, nil, beat.Config{Lock: name, Lease: time.Hour, Logger: logger})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- b.Run(ctx) }()
			return leads, func() {
				cancel()
				if err := <-ended; err != nil {
					t.Error(err)
				}
			}
		}
		first, stopFirst := start()
		<-first
		second, stopSecond := start()
		defer stopSecond()
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for rdb.ZCard(t.Context(), keys.LockQueue(name)).Val() == 0 {
			<-tick.C
		}

		stopped := time.Now()
		stopFirst()
		<-second

		took := time.Since(stopped)
		t.Logf("the second beat leads %v after the first was told to stop", took)
		if took > 1500*time.Millisecond {
			t.Errorf("the second beat leads %v after the first was told to stop", took)
		}
	})
}
