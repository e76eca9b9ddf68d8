package telemetry

import (
	"context"
	"net/http"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Requests returns a function that begins a span for a request, in the trace that its header traceparent names, and
// returns what ends it. Streams, which do not end by themselves, probes and the page have none. provider must not be nil.
func Requests(provider trace.TracerProvider) func(r *http.Request) (context.Context, func(route string, status int)) {
	tracer := provider.Tracer("github.com/seri-queue/seri/internal/api")
	return func(r *http.Request) (context.Context, func(string, int)) {
		ctx := r.Context()
		if !strings.HasPrefix(r.URL.Path, "/v1/") || r.URL.Path == "/v1/events" || r.URL.Path == "/v1/ws" {
			return ctx, func(string, int) {}
		}
		ctx = propagation.TraceContext{}.Extract(ctx, propagation.HeaderCarrier(r.Header))
		ctx, span := tracer.Start(ctx, r.Method, trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
			attribute.String("http.request.method", r.Method), attribute.String("url.path", r.URL.Path), attribute.String("url.scheme", scheme(r))))
		return ctx, func(route string, status int) {
			if _, path, ok := strings.Cut(route, " "); ok {
				span.SetName(r.Method + " " + path)
				span.SetAttributes(attribute.String("http.route", path))
			}
			span.SetAttributes(attribute.Int("http.response.status_code", status))
			if status >= http.StatusInternalServerError {
				span.SetStatus(codes.Error, http.StatusText(status))
			}
			span.End()
		}
	}
}

func scheme(r *http.Request) string {
	if r.TLS != nil {
		return "https"
	}
	return "http"
}
