package meter_test

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/seri-queue/seri/internal/meter"
)

func TestFamiliesHaveNamesThatAreTakenAndTheirOwn(t *testing.T) {
	t.Parallel()
	prometheus, cloudWatch := regexp.MustCompile(`^seri_[a-z_]+$`), regexp.MustCompile(`^[A-Z][A-Za-z]+$`)
	seen := make(map[string]bool)
	for _, f := range meter.Families {
		if !prometheus.MatchString(f.Name) || f.CloudWatch != "" && !cloudWatch.MatchString(f.CloudWatch) {
			t.Errorf("%s, %q: no names of figures", f.Name, f.CloudWatch)
		}
		if seen[f.Name] || seen[f.CloudWatch] && f.CloudWatch != "" {
			t.Errorf("%s, %q: are taken", f.Name, f.CloudWatch)
		}
		seen[f.Name], seen[f.CloudWatch] = true, true
		if rises := f.Kind == meter.Total || f.Kind == meter.Standing; rises != strings.HasSuffix(f.Name, "_total") {
			t.Errorf("%s: only what rises is a total", f.Name)
		}
		if f.Kind == meter.Timing && !strings.HasSuffix(f.Name, "_seconds") {
			t.Errorf("%s: durations are in seconds", f.Name)
		}
		if !strings.HasSuffix(f.Help, ".") || f.By == "" || f.Unit == "" {
			t.Errorf("%s: does not say what it is", f.Name)
		}
	}
}

func TestDurationsAreCountedUpToTheirBound(t *testing.T) {
	t.Parallel()
	var h meter.Histogram
	for _, d := range []time.Duration{-time.Second, 0, meter.Bounds[0], meter.Bounds[0] + 1, time.Hour, time.Hour + 1} {
		h.Observe(d)
	}
	s := h.Snapshot()
	last := len(meter.Bounds)
	if s.Counts[0] != 3 || s.Counts[1] != 1 || s.Counts[last-1] != 1 || s.Counts[last] != 1 || s.Count() != 6 {
		t.Errorf("counted %v", s.Counts)
	}
	if want := 2*meter.Bounds[0] + 1 + 2*time.Hour + 1; s.Sum != want {
		t.Errorf("the sum is %v, want %v", s.Sum, want)
	}
	h.Observe(time.Second)
	if later := h.Snapshot(); func() uint64 { d := later.Since(&s); return d.Count() }() != 1 {
		t.Error("one was added since")
	}
}

func TestWhatIsTypicalLiesWithinItsBounds(t *testing.T) {
	t.Parallel()
	for i := range len(meter.Bounds) + 1 {
		got := meter.Typical(i)
		if i > 0 && got <= meter.Bounds[i-1] || i < len(meter.Bounds) && got > meter.Bounds[i] {
			t.Errorf("place %d: %v", i, got)
		}
	}
}

// tally counts what a source reports.
type tally map[string]float64

func (t tally) Value(f *meter.Family, value float64, labels ...string) {
	t[f.Name+" "+strings.Join(labels, " ")] += value
}

func (t tally) Histogram(f *meter.Family, h meter.Snapshot, labels ...string) {
	t[f.Name+" "+strings.Join(labels, " ")] += float64(h.Count())
}

func TestTypesAreBounded(t *testing.T) {
	t.Parallel()
	var w meter.Worker
	if a := w.Type("a"); a != w.Type("a") {
		t.Error("a type is counted twice")
	}
	for i := range 1000 {
		w.Type(fmt.Sprint("type ", i)).Ended(meter.Failed)
	}
	figures := make(tally)
	w.Measure(context.Background(), figures)
	sum, types := 0.0, 0
	for name, n := range figures {
		if strings.HasPrefix(name, "seri_tasks_total ") && strings.HasSuffix(name, " failed") {
			sum, types = sum+n, types+1
		}
	}
	if sum != 1000 || types > 201 || figures["seri_tasks_total other failed"] < 700 {
		t.Errorf("%v tasks of %d types, %v of others", sum, types, figures["seri_tasks_total other failed"])
	}
	var nobody *meter.Type
	nobody.Ended(meter.Succeeded)
	nobody.Took(time.Second)
}

// BenchmarkCountATask is what the figures of a task cost its worker.
func BenchmarkCountATask(b *testing.B) {
	var w meter.Worker
	counts := w.Type("a")
	for b.Loop() {
		counts.Took(3 * time.Millisecond)
		counts.Ended(meter.Succeeded)
	}
}
