package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/bench/ground"
	"github.com/seri-queue/seri/bench/load"
	"github.com/seri-queue/seri/client"
	"github.com/seri-queue/seri/internal/meter"
	"github.com/seri-queue/seri/metrics"
	"github.com/seri-queue/seri/tracing"
	"github.com/seri-queue/seri/worker"
)

const (
	taskType  = "bench:task"
	slots     = 100
	producers = 64
	warmUp    = 2000 // tasks before those that count
)

// watch is how a run is looked at; the zero value: not at all.
type watch struct {
	figures func(sources ...metrics.Source) // is given what can be told
	spans   trace.TracerProvider
	lines   *slog.Logger // the worker's log, into which each task writes a line
}

// measured is what one run gives.
type measured struct {
	rate      float64 // tasks/s
	processor float64 // of this process, µs a task
	note      string  // what is worth knowing beside the figures
}

// run has a worker run tasks while they are enqueued.
func run(ctx context.Context, redis *ground.Redis, l look, tasks int) (m measured, err error) {
	if err := redis.Flush(ctx); err != nil {
		return m, err
	}
	w, off, err := l.on(ctx)
	if err != nil {
		return m, err
	}
	defer func() { m.note = off(warmUp + tasks) }()
	rdb, err := client.OpenRedis(redis.URL())
	if err != nil {
		return m, err
	}
	defer rdb.Close()
	queues := client.New(rdb, client.Config{})
	queue := tracing.Producer(queues, w.spans)

	var ended atomic.Int64
	grown := make(chan struct{}, 1)
	last := int64(warmUp)
	handler := seri.Handler{Type: taskType, Run: func(ctx context.Context, _ []byte) ([]byte, error) {
		if w.lines != nil {
			seri.Log(ctx).InfoContext(ctx, "thumbnail made", "width", 320, "height", 240, "bytes", 18_211)
		}
		if n := ended.Add(1); n == warmUp || n == warmUp+int64(tasks) {
			grown <- struct{}{}
		}
		return nil, nil
	}}
	config := worker.Config{Slots: slots, LogBytes: -1, Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))}
	if w.lines != nil { // as on ECS: with each task stays where its lines are
		config.Logger, config.LogStream = w.lines, &worker.LogStream{Group: "/seri/bench", Stream: "worker"}
	}
	work, err := worker.New(rdb, tracing.Consumer([]seri.Handler{handler}, w.spans), config)
	if err != nil {
		return m, err
	}
	if w.figures != nil {
		trips := new(meter.Redis)
		rdb.AddHook(trips)
		w.figures(work, queues, trips)
	}
	working, stop := context.WithCancel(ctx)
	over := make(chan error, 1)
	go func() { over <- work.Run(working) }()
	defer func() {
		stop()
		if e := <-over; err == nil {
			err = e
		}
	}()

	through := func(tasks int) error {
		if err := enqueue(ctx, queue, tasks); err != nil {
			return err
		}
		select {
		case <-grown:
			return nil
		case <-time.After(time.Minute):
			return fmt.Errorf("%d of %d tasks have ended, and no more for a minute", ended.Load(), last)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if err := through(warmUp); err != nil {
		return m, err
	}
	runtime.GC()
	begun, before := time.Now(), load.CPUTime()
	last += int64(tasks)
	if err := through(tasks); err != nil {
		return m, err
	}
	took, used := time.Since(begun), load.CPUTime()-before
	m.rate = float64(tasks) / took.Seconds()
	m.processor = float64(used.Microseconds()) / float64(tasks)
	return m, nil
}

// enqueue hands tasks over one by one, from many goroutines, and returns when all of them are stored.
func enqueue(ctx context.Context, queue tracing.Queue, tasks int) error {
	var (
		next  atomic.Int64
		group sync.WaitGroup
		once  sync.Once
		fault error
	)
	payload := []byte(`{"source":"https://example.com/photo.jpeg","sizes":[320]}`)
	for range producers {
		group.Go(func() {
			for next.Add(1) <= int64(tasks) {
				m, err := seri.NewMessage(taskType, payload)
				if err == nil {
					err = queue.Enqueue(ctx, m)
				}
				if err != nil {
					once.Do(func() { fault = fmt.Errorf("enqueue: %w", err) })
					return
				}
			}
		})
	}
	group.Wait()
	return fault
}
