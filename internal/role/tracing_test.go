package role

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/seri-queue/seri/client"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/internal/telemetry/telemetrytest"
)

// An api and a worker, as they are: a request with a trace comes in, and a collector gets the spans of the whole way.
func TestATraceGoesFromTheRequestToTheHandler(t *testing.T) {
	receiver := telemetrytest.Run(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.URL)
	rdb := redistest.New(t)
	url := redistest.URL(rdb)
	var api API
	configured(t, &api, "--redis-url", url, "--insecure-dev", "--http-addr", "127.0.0.1:0", "--http-drain", "0s")
	var worker Worker
	configured(t, &worker, "--redis-url", url, "--output-dir", t.TempDir())
	ctx, stop := context.WithCancel(context.Background())
	log, ended := &addressIn{message: "api started", found: make(chan string, 1)}, make(chan error, 2)
	go func() { ended <- api.Run(ctx, io.Discard, log) }()
	go func() { ended <- worker.Run(ctx, io.Discard, io.Discard) }()
	var addr string
	select {
	case addr = <-log.found:
	case err := <-ended:
		t.Fatalf("%v: %s", err, &log.rest)
	}

	const traceID, requestID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	body := `{"type":"http.request","payload":{"url":"http://127.0.0.1:1/"},"id":"t1","max_retries":0}`
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+addr+"/v1/tasks", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("traceparent", "00-"+traceID+"-"+requestID+"-01")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	answer, _ := io.ReadAll(response.Body)
	response.Body.Close()
	if response.StatusCode/100 != 2 {
		t.Fatalf("%s: %s", response.Status, answer)
	}
	info, err := client.New(rdb, client.Config{}).Wait(t.Context(), "default", "t1")
	if err != nil {
		t.Fatal(err)
	}
	stop()
	for range 2 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}

	if !strings.HasPrefix(info.Headers["traceparent"], "00-"+traceID+"-") {
		t.Errorf("the task has the headers %v", info.Headers)
	}
	spans := make(map[string]telemetrytest.Span)
	for _, s := range receiver.Spans() {
		if s.Trace == traceID {
			spans[s.Name] = s
		}
	}
	post, enqueue, wait, run := spans["POST /v1/tasks"], spans["enqueue http.request"], spans["wait http.request"], spans["run http.request"]
	switch {
	case len(spans) != 4:
		t.Errorf("spans %+v", spans)
	case post.Service != "seri-api" || enqueue.Service != "seri-api" || wait.Service != "seri-worker" || run.Service != "seri-worker":
		t.Errorf("services of %+v", spans)
	case post.Parent != requestID || enqueue.Parent != post.ID || wait.Parent != enqueue.ID || run.Parent != enqueue.ID:
		t.Errorf("parents of %+v", spans)
	case run.Error == "" || run.Attributes["messaging.message.id"] != "t1" || run.Attributes["messaging.destination.name"] != "default":
		t.Errorf("run %+v", run)
	case wait.End > run.Begin || wait.Begin > wait.End || post.Begin > enqueue.Begin:
		t.Errorf("times of %+v", spans)
	}
}

func TestWrongVariablesOfOpenTelemetryAreFaults(t *testing.T) {
	roles := map[string]Role{"api": &API{}, "worker": &Worker{}, "dev": &Dev{}}
	configured(t, roles["api"], "--insecure-dev")
	configured(t, roles["worker"])
	configured(t, roles["dev"])
	t.Setenv("OTEL_TRACES_EXPORTER", "jaeger")
	for name, r := range roles {
		if err := r.Check(); err == nil || !strings.Contains(err.Error(), `OTEL_TRACES_EXPORTER is "jaeger", must be otlp or none`) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
