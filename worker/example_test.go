package worker_test

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/hibiken/asynq"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/client"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/worker"
)

// A worker runs until its context ends, which in a program is signal.NotifyContext's.
func Example() {
	rdb, closeRedis := redistest.ForExample()
	defer closeRedis()
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()

	square := seri.NewTask[int, int]("math:square", seri.Queue("math"))
	handlers := []seri.Handler{
		square.HandledBy(func(_ context.Context, n int) (int, error) { return n * n, nil }),
	}
	w, err := worker.New(rdb, handlers, worker.Config{
		Queues: map[string]int{"math": 3, "default": 1},
		Slots:  4,
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		panic(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()

	ticket, err := square.Enqueue(ctx, client.New(rdb, client.Config{}), 12)
	if err != nil {
		panic(err)
	}
	fmt.Println(ticket.Wait(ctx))
	stop()
	fmt.Println(<-ended)
	// Output:
	// 144 <nil>
	// <nil>
}

// A program that moves over from asynq keeps its handlers.
func ExampleConfig_asynq() {
	rdb, closeRedis := redistest.ForExample()
	defer closeRedis()
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()

	mux := asynq.NewServeMux()
	mux.HandleFunc("greet:hello", func(_ context.Context, t *asynq.Task) error {
		fmt.Printf("hello, %s\n", t.Payload())
		return nil
	})
	w, err := worker.New(rdb, nil, worker.Config{Asynq: mux, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		panic(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()

	queue := client.New(rdb, client.Config{})
	m, err := seri.NewMessage("greet:hello", []byte("world"))
	if err != nil {
		panic(err)
	}
	if err := queue.Enqueue(ctx, m); err != nil {
		panic(err)
	}
	info, err := queue.Wait(ctx, m.Queue, m.ID)
	fmt.Println(info.State, err)
	stop()
	<-ended
	// Output:
	// hello, world
	// succeeded <nil>
}
