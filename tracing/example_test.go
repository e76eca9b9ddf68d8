package tracing_test

import (
	"context"
	"fmt"
	"slices"

	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/client"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/tracing"
	"github.com/seri-queue/seri/worker"
)

var greet = seri.NewTask[string, string]("greet")

func sayHello(_ context.Context, name string) (string, error) { return "Hello, " + name, nil }

func Example() {
	rdb, closeRedis := redistest.ForExample() // in a program: client.OpenRedis
	defer closeRedis()
	spans := tracetest.NewSpanRecorder()
	provider := trace.NewTracerProvider(trace.WithSpanProcessor(spans)) // in a program: with an exporter

	queue := tracing.Producer(client.New(rdb, client.Config{}), provider)
	handlers := tracing.Consumer([]seri.Handler{greet.HandledBy(sayHello)}, provider)

	w, err := worker.New(rdb, handlers, worker.Config{})
	if err != nil {
		panic(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- w.Run(ctx) }()
	ticket, err := greet.Enqueue(ctx, queue, "Ada")
	if err != nil {
		panic(err)
	}
	greeting, err := ticket.Wait(ctx)
	fmt.Println(greeting, err)
	stop()
	<-ended

	var names []string
	for _, s := range spans.Ended() { // in any order: a worker may be faster than the reply to who has enqueued
		names = append(names, s.Name())
	}
	fmt.Println(slices.Sorted(slices.Values(names)))
	// Output:
	// Hello, Ada <nil>
	// [enqueue greet run greet wait greet]
}
