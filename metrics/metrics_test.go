package metrics_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/seri-queue/seri/internal/meter"
	"github.com/seri-queue/seri/metrics"
)

// all tells a figure of every family.
type all struct{}

func (all) Measure(_ context.Context, report meter.Report) {
	var h meter.Histogram
	h.Observe(3 * time.Millisecond)
	h.Observe(2 * time.Hour)
	for _, f := range meter.Families {
		labels := make([]string, len(f.Labels))
		for i := range labels {
			labels[i] = "a \"b\"\n\xff"
		}
		if f.Kind == meter.Timing {
			report.Histogram(f, h.Snapshot(), labels...)
		} else {
			report.Value(f, 7, labels...)
		}
	}
}

func TestEveryFigureReachesPrometheus(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewPedanticRegistry() // which refuses what does not agree with its description
	registry.MustRegister(metrics.Collector(all{}))
	gathered, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if len(gathered) != len(meter.Families) {
		t.Errorf("%d of %d families are told", len(gathered), len(meter.Families))
	}

	recorder := httptest.NewRecorder()
	metrics.Handler(all{}).ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for _, line := range []string{
		"# TYPE seri_tasks_total counter", "# TYPE seri_queue_processed_total counter", "# TYPE seri_queue_pending_tasks gauge",
		`seri_queue_pending_tasks{queue="a \"b\"\n` + "\uFFFD" + `"} 7`, "seri_leases_lost_total 7",
		"# TYPE seri_beat_lateness_seconds histogram",
		`seri_beat_lateness_seconds_bucket{le="0.0025"} 0`, `seri_beat_lateness_seconds_bucket{le="0.005"} 1`,
		`seri_beat_lateness_seconds_bucket{le="3600"} 1`, `seri_beat_lateness_seconds_bucket{le="+Inf"} 2`,
		"seri_beat_lateness_seconds_sum 7200.003", "seri_beat_lateness_seconds_count 2", "go_goroutines ",
	} {
		if !strings.Contains(recorder.Body.String(), line) {
			t.Errorf("%q is missing in\n%s", line, recorder.Body)
		}
	}
}
