// Package metrics shows the figures of workers, beats and queues to Prometheus.
//
//	w, err := worker.New(rdb, handlers, worker.Config{})
//	…
//	http.Handle("GET /metrics", metrics.Handler(w))
//
// [Handler] is for a program that has no other figures; a program that has its own registry registers a [Collector].
// The programs of this repository do the same at their SERI_ADMIN_ADDR. Packages worker, beat and client do not import
// Prometheus: what they count is a few atomic numbers, whether somebody shows them or not.
//
// docs/metrics.md lists all figures. Labels are bounded: a worker tells at most 200 types of task apart, and a client at most
// 200 queues.
package metrics

import (
	"context"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/seri-queue/seri/internal/meter"
)

// Source is what has figures: a [*github.com/seri-queue/seri/worker.Worker], a [*github.com/seri-queue/seri/beat.Beat],
// or a [*github.com/seri-queue/seri/client.Client], which asks Redis for those of all queues. Since the latter are the
// same whoever asks, one or two processes should tell them and not every one.
type Source = meter.Source

// within is how long sources may take in all. Prometheus gives up after 10 s by itself.
const within = 5 * time.Second

// Collector returns the figures of sources as a collector of Prometheus. It is asked whenever Prometheus scrapes.
func Collector(sources ...Source) prometheus.Collector { return collector{sources} }

// Handler serves the figures of sources, and those of the process and of Go's runtime.
func Handler(sources ...Source) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(Collector(sources...), collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 3})
}

type collector struct{ sources meter.Sources }

// Describe implements [prometheus.Collector].
func (c collector) Describe(descriptions chan<- *prometheus.Desc) {
	for _, f := range meter.Families {
		descriptions <- described[f]
	}
}

// Collect implements [prometheus.Collector].
func (c collector) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	c.sources.Measure(ctx, report{out})
}

var described = func() map[*meter.Family]*prometheus.Desc {
	descriptions := make(map[*meter.Family]*prometheus.Desc, len(meter.Families))
	for _, f := range meter.Families {
		descriptions[f] = prometheus.NewDesc(f.Name, f.Help, f.Labels, nil)
	}
	return descriptions
}()

// report hands figures to Prometheus.
type report struct{ out chan<- prometheus.Metric }

// Value implements [meter.Report].
func (r report) Value(f *meter.Family, value float64, labels ...string) {
	kind := prometheus.CounterValue
	if f.Kind == meter.Gauge {
		kind = prometheus.GaugeValue
	}
	if metric, err := prometheus.NewConstMetric(described[f], kind, value, valid(labels)...); err == nil {
		r.out <- metric
	} else {
		r.out <- prometheus.NewInvalidMetric(described[f], err)
	}
}

// Histogram implements [meter.Report].
func (r report) Histogram(f *meter.Family, h meter.Snapshot, labels ...string) {
	buckets, count := make(map[float64]uint64, len(meter.Bounds)), uint64(0)
	for i, bound := range meter.Bounds {
		count += h.Counts[i]
		buckets[bound.Seconds()] = count
	}
	count += h.Counts[len(meter.Bounds)]
	if metric, err := prometheus.NewConstHistogram(described[f], count, math.Max(h.Sum.Seconds(), 0), buckets, valid(labels)...); err == nil {
		r.out <- metric
	} else {
		r.out <- prometheus.NewInvalidMetric(described[f], err)
	}
}

// valid makes labels what Prometheus takes: names of queues and types may be any bytes.
func valid(labels []string) []string {
	for i, label := range labels {
		labels[i] = strings.ToValidUTF8(label, "\uFFFD")
	}
	return labels
}
