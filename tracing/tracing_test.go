package tracing_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/tracing"
)

// shelf is a queue that keeps what it is given.
type shelf struct {
	seri.Waiter
	tasks []seri.Message
	err   error
}

func (s *shelf) Enqueue(_ context.Context, m seri.Message) error {
	s.tasks = append(s.tasks, m)
	return s.err
}

func (s *shelf) EnqueueBatch(_ context.Context, tasks []seri.Message) []error {
	s.tasks = append(s.tasks, tasks...)
	return make([]error, len(tasks))
}

func recording(t *testing.T, options ...sdktrace.TracerProviderOption) (*sdktrace.TracerProvider, *tracetest.SpanRecorder) {
	t.Helper()
	recorder := tracetest.NewSpanRecorder()
	return sdktrace.NewTracerProvider(append(options, sdktrace.WithSpanProcessor(recorder))...), recorder
}

func named(t *testing.T, r *tracetest.SpanRecorder, name string) sdktrace.ReadOnlySpan {
	t.Helper()
	for _, s := range r.Ended() {
		if s.Name() == name {
			return s
		}
	}
	t.Fatalf("there is no span %q among %d", name, len(r.Ended()))
	return nil
}

func attributes(s sdktrace.ReadOnlySpan) map[string]string {
	all := make(map[string]string)
	for _, a := range s.Attributes() {
		all[string(a.Key)] = a.Value.String()
	}
	return all
}

// run runs a handler as a worker does.
func run(t *testing.T, provider trace.TracerProvider, m seri.Message, attempt int, do func(ctx context.Context) error) error {
	t.Helper()
	handlers := tracing.Consumer([]seri.Handler{{Type: m.Type, Run: func(ctx context.Context, _ []byte) ([]byte, error) { return nil, do(ctx) }}}, provider)
	ctx := seri.WithExecution(t.Context(), seri.Execution{ID: m.ID, Type: m.Type, Queue: m.Queue, Headers: m.Headers, Attempt: attempt, Token: 9}, nil)
	_, err := handlers[0].Run(ctx, nil)
	return err
}

func nothing(context.Context) error { return nil }

func TestATraceGoesFromTheProducerToTheHandler(t *testing.T) {
	t.Parallel()
	provider, spans := recording(t)
	kept := &shelf{}
	ctx, request := provider.Tracer("test").Start(t.Context(), "request")
	given := map[string]string{"a": "b"}
	before := time.Now()
	m := seri.Message{ID: "t1", Type: "mail", Queue: "q", Headers: given}
	if err := tracing.Producer(kept, provider).Enqueue(ctx, m); err != nil {
		t.Fatal(err)
	}
	request.End()

	var seen trace.SpanContext
	if err := run(t, provider, kept.tasks[0], 1, func(ctx context.Context) error {
		seen = trace.SpanContextFromContext(ctx)
		return nil
	}); err != nil {
		t.Fatal(err)
	}

	enqueue, wait, ran := named(t, spans, "enqueue mail"), named(t, spans, "wait mail"), named(t, spans, "run mail")
	if enqueue.Parent().SpanID() != request.SpanContext().SpanID() || wait.Parent().SpanID() != enqueue.SpanContext().SpanID() || ran.Parent().SpanID() != enqueue.SpanContext().SpanID() {
		t.Error("the spans do not hang together")
	}
	for _, s := range spans.Ended() {
		if s.SpanContext().TraceID() != request.SpanContext().TraceID() {
			t.Errorf("%s is in another trace", s.Name())
		}
	}
	if seen.SpanID() != ran.SpanContext().SpanID() || seen.TraceState().Get("seri") != "" {
		t.Errorf("the handler is in the span %v, and hands on %q", seen.SpanID(), seen.TraceState())
	}
	if enqueue.SpanKind() != trace.SpanKindProducer || ran.SpanKind() != trace.SpanKindConsumer {
		t.Errorf("kinds %v and %v", enqueue.SpanKind(), ran.SpanKind())
	}
	if wait.StartTime().Before(before.Truncate(time.Millisecond)) || !wait.EndTime().Equal(ran.StartTime()) {
		t.Errorf("waited from %v to %v, began to run at %v", wait.StartTime(), wait.EndTime(), ran.StartTime())
	}
	want := map[string]string{
		"messaging.system": "seri", "messaging.operation.name": "run", "messaging.operation.type": "process", "messaging.destination.name": "q",
		"messaging.message.id": "t1", "seri.task.type": "mail", "seri.task.attempt": "1", "seri.task.token": "9",
	}
	if got := attributes(ran); !maps.Equal(got, want) {
		t.Errorf("attributes %v, want %v", got, want)
	}
	if len(given) != 1 || kept.tasks[0].Headers["a"] != "b" {
		t.Errorf("the headers of the caller are %v, those of the task %v", given, kept.tasks[0].Headers)
	}
}

func TestATaskContinuesTheTraceInItsOwnHeaders(t *testing.T) {
	t.Parallel()
	const foreign = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	provider, spans := recording(t)
	kept := &shelf{}
	ctx, request := provider.Tracer("test").Start(t.Context(), "request")
	defer request.End()
	m := seri.Message{ID: "t1", Type: "mail", Queue: "q", Headers: map[string]string{"traceparent": foreign, "tracestate": "other=1"}}
	if err := tracing.Producer(kept, provider).Enqueue(ctx, m); err != nil {
		t.Fatal(err)
	}
	if s := named(t, spans, "enqueue mail"); s.Parent().SpanID().String() != "00f067aa0ba902b7" || s.SpanContext().TraceID().String() != "4bf92f3577b34da6a3ce929d0e0e4736" {
		t.Errorf("the parent is %v", s.Parent())
	}
	if state := kept.tasks[0].Headers["tracestate"]; !strings.HasPrefix(state, "seri=") || !strings.HasSuffix(state, ",other=1") {
		t.Errorf("tracestate %q", state)
	}

	// One that a stock client has enqueued with that header: there is no telling how long it has waited.
	if err := run(t, provider, m, 1, nothing); err != nil {
		t.Fatal(err)
	}
	if s := named(t, spans, "run mail"); s.Parent().SpanID().String() != "00f067aa0ba902b7" || len(spans.Ended()) != 2 {
		t.Errorf("the parent is %v, of %d spans", s.Parent(), len(spans.Ended()))
	}
}

func TestWaitingBeginsWithTheETA(t *testing.T) {
	t.Parallel()
	provider, spans := recording(t)
	kept := &shelf{}
	eta := time.Now().Add(time.Hour)
	if err := tracing.Producer(kept, provider).Enqueue(t.Context(), seri.Message{ID: "t1", Type: "mail", Queue: "q", ETA: eta}); err != nil {
		t.Fatal(err)
	}
	if want := "seri=" + strconv.FormatInt(eta.UnixMilli(), 10); kept.tasks[0].Headers["tracestate"] != want {
		t.Errorf("tracestate %q, want %q", kept.tasks[0].Headers["tracestate"], want)
	}
	if err := run(t, provider, kept.tasks[0], 1, nothing); err != nil { // by a worker whose clock is behind
		t.Fatal(err)
	}
	if s := named(t, spans, "wait mail"); s.EndTime().Before(s.StartTime()) {
		t.Errorf("waited from %v to %v", s.StartTime(), s.EndTime())
	}
}

func TestALaterAttemptHasNotWaitedSinceTheBeginning(t *testing.T) {
	t.Parallel()
	provider, spans := recording(t)
	kept := &shelf{}
	if err := tracing.Producer(kept, provider).Enqueue(t.Context(), seri.Message{ID: "t1", Type: "mail", Queue: "q"}); err != nil {
		t.Fatal(err)
	}
	if err := run(t, provider, kept.tasks[0], 2, nothing); err != nil {
		t.Fatal(err)
	}
	if n := len(spans.Ended()); n != 2 {
		t.Errorf("%d spans", n)
	}
}

func TestErrorsAreTold(t *testing.T) {
	t.Parallel()
	provider, spans := recording(t)
	broken := errors.New("broken")
	if err := tracing.Producer(&shelf{err: broken}, provider).Enqueue(t.Context(), seri.Message{Type: "mail"}); err != broken {
		t.Errorf("error %v", err)
	}
	if err := run(t, provider, seri.Message{Type: "mail"}, 1, func(context.Context) error { return broken }); err != broken {
		t.Errorf("error %v", err)
	}
	func() {
		defer func() {
			if recover() != "boom" {
				t.Error("the panic has not come through")
			}
		}()
		_ = run(t, provider, seri.Message{Type: "bomb"}, 1, func(context.Context) error { panic("boom") })
	}()
	for name, says := range map[string]string{"enqueue mail": "broken", "run mail": "broken", "run bomb": "the handler has panicked"} {
		if s := named(t, spans, name).Status(); s.Code != codes.Error || s.Description != says {
			t.Errorf("%s has the status %+v", name, s)
		}
	}
}

func TestABatchIsOneSpan(t *testing.T) {
	t.Parallel()
	const foreign = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	provider, spans := recording(t)
	kept := &shelf{}
	errs := tracing.Producer(kept, provider).EnqueueBatch(t.Context(), []seri.Message{
		{ID: "1", Type: "mail"}, {ID: "2", Type: "mail", Headers: map[string]string{"traceparent": foreign}}, {ID: "3", Type: "mail"},
	})
	if len(errs) != 3 || errors.Join(errs...) != nil {
		t.Fatal(errs)
	}
	s := named(t, spans, "enqueue batch")
	if !slices.Contains(s.Attributes(), attribute.Int("messaging.batch.message_count", 3)) {
		t.Errorf("attributes %v", s.Attributes())
	}
	id := s.SpanContext().SpanID().String()
	if h := kept.tasks; !strings.Contains(h[0].Headers["traceparent"], id) || h[1].Headers["traceparent"] != foreign || !strings.Contains(h[2].Headers["traceparent"], id) {
		t.Errorf("%v", kept.tasks)
	}
}

func TestATraceMakesNoTaskTooLarge(t *testing.T) {
	t.Parallel()
	provider, _ := recording(t)
	kept := &shelf{}
	full := seri.Message{ID: "t1", Type: "mail", Queue: "q", Headers: map[string]string{"x": strings.Repeat("x", seri.MaxHeaderBytes-10)}}
	if err := tracing.Producer(kept, provider).Enqueue(t.Context(), full); err != nil {
		t.Fatal(err)
	}
	if err := kept.tasks[0].Validate(); err != nil || len(kept.tasks[0].Headers) != 1 {
		t.Errorf("%v", err)
	}
}

func TestWhatIsNotSampledIsCarriedOnAllTheSame(t *testing.T) {
	t.Parallel()
	provider, spans := recording(t, sdktrace.WithSampler(sdktrace.NeverSample()))
	kept := &shelf{}
	if err := tracing.Producer(kept, provider).Enqueue(t.Context(), seri.Message{ID: "t1", Type: "mail", Queue: "q"}); err != nil {
		t.Fatal(err)
	}
	if h := kept.tasks[0].Headers; !strings.HasSuffix(h["traceparent"], "-00") || h["tracestate"] != "" {
		t.Errorf("headers %v", h)
	}
	if err := run(t, provider, kept.tasks[0], 1, nothing); err != nil || len(spans.Ended()) != 0 {
		t.Errorf("error %v, %d spans", err, len(spans.Ended()))
	}
}

func TestWithoutAProviderNothingIsWrapped(t *testing.T) {
	t.Parallel()
	kept := &shelf{}
	if got := tracing.Producer(kept, nil); got != tracing.Queue(kept) {
		t.Errorf("the queue is %T", got)
	}
	handlers := []seri.Handler{{Type: "mail"}}
	if got := tracing.Consumer(handlers, nil); &got[0] != &handlers[0] {
		t.Error("the handlers are others")
	}
}
