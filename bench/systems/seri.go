// Package systems speaks to the systems that are compared and that live on Redis: Seri, through what its users import,
// and asynq.
package systems

import (
	"context"
	"log/slog"
	"os"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/bench/load"
	"github.com/seri-queue/seri/client"
	"github.com/seri-queue/seri/worker"
)

// taskType is the type of every measured task.
const taskType = "bench:task"

// All are the systems of this package by name.
func All() map[string]load.Opener {
	return map[string]load.Opener{"seri": openSeri, "asynq": openAsynq}
}

type seriSystem struct {
	rdb    redis.UniversalClient
	client *client.Client
}

func openSeri(ctx context.Context, spec load.Spec) (load.System, error) {
	rdb, err := client.OpenRedis(spec.URL)
	if err != nil {
		return nil, err
	}
	if err := rdb.Ping(ctx).Err(); err != nil {
		return nil, err
	}
	return &seriSystem{rdb, client.New(rdb, client.Config{})}, nil
}

func (s *seriSystem) message(t load.Task) (seri.Message, error) {
	if t.Due.IsZero() {
		return seri.NewMessage(taskType, t.Payload, seri.Queue(t.Queue), seri.Retention(t.Retention))
	}
	return seri.NewMessage(taskType, t.Payload, seri.Queue(t.Queue), seri.Retention(t.Retention), seri.ETA(t.Due))
}

func (s *seriSystem) Enqueue(ctx context.Context, t load.Task) error {
	m, err := s.message(t)
	if err != nil {
		return err
	}
	return s.client.Enqueue(ctx, m)
}

func (s *seriSystem) EnqueueMany(ctx context.Context, tasks []load.Task) error {
	messages := make([]seri.Message, len(tasks))
	for i, t := range tasks {
		var err error
		if messages[i], err = s.message(t); err != nil {
			return err
		}
	}
	for _, err := range s.client.EnqueueBatch(ctx, messages) {
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *seriSystem) Work(ctx context.Context, w load.Work, handle load.Handle) error {
	queues := make(map[string]int)
	for _, q := range load.QueueNames(w.Queues) {
		queues[q] = 1
	}
	handler := seri.Handler{Type: taskType, Run: func(ctx context.Context, payload []byte) ([]byte, error) {
		return handle(ctx, payload), nil
	}}
	// What goes wrong must show beside the figures; what goes right is not worth a line.
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	run, err := worker.New(s.rdb, []seri.Handler{handler}, worker.Config{Queues: queues, Slots: w.Slots, Logger: logger})
	if err != nil {
		return err
	}
	return run.Run(ctx)
}
