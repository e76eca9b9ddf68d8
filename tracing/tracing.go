// Package tracing has tasks take part in distributed traces of OpenTelemetry, from whoever enqueues over the queue to the
// handler.
//
//	queue := tracing.Producer(client.New(rdb, client.Config{}), provider)
//	w, err := worker.New(rdb, tracing.Consumer(handlers, provider), worker.Config{})
//
// The programs of this repository do so by themselves where the standard variables OTEL_… say where spans go; see
// docs/tracing.md. Without a provider nothing is wrapped, and nothing costs anything.
//
// The trace travels in the task's headers, as W3C Trace Context has it: traceparent and tracestate. They are ordinary
// headers of asynq's message, so other programs may read and write them, too. There are three spans for a task:
//
//	enqueue TYPE   producer   the call that stores it, a child of the span in its context
//	wait TYPE      internal   from when it could have run to when it did, a child of enqueue; for the first attempt only
//	run TYPE       consumer   an attempt, a child of enqueue; the handler finds it in its context
//
// Attributes are those of the semantic conventions for messaging (messaging.destination.name is the queue,
// messaging.message.id the task's ID), and seri.task.type, seri.task.attempt, seri.task.token. Payloads, results and owners
// are not told.
package tracing

import (
	"context"
	"errors"
	"maps"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/seri-queue/seri"
)

// scope is the name under which the spans are made.
const scope = "github.com/seri-queue/seri/tracing"

// readyKey is our member of tracestate: when the task could run at the earliest, in Unix milliseconds.
const readyKey = "seri"

// parent is how traces travel.
var parent propagation.TraceContext

// Queue is a client as producers use it; [*github.com/seri-queue/seri/client.Client] is one.
type Queue interface {
	seri.Enqueuer
	EnqueueBatch(ctx context.Context, tasks []seri.Message) []error
}

// Producer returns queue with a span for each call that enqueues, which the tasks carry on. A task that has a header
// traceparent of its own continues that trace, and not the one in the call's context. A batch is one span. Without a
// provider, queue itself is returned.
func Producer(queue Queue, provider trace.TracerProvider) Queue {
	if provider == nil {
		return queue
	}
	return &producer{queue, provider.Tracer(scope)}
}

type producer struct {
	Queue
	tracer trace.Tracer
}

// Enqueue implements [seri.Enqueuer].
func (p *producer) Enqueue(ctx context.Context, m seri.Message) error {
	ctx, span := p.tracer.Start(parent.Extract(ctx, carrier(m.Headers)), "enqueue "+m.Type, trace.WithSpanKind(trace.SpanKindProducer),
		trace.WithAttributes(append(about("enqueue", "send", m.Queue, m.Type), attribute.String("messaging.message.id", m.ID))...))
	defer span.End()
	err := p.Queue.Enqueue(ctx, carrying(ctx, m))
	note(span, err)
	return err
}

// EnqueueBatch implements [Queue].
func (p *producer) EnqueueBatch(ctx context.Context, tasks []seri.Message) []error {
	if len(tasks) == 0 {
		return p.Queue.EnqueueBatch(ctx, tasks)
	}
	ctx, span := p.tracer.Start(ctx, "enqueue batch", trace.WithSpanKind(trace.SpanKindProducer), trace.WithAttributes(
		attribute.String("messaging.system", "seri"), attribute.String("messaging.operation.name", "enqueue"),
		attribute.String("messaging.operation.type", "send"), attribute.Int("messaging.batch.message_count", len(tasks))))
	defer span.End()
	carried := make([]seri.Message, len(tasks))
	for i, m := range tasks {
		if carried[i] = m; m.Headers["traceparent"] == "" {
			carried[i] = carrying(ctx, m)
		}
	}
	errs := p.Queue.EnqueueBatch(ctx, carried)
	note(span, errors.Join(errs...))
	return errs
}

// carrying returns m with the trace of ctx in its headers, unless it has no room for that: a trace makes no task fail.
func carrying(ctx context.Context, m seri.Message) seri.Message {
	span := trace.SpanContextFromContext(ctx)
	if span.IsSampled() {
		ready := time.Now()
		if m.ETA.After(ready) {
			ready = m.ETA
		}
		if state, err := span.TraceState().Insert(readyKey, strconv.FormatInt(ready.UnixMilli(), 10)); err == nil {
			ctx = trace.ContextWithSpanContext(ctx, span.WithTraceState(state))
		}
	}
	headers := maps.Clone(m.Headers) // the caller's own may be shared
	if headers == nil {
		headers = make(map[string]string, 2)
	}
	parent.Inject(ctx, carrier(headers))
	bytes := 0
	for name, value := range headers {
		bytes += len(name) + len(value)
	}
	if bytes <= seri.MaxHeaderBytes {
		m.Headers = headers
	}
	return m
}

// Consumer returns handlers whose runs are spans, in the trace that the task carries or else in one of their own. Without a
// provider, handlers itself is returned.
func Consumer(handlers []seri.Handler, provider trace.TracerProvider) []seri.Handler {
	if provider == nil {
		return handlers
	}
	tracer := provider.Tracer(scope)
	traced := make([]seri.Handler, len(handlers))
	for i, h := range handlers {
		traced[i] = h
		traced[i].Run = func(ctx context.Context, payload []byte) ([]byte, error) { return perform(ctx, tracer, h, payload) }
	}
	return traced
}

// perform runs a handler in a span.
func perform(ctx context.Context, tracer trace.Tracer, h seri.Handler, payload []byte) (result []byte, err error) {
	began := time.Now()
	e, _ := seri.ExecutionFrom(ctx)
	ctx = parent.Extract(ctx, carrier(e.Headers))
	if from := trace.SpanContextFromContext(ctx); from.IsRemote() {
		ready, carried := readyAt(from.TraceState())
		ctx = trace.ContextWithSpanContext(ctx, from.WithTraceState(from.TraceState().Delete(readyKey)))
		if carried && e.Attempt == 1 {
			if ready.After(began) { // by the producer's clock
				ready = began
			}
			_, waited := tracer.Start(ctx, "wait "+e.Type, trace.WithTimestamp(ready), trace.WithAttributes(aboutAttempt("wait", "receive", e)...))
			waited.End(trace.WithTimestamp(began))
		}
	}
	ctx, span := tracer.Start(ctx, "run "+e.Type, trace.WithTimestamp(began), trace.WithSpanKind(trace.SpanKindConsumer),
		trace.WithAttributes(aboutAttempt("run", "process", e)...))
	returned := false
	defer func() { // also of a panic, which goes on
		if !returned {
			span.SetStatus(codes.Error, "the handler has panicked")
		}
		span.End()
	}()
	result, err = h.Run(ctx, payload)
	returned = true
	note(span, err)
	return result, err
}

func readyAt(state trace.TraceState) (time.Time, bool) {
	ms, err := strconv.ParseInt(state.Get(readyKey), 10, 64)
	return time.UnixMilli(ms), err == nil
}

func about(name, kind, queue, typ string) []attribute.KeyValue {
	return []attribute.KeyValue{
		attribute.String("messaging.system", "seri"), attribute.String("messaging.operation.name", name),
		attribute.String("messaging.operation.type", kind), attribute.String("messaging.destination.name", queue),
		attribute.String("seri.task.type", typ),
	}
}

func aboutAttempt(name, kind string, e seri.Execution) []attribute.KeyValue {
	return append(about(name, kind, e.Queue, e.Type), attribute.String("messaging.message.id", e.ID),
		attribute.Int("seri.task.attempt", e.Attempt), attribute.Int64("seri.task.token", int64(e.Token)))
}

// note keeps an error with its span.
func note(span trace.Span, err error) {
	if err != nil && span.IsRecording() {
		span.RecordError(err)
		span.SetStatus(codes.Error, err.Error())
	}
}

// carrier is the headers of a task, whose names are in small letters as W3C has them.
type carrier map[string]string

func (c carrier) Get(key string) string { return c[key] }
func (c carrier) Set(key, value string) { c[key] = value }
func (c carrier) Keys() []string {
	keys := make([]string, 0, len(c))
	for key := range c {
		keys = append(keys, key)
	}
	return keys
}
