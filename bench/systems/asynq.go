package systems

import (
	"context"
	"fmt"

	"github.com/hibiken/asynq"

	"github.com/seri-queue/seri/bench/load"
)

type asynqSystem struct {
	redis  asynq.RedisConnOpt
	client *asynq.Client
}

func openAsynq(_ context.Context, spec load.Spec) (load.System, error) {
	opt, err := asynq.ParseRedisURI(spec.URL)
	if err != nil {
		return nil, err
	}
	client := asynq.NewClient(opt)
	if err := client.Ping(); err != nil {
		return nil, err
	}
	return &asynqSystem{opt, client}, nil
}

func (s *asynqSystem) Enqueue(ctx context.Context, t load.Task) error {
	options := []asynq.Option{asynq.Queue(t.Queue)}
	if t.Retention > 0 {
		options = append(options, asynq.Retention(t.Retention))
	}
	if !t.Due.IsZero() {
		options = append(options, asynq.ProcessAt(t.Due))
	}
	_, err := s.client.EnqueueContext(ctx, asynq.NewTask(taskType, t.Payload), options...)
	return err
}

func (s *asynqSystem) EnqueueMany(context.Context, []load.Task) error { return load.ErrNoBulk }

func (s *asynqSystem) Work(ctx context.Context, w load.Work, handle load.Handle) error {
	queues := make(map[string]int)
	for _, q := range load.QueueNames(w.Queues) {
		queues[q] = 1
	}
	handler := asynq.HandlerFunc(func(ctx context.Context, t *asynq.Task) error {
		if result := handle(ctx, t.Payload()); result != nil {
			if _, err := t.ResultWriter().Write(result); err != nil {
				return err
			}
		}
		return nil
	})
	servers := max(w.Servers, 1)
	for i := range servers {
		slots := w.Slots / servers
		if i < w.Slots%servers {
			slots++
		}
		server := asynq.NewServer(s.redis, asynq.Config{
			Concurrency: slots, Queues: queues, LogLevel: asynq.ErrorLevel, TaskCheckInterval: w.Poll, DelayedTaskCheckInterval: w.Poll,
		})
		if err := server.Start(handler); err != nil {
			return fmt.Errorf("start server %d: %w", i, err)
		}
		defer server.Shutdown()
	}
	<-ctx.Done()
	return nil
}
