package engine_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/engine"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/internal/store"
)

// BenchmarkDrain runs preloaded tasks whose handler does nothing: what the engine and its Redis cost a task. Allocations
// are the engine's, the store's and the Redis client's together.
func BenchmarkDrain(b *testing.B) {
	for _, slots := range []int{1, 10, 100} {
		b.Run(fmt.Sprint(slots), func(b *testing.B) { drain(b, slots) })
	}
}

func drain(b *testing.B, slots int) {
	s := store.New(redistest.New(b), store.Config{})
	q := keys.Queue(redistest.Queue(b))
	preload(b, s, q, b.N)
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	var done atomic.Int64
	e, err := engine.New(s, engine.Config{
		Queues: map[string]int{string(q): 1}, Slots: slots, Logger: slog.New(slog.DiscardHandler),
		Handlers: []seri.Handler{{Type: "bench:task", Run: func(context.Context, []byte) ([]byte, error) {
			if done.Add(1) == int64(b.N) {
				cancel() // the last one; what is not acknowledged yet is, before Run returns
			}
			return nil, nil
		}}},
	})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()

	b.ResetTimer()
	if err := e.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
		b.Fatal(err)
	}
	b.StopTimer()

	if done.Load() != int64(b.N) {
		b.Fatalf("%d of %d tasks were run", done.Load(), b.N)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tasks/s")
}

func preload(b *testing.B, s *store.Store, q keys.Queue, n int) {
	b.Helper()
	payload := []byte(`{"user_id":42,"locale":"en"}`)
	for n > 0 {
		messages := make([]seri.Message, min(n, store.MaxBatch))
		for i := range messages {
			var err error
			messages[i], err = seri.NewMessage("bench:task", payload, seri.Queue(string(q)), seri.Retention(0), seri.Timeout(time.Minute))
			if err != nil {
				b.Fatal(err)
			}
		}
		if _, err := s.Enqueue(b.Context(), q, messages); err != nil {
			b.Fatal(err)
		}
		n -= len(messages)
	}
}
