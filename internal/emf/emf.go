// Package emf tells figures to CloudWatch as lines of the log in its Embedded Metric Format, from which CloudWatch makes
// metrics: no call to AWS, no permission, no agent.
//
// Once a minute, one line is written for each set of dimensions: {"_aws":{…},"queue":"default","PendingTasks":3,…}. Gauges
// and totals that are kept in Redis are told as they are, totals of the process as what was added since the line before, and
// durations as at most a hundred of them that stand for all, so that percentiles come out right and numbers do not: those
// have a figure of their own.
package emf

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/seri-queue/seri/internal/meter"
	"github.com/seri-queue/seri/internal/pause"
)

// Namespace is where CloudWatch keeps the metrics.
const Namespace = "Seri"

// Every is how often figures are told: as often as CloudWatch keeps them without a surcharge.
const Every = time.Minute

// The limits of the format.
const (
	maxValues     = 100  // of one metric in one line
	maxMetrics    = 100  // in one line
	maxDimension  = 1024 // characters of a dimension's value
	measureWithin = 10 * time.Second
)

// Teller writes figures to a log.
type Teller struct {
	out     io.Writer
	role    string
	sources meter.Sources
	last    map[string]float64        // totals that were told before, by series
	timings map[string]meter.Snapshot // as above
}

// New returns a teller of the figures of sources in a process with the given role. Each line is one call of Write.
func New(out io.Writer, role string, sources ...meter.Source) *Teller {
	return &Teller{out: out, role: role, sources: sources, last: make(map[string]float64), timings: make(map[string]meter.Snapshot)}
}

// Run tells the figures once a minute until ctx ends, and then a last time.
func (t *Teller) Run(ctx context.Context) error {
	for pause.For(ctx, Every) {
		if err := t.Tell(ctx, time.Now()); err != nil && ctx.Err() == nil {
			return err
		}
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	return t.Tell(last, time.Now())
}

// Tell writes the present figures.
func (t *Teller) Tell(ctx context.Context, now time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, measureWithin)
	defer cancel()
	lines := &report{teller: t, lines: make(map[string]*line)}
	t.sources.Measure(ctx, lines)
	for _, key := range slices.Sorted(maps.Keys(lines.lines)) {
		for part := range slices.Chunk(lines.lines[key].metrics, maxMetrics) {
			encoded, err := lines.lines[key].encode(now, part)
			if err != nil {
				return err
			}
			if _, err := t.out.Write(encoded); err != nil {
				return err
			}
		}
	}
	return nil
}

// report gathers figures by their dimensions.
type report struct {
	teller *Teller
	lines  map[string]*line
}

// line is what one line of the log will hold.
type line struct {
	names, values []string // of the dimensions
	metrics       []metric
}

type metric struct {
	name  string
	unit  meter.Unit
	value any
}

// Value implements [meter.Report].
func (r *report) Value(f *meter.Family, value float64, labels ...string) {
	if f.CloudWatch == "" {
		return
	}
	if f.Kind == meter.Total {
		series := f.Name + "\x00" + strings.Join(labels, "\x00")
		value, r.teller.last[series] = value-r.teller.last[series], value
		if value == 0 && len(f.Labels) > 0 { // a type that has not run, an outcome that does not occur
			return
		}
	}
	r.add(f, value, labels)
}

// Histogram implements [meter.Report].
func (r *report) Histogram(f *meter.Family, h meter.Snapshot, labels ...string) {
	series := f.Name + "\x00" + strings.Join(labels, "\x00")
	before := r.teller.timings[series]
	r.teller.timings[series] = h
	if added := h.Since(&before); f.CloudWatch != "" && added.Count() > 0 {
		r.add(f, typical(&added), labels)
	}
}

// typical returns at most a hundred durations, in seconds, that are spread as those of h are. The largest is always among them.
func typical(h *meter.Snapshot) []float64 {
	total := h.Count()
	scale := max(float64(total)/maxValues, 1)
	var values []float64
	seen := uint64(0)
	for i, n := range h.Counts {
		if n == 0 {
			continue
		}
		seen += n
		upTo := int(float64(seen)/scale + 0.5)
		if seen == total {
			upTo = max(upTo, min(len(values)+1, maxValues))
		}
		for len(values) < upTo {
			values = append(values, meter.Typical(i).Seconds())
		}
		if seen == total {
			values[len(values)-1] = meter.Typical(i).Seconds()
		}
	}
	return values
}

func (r *report) add(f *meter.Family, value any, labels []string) {
	names := f.Labels
	if len(names) == 0 {
		names, labels = []string{"role"}, []string{r.teller.role}
	}
	labels = slices.Clone(labels)
	for i := range labels {
		labels[i] = dimension(labels[i])
	}
	key := strings.Join(names, ",") + "\x00" + strings.Join(labels, "\x00")
	l := r.lines[key]
	if l == nil {
		l = &line{names: names, values: labels}
		r.lines[key] = l
	}
	l.metrics = append(l.metrics, metric{f.CloudWatch, f.Unit, value})
}

// dimension makes a value what CloudWatch takes: not empty, not too long, in ASCII and without control characters.
func dimension(value string) string {
	value = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, value)
	return cmp.Or(value[:min(len(value), maxDimension)], "?")
}

func (l *line) encode(now time.Time, metrics []metric) ([]byte, error) {
	type definition struct {
		Name string
		Unit meter.Unit
	}
	type directive struct {
		Namespace  string
		Dimensions [][]string
		Metrics    []definition
	}
	type metadata struct {
		Timestamp         int64
		CloudWatchMetrics []directive
	}
	members := make(map[string]any, 1+len(l.names)+len(metrics))
	d := directive{Namespace: Namespace, Dimensions: [][]string{l.names}}
	for i, name := range l.names {
		members[name] = l.values[i]
	}
	for _, m := range metrics {
		d.Metrics = append(d.Metrics, definition{m.name, m.unit})
		members[m.name] = m.value
	}
	members["_aws"] = metadata{now.UnixMilli(), []directive{d}}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(members); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
