package client_test

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/client"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/worker"
)

// Whoever waits for a task gets its result, also of one that is deleted the moment that it ends, however events travel.
func TestTasksAreWaitedForHoweverEventsTravel(t *testing.T) {
	t.Parallel()
	for _, events := range []string{"streams", "memory", "pubsub", "sharded-pubsub"} {
		t.Run(events, func(t *testing.T) {
			t.Parallel()
			redistest.Each(t, func(t *testing.T, rdb redis.UniversalClient) {
				q := redistest.Queue(t)
				double := seri.NewTask[int, int]("double", seri.Queue(q))
				queue := client.New(rdb, client.Config{Events: events})
				w, err := worker.New(rdb, []seri.Handler{double.HandledBy(func(_ context.Context, n int) (int, error) { return 2 * n, nil })},
					worker.Config{Queues: map[string]int{q: 1}, Events: events})
				if err != nil {
					t.Fatal(err)
				}
				ctx, stop := context.WithTimeout(t.Context(), time.Minute)
				defer stop()
				ended := make(chan error, 1)
				working, end := context.WithCancel(ctx)
				go func() { ended <- w.Run(working) }()
				defer func() { end(); <-ended }()

				for n := range 5 {
					ticket, err := double.Enqueue(ctx, queue, n, seri.Delay(100*time.Millisecond))
					if err != nil {
						t.Fatal(err)
					}
					got, err := ticket.Wait(ctx)
					if err != nil || got != 2*n {
						t.Errorf("twice %d is %d, %v", n, got, err)
					}
				}
			})
		})
	}
}

func TestUnknownWayForEventsIsRefused(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t)

	err := client.New(rdb, client.Config{Events: "pigeons"}).Enqueue(t.Context(), seri.Message{Type: "t", Queue: "q", ID: "a"})
	if err == nil {
		t.Error("the client takes it")
	}
	if _, err := worker.New(rdb, nil, worker.Config{Events: "pigeons"}); err == nil {
		t.Error("the worker takes it")
	}
}
