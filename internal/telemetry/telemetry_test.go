package telemetry_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/trace"

	"github.com/seri-queue/seri/internal/telemetry"
	"github.com/seri-queue/seri/internal/telemetry/telemetrytest"
)

// environment sets the variables, and clears those that the machine may have.
func environment(t *testing.T, set map[string]string) {
	t.Helper()
	for _, variable := range []string{
		"OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
		"OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
		"OTEL_EXPORTER_OTLP_TIMEOUT", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_COMPRESSION", "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION",
		"OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_TRACES_SAMPLER",
	} {
		t.Setenv(variable, set[variable])
	}
}

func TestSpansAreMadeOnlyWhereTheyAreToGoSomewhere(t *testing.T) {
	for sentence, c := range map[string]struct {
		set    map[string]string
		wanted bool
		says   string
	}{
		"nothing is said":            {nil, false, ""},
		"an endpoint":                {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h:4318"}, true, ""},
		"an endpoint for traces":     {map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://h:4318/v1/traces"}, true, ""},
		"the exporter":               {map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}, true, ""},
		"no exporter":                {map[string]string{"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://h:4318"}, false, ""},
		"all is disabled":            {map[string]string{"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://h:4318"}, false, ""},
		"another exporter":           {map[string]string{"OTEL_TRACES_EXPORTER": "zipkin"}, false, `OTEL_TRACES_EXPORTER is "zipkin", must be otlp or none`},
		"another protocol":           {map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, false, `OTEL_EXPORTER_OTLP_PROTOCOL is "grpc", must be http/protobuf`},
		"another one for the rest":   {map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"}, true, ""},
		"an endpoint without scheme": {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "localhost:4318"}, false, `OTEL_EXPORTER_OTLP_ENDPOINT is "localhost:4318", must be a URL`},
		"headers that are none":      {map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_HEADERS": "secret"}, false, "OTEL_EXPORTER_OTLP_HEADERS must be name=value"},
		"a timeout with a unit":      {map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_TIMEOUT": "10s"}, false, "must be milliseconds"},
		"another compression":        {map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_COMPRESSION": "zstd"}, false, "must be gzip or none"},
		"grpc where nothing is set":  {map[string]string{"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, false, ""},
	} {
		t.Run(sentence, func(t *testing.T) {
			environment(t, c.set)
			wanted, err := telemetry.Wanted()
			if wanted != c.wanted || (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, %v", wanted, err)
			}
			if c.wanted {
				return
			}
			provider, end, err := telemetry.Open(t.Context(), "api", "v1", slog.New(slog.DiscardHandler))
			if provider != nil || (err == nil) != (c.says == "") {
				t.Errorf("opened %v, %v", provider, err)
			}
			end()
		})
	}
}

func TestRequestsAreSpans(t *testing.T) {
	receiver := telemetrytest.Run(t)
	environment(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.URL})
	provider, end, err := telemetry.Open(t.Context(), "api", "v1", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	request := func(method, path, traceparent string, status int) {
		r := httptest.NewRequestWithContext(t.Context(), method, path, nil)
		if traceparent != "" {
			r.Header.Set("traceparent", traceparent)
		}
		ctx, done := telemetry.Requests(provider)(r)
		if live := path == "/v1/ws"; trace.SpanContextFromContext(ctx).IsValid() == live {
			t.Errorf("%s: span %v", path, trace.SpanContextFromContext(ctx))
		}
		done(method+" "+path, status)
	}
	request(http.MethodPost, "/v1/tasks", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", 202)
	request(http.MethodGet, "/v1/queues", "nonsense", 503)
	request(http.MethodGet, "/v1/ws", "", 101)
	end()

	spans := receiver.Spans()
	if len(spans) != 2 {
		t.Fatalf("%d spans: %+v", len(spans), spans)
	}
	post, get := spans[0], spans[1]
	if post.Name != "POST /v1/tasks" || post.Service != "seri-api" || post.Kind != "SPAN_KIND_SERVER" || post.Parent != "00f067aa0ba902b7" || post.Error != "" || post.Attributes["http.route"] != "/v1/tasks" {
		t.Errorf("%+v", post)
	}
	if get.Name != "GET /v1/queues" || get.Parent != "" || get.Error != "Service Unavailable" {
		t.Errorf("%+v", get)
	}
}

func TestTheEnvironmentNamesTheService(t *testing.T) {
	receiver := telemetrytest.Run(t)
	environment(t, map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": receiver.URL + "/v1/traces", "OTEL_SERVICE_NAME": "shop"})
	provider, end, err := telemetry.Open(t.Context(), "api", "v1", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	_, span := provider.Tracer("test").Start(t.Context(), "x")
	span.End()
	end()
	if spans := receiver.Spans(); len(spans) != 1 || spans[0].Service != "shop" {
		t.Errorf("%+v", spans)
	}
}

func TestACollectorThatIsBusyIsAskedAgain(t *testing.T) {
	receiver := telemetrytest.Run(t)
	environment(t, map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.URL + "/", "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
		"OTEL_EXPORTER_OTLP_HEADERS": "api-key=a%20b, other=c", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "5000",
	})
	receiver.Refuse(http.StatusServiceUnavailable)
	provider, end, err := telemetry.Open(t.Context(), "api", "v1", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	_, span := provider.Tracer("test").Start(t.Context(), "x")
	span.End()
	end()
	asked := receiver.Asked()
	if len(receiver.Spans()) != 1 || len(asked) != 2 {
		t.Fatalf("%d spans by %d calls", len(receiver.Spans()), len(asked))
	}
	if h := asked[1]; h.Get("Api-Key") != "a b" || h.Get("Other") != "c" || h.Get("Content-Encoding") != "gzip" {
		t.Errorf("headers %v", h)
	}
}

func TestACollectorThatRefusesIsNotAskedAgain(t *testing.T) {
	receiver := telemetrytest.Run(t)
	environment(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.URL})
	receiver.Refuse(http.StatusUnauthorized)
	var log bytes.Buffer
	provider, end, err := telemetry.Open(t.Context(), "api", "v1", slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	_, span := provider.Tracer("test").Start(t.Context(), "x")
	span.End()
	end()
	if n := len(receiver.Asked()); n != 1 || !strings.Contains(log.String(), "the collector answers 401 Unauthorized: not now") {
		t.Errorf("asked %d times; the log says %s", n, &log)
	}
}

func TestACollectorThatIsNotThereIsToldOf(t *testing.T) {
	environment(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"})
	var log bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	provider, end, err := telemetry.Open(ctx, "api", "v1", slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	_, span := provider.Tracer("test").Start(ctx, "x")
	span.End()
	cancel()
	end()
	if !strings.Contains(log.String(), "spans not sent") {
		t.Errorf("the log says %s", &log)
	}
}
