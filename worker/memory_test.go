package worker_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/internal/redisurl"
	"github.com/seri-queue/seri/worker"
)

// A Redis that is full refuses tasks, and gets room by running those it has; nobody has to help.
func TestAFullRedisDrainsItselfAndTakesTasksAgain(t *testing.T) {
	t.Parallel()
	const n = 200
	w := newWorld(t, redistest.Exclusive(t).Client())
	task := seri.NewTask[string, seri.None]("test:large", seri.Retention(0))
	large := strings.Repeat("x", 64<<10)
	for range n {
		put(w, task, large)
	}
	memory, err := redisurl.Memories(w.ctx, w.rdb)
	if err != nil {
		t.Fatal(err)
	}
	const room = 1 << 20 // less than there is; a tenth of what the tasks take
	if err := w.rdb.ConfigSet(w.ctx, "maxmemory", strconv.FormatInt(memory[0].Used-room, 10)).Err(); err != nil {
		t.Fatal(err)
	}
	_, err = task.Enqueue(w.ctx, w, large, seri.Queue(w.queue))
	if !errors.Is(err, seri.ErrMemoryFull) || !errors.Is(err, seri.ErrUnavailable) {
		t.Fatalf("a full Redis answers %v, want %v", err, seri.ErrMemoryFull)
	}

	var ran atomic.Int64
	w.work(worker.Config{}, task.HandledBy(func(context.Context, string) (seri.None, error) {
		ran.Add(1)
		return seri.None{}, nil
	}))

	events, succeeded := 0, 0
	w.follow(func(e seri.Event) bool {
		events++
		if e.Kind == seri.EventSucceeded {
			succeeded++
		}
		return events == 3*n // queued, started, succeeded
	})
	if succeeded != n || ran.Load() != n {
		t.Errorf("%d of %d tasks have succeeded in %d runs", succeeded, n, ran.Load())
	}
	w.end(put(w, task, large, seri.Retention(time.Minute)).ID)
}
