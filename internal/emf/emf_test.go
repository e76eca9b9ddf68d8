package emf_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seri-queue/seri/internal/emf"
	"github.com/seri-queue/seri/internal/meter"
)

// told is a line as CloudWatch reads it.
type told struct {
	at         int64
	dimensions map[string]string
	metrics    map[string][]float64
	units      map[string]string
}

// read reads lines, and holds each against the rules of the format: the schema that AWS publishes, and the limits around it.
func read(t *testing.T, text string) (lines []told) {
	t.Helper()
	for line := range strings.Lines(text) {
		var members map[string]json.RawMessage
		if err := json.Unmarshal([]byte(line), &members); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if len(line) > 256<<10 {
			t.Errorf("a line of %d bytes", len(line))
		}
		var meta struct {
			Timestamp         int64
			CloudWatchMetrics []struct {
				Namespace  string
				Dimensions [][]string
				Metrics    []struct{ Name, Unit string }
			}
		}
		decoder := json.NewDecoder(bytes.NewReader(members["_aws"]))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&meta); err != nil || len(meta.CloudWatchMetrics) != 1 {
			t.Fatalf("%s: %v", members["_aws"], err)
		}
		d := meta.CloudWatchMetrics[0]
		one := told{at: meta.Timestamp, dimensions: make(map[string]string), metrics: make(map[string][]float64), units: make(map[string]string)}
		if d.Namespace != "Seri" || len(d.Dimensions) != 1 || len(d.Dimensions[0]) == 0 || len(d.Dimensions[0]) > 30 || len(d.Metrics) == 0 || len(d.Metrics) > 100 {
			t.Errorf("the directive %+v", d)
		}
		for _, name := range d.Dimensions[0] {
			var value string
			if err := json.Unmarshal(members[name], &value); err != nil || value == "" || len(value) > 1024 || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Errorf("dimension %s is %s: %v", name, members[name], err)
			}
			one.dimensions[name] = value
			delete(members, name)
		}
		for _, m := range d.Metrics {
			var values []float64
			if members[m.Name] == nil || json.Unmarshal(members[m.Name], &values) != nil {
				values = make([]float64, 1)
				if err := json.Unmarshal(members[m.Name], &values[0]); err != nil {
					t.Errorf("%s is %s: %v", m.Name, members[m.Name], err)
				}
			}
			if len(values) < 1 || len(values) > 100 || !slices.Contains([]string{"Count", "None", "Seconds", "Microseconds"}, m.Unit) {
				t.Errorf("%s in %s has %d values", m.Name, m.Unit, len(values))
			}
			one.metrics[m.Name], one.units[m.Name] = values, m.Unit
			delete(members, m.Name)
		}
		if delete(members, "_aws"); len(members) > 0 {
			t.Errorf("beside what the directive names there is %v", members)
		}
		lines = append(lines, one)
	}
	return lines
}

// find returns the line with a dimension of the value.
func find(t *testing.T, lines []told, dimension, value string) told {
	t.Helper()
	for _, l := range lines {
		if l.dimensions[dimension] == value {
			return l
		}
	}
	t.Fatalf("nothing is told about the %s %q in %v", dimension, value, lines)
	return told{}
}

func TestFiguresAreToldInTheFormatOfCloudWatch(t *testing.T) {
	t.Parallel()
	var w meter.Worker
	var out bytes.Buffer
	queue := meter.SourceFunc(func(_ context.Context, r meter.Report) {
		r.Value(meter.QueuePending, 7, "mäil\n")
		r.Value(meter.QueueFence, 3, "mäil\n")
		r.Value(meter.QueueProcessed, 9, "mäil\n")
		r.Value(meter.QueueSlots, 2, "")
		r.Value(meter.WorkerSlots, 2) // which has no name in CloudWatch
	})
	teller := emf.New(&out, "worker", &w, queue)
	tell := func() []told {
		t.Helper()
		out.Reset()
		if err := teller.Tell(t.Context(), time.UnixMilli(1_700_000_000_123)); err != nil {
			t.Fatal(err)
		}
		return read(t, out.String())
	}
	w.LeasesLost.Add(3)
	w.Type("a").Ended(meter.Failed)
	w.Type("a").Took(40 * time.Millisecond)

	first := tell()
	if l := find(t, first, "queue", "m?il?"); l.at != 1_700_000_000_123 || l.metrics["PendingTasks"][0] != 7 || l.units["FenceAheadMicros"] != "Microseconds" || l.metrics["ProcessedTotal"][0] != 9 {
		t.Errorf("told %+v", l)
	}
	find(t, first, "queue", "?")
	if l := find(t, first, "role", "worker"); l.metrics["LeasesLost"][0] != 3 {
		t.Errorf("told %+v", l)
	}
	if l := find(t, first, "outcome", "failed"); l.dimensions["type"] != "a" || l.metrics["TasksEnded"][0] != 1 {
		t.Errorf("told %+v", l)
	}
	w.LeasesLost.Add(2)
	second := tell()
	if l := find(t, second, "role", "worker"); l.metrics["LeasesLost"][0] != 2 {
		t.Errorf("what was told is told again: %+v", l)
	}
	if l := find(t, second, "queue", "m?il?"); l.metrics["ProcessedTotal"][0] != 9 {
		t.Errorf("a total of Redis is told as %+v", l)
	}
	for _, l := range second {
		if l.dimensions["type"] != "" {
			t.Errorf("told %+v although nothing has run", l)
		}
	}
}

func TestDurationsKeepTheirPercentiles(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fast, slow int
		want       string // number of values, the median, the largest, roughly
	}{
		"few are told one by one":   {1, 1, "2 ≤0.001 1.6"},
		"many are told by a sample": {99_000, 1000, "100 ≤0.001 1.6"},
		"the slowest is never lost": {1_000_000, 1, "100 ≤0.001 1.6"},
		"one alone":                 {0, 1, "1 1.6 1.6"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var w meter.Worker
			for range c.fast {
				w.Type("a").Took(time.Millisecond)
			}
			for range c.slow {
				w.Type("a").Took(1500 * time.Millisecond)
			}
			var out bytes.Buffer
			if err := emf.New(&out, "worker", &w).Tell(t.Context(), time.Now()); err != nil {
				t.Fatal(err)
			}
			values := find(t, read(t, out.String()), "type", "a").metrics["TaskSeconds"]
			say := func(v float64) string {
				if v <= 0.001 {
					return "≤0.001"
				}
				return fmt.Sprintf("%.1f", v)
			}
			slices.Sort(values)
			median := values[(len(values)-1)/2]
			if got := fmt.Sprint(len(values), " ", say(median), " ", say(values[len(values)-1])); got != c.want {
				t.Errorf("told %s, want %s: %v", got, c.want, values)
			}
		})
	}
}

func TestManyTypesAreManyLines(t *testing.T) {
	t.Parallel()
	var w meter.Worker
	for i := range 500 {
		w.Type(fmt.Sprint("t", i)).Ended(meter.Succeeded)
	}
	var out bytes.Buffer
	if err := emf.New(&out, "worker", &w).Tell(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	if lines := read(t, out.String()); len(lines) < 200 || len(lines) > 210 {
		t.Errorf("%d lines", len(lines))
	}
}

func TestFiguresAreToldOnceAMinuteAndAtTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var w meter.Worker
		var out bytes.Buffer
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- emf.New(&out, "worker", &w).Run(ctx) }()
		time.Sleep(2*emf.Every + time.Second)
		synctest.Wait()
		if n := len(read(t, out.String())); n%2 != 0 || n == 0 {
			t.Errorf("%d lines after two minutes", n)
		}
		w.LeasesLost.Add(1)
		out.Reset()
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if l := find(t, read(t, out.String()), "role", "worker"); l.metrics["LeasesLost"][0] != 1 {
			t.Errorf("the last is %+v", l)
		}
	})
}
