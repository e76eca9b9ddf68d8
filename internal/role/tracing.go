package role

import (
	"context"

	"go.opentelemetry.io/otel/trace"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/client"
	"github.com/seri-queue/seri/internal/api"
	"github.com/seri-queue/seri/internal/telemetry"
	"github.com/seri-queue/seri/tracing"
)

// checkTracing adds what is wrong with the variables of OpenTelemetry, which are no settings of ours.
func checkTracing(f *faults) {
	if _, err := telemetry.Wanted(); err != nil {
		*f = append(*f, err.Error())
	}
}

// traced has an api make spans, if there is a provider.
func traced(config *api.Config, queues *client.Client, provider trace.TracerProvider) {
	if provider != nil {
		config.Tasks, config.Trace = tracedTasks{queues, tracing.Producer(queues, provider)}, telemetry.Requests(provider)
	}
}

// tracedTasks is a client that enqueues by way of another.
type tracedTasks struct {
	*client.Client
	producer tracing.Queue
}

// Enqueue implements [api.Tasks].
func (t tracedTasks) Enqueue(ctx context.Context, m seri.Message) error {
	return t.producer.Enqueue(ctx, m)
}

// EnqueueBatch implements [api.Tasks].
func (t tracedTasks) EnqueueBatch(ctx context.Context, tasks []seri.Message) []error {
	return t.producer.EnqueueBatch(ctx, tasks)
}
