// Package telemetry sends the spans of a process to a collector of OpenTelemetry, as the standard variables OTEL_… say.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

const (
	// flushTime bounds how long the end of a process waits for the last spans to be sent.
	flushTime = 3 * time.Second
	// faultEvery is how often spans that cannot be sent are told of.
	faultEvery = time.Minute
)

// Wanted tells whether the variables ask for spans, and what is wrong with them.
func Wanted() (bool, error) {
	if os.Getenv("OTEL_SDK_DISABLED") == "true" {
		return false, nil
	}
	switch exporter := os.Getenv("OTEL_TRACES_EXPORTER"); exporter {
	case "otlp":
	case "":
		if os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") == "" && os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") == "" {
			return false, nil
		}
	case "none":
		return false, nil
	default:
		return false, fmt.Errorf("OTEL_TRACES_EXPORTER is %q, must be otlp or none", exporter)
	}
	if _, err := newClient(); err != nil {
		return false, err
	}
	return true, nil
}

// Open returns what makes spans, for a role of a version, and how it is ended: what is left is sent then. provider is nil
// if no spans are wanted. It calls nobody yet; spans that cannot be sent later are dropped, and told of in the log.
func Open(ctx context.Context, role, version string, logger *slog.Logger) (provider trace.TracerProvider, end func(), err error) {
	wanted, err := Wanted()
	if err != nil || !wanted {
		return nil, func() {}, err
	}
	sending, err := newClient()
	if err != nil {
		return nil, nil, err // as Wanted has found
	}
	exporter, err := otlptrace.New(ctx, sending)
	if err != nil {
		return nil, nil, fmt.Errorf("send spans: %w", err)
	}
	about, err := resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", "seri-"+role), attribute.String("service.version", version)),
		resource.WithHost(), resource.WithTelemetrySDK(),
		resource.WithFromEnv(), // the last one wins
	)
	if err != nil && !errors.Is(err, resource.ErrPartialResource) {
		return nil, nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	spans := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(about))
	otel.SetErrorHandler(&faults{logger: logger})
	otel.SetTracerProvider(spans) // for handlers that make spans of their own
	otel.SetTextMapPropagator(propagation.TraceContext{})
	logger.InfoContext(ctx, "spans are sent to a collector")
	return spans, func() {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTime)
		defer cancel()
		if err := spans.Shutdown(last); err != nil {
			logger.WarnContext(ctx, "last spans not sent", "error", err)
		}
	}, nil
}

// faults tells of what goes wrong inside, now and then.
type faults struct {
	logger *slog.Logger

	mu   sync.Mutex
	told time.Time
}

// Handle implements [otel.ErrorHandler].
func (f *faults) Handle(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := time.Now(); now.Sub(f.told) >= faultEvery {
		f.told = now
		f.logger.Warn("spans not sent", "error", err)
	}
}
