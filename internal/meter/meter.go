// Package meter counts what the parts of Seri do, for whoever wants to tell it: package metrics to Prometheus, and
// internal/emf to CloudWatch. It knows neither.
//
// A part holds a struct of counters ([Worker], [Hub], [Beat], [Redis]) and adds to them: one atomic addition, without a
// lock, a map or an allocation. What differs by type of task is looked up once for each type ([Worker.Type]), not for each
// task. Who tells the figures asks a [Source] for all of them; [Families] lists every one that there is, with its names.
package meter

import (
	"context"
	"math"
	"sync/atomic"
	"time"
)

// Source is a part of a process that has figures to tell.
type Source interface {
	// Measure hands the present figures to report. What cannot be found out before ctx ends is left out.
	Measure(ctx context.Context, report Report)
}

// Report takes figures, each with the values of its family's labels, in their order.
type Report interface {
	Value(f *Family, value float64, labels ...string)
	Histogram(f *Family, h Snapshot, labels ...string)
}

// Counter is a number that only rises. The zero value is ready to use.
type Counter struct{ n atomic.Uint64 }

// Add adds n.
func (c *Counter) Add(n int) { c.n.Add(uint64(n)) }

// Load returns the sum.
func (c *Counter) Load() float64 { return float64(c.n.Load()) }

// Histogram counts durations by size. The zero value is ready to use.
type Histogram struct {
	counts [len(Bounds) + 1]atomic.Uint64
	sum    atomic.Int64 // nanoseconds
}

// Bounds are the upper ends of the sizes of a [Histogram], each included; what is longer than the last is counted behind it.
// They reach from a round trip to Redis to a task of an hour, two or three for each power of ten.
var Bounds = [...]time.Duration{
	100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second,
	10 * time.Second, 30 * time.Second, time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour,
}

// Observe counts one duration; a negative one counts as none at all.
func (h *Histogram) Observe(d time.Duration) {
	d = max(d, 0)
	i := 0
	for i < len(Bounds) && d > Bounds[i] {
		i++
	}
	h.counts[i].Add(1)
	h.sum.Add(int64(d))
}

// Snapshot returns what was counted so far.
func (h *Histogram) Snapshot() Snapshot {
	s := Snapshot{Sum: time.Duration(h.sum.Load())}
	for i := range h.counts {
		s.Counts[i] = h.counts[i].Load()
	}
	return s
}

// Snapshot is a [Histogram] at one moment.
type Snapshot struct {
	Counts [len(Bounds) + 1]uint64 // of the durations above the bound before and up to that at the same place
	Sum    time.Duration
}

// Count returns how many durations there were.
func (s *Snapshot) Count() (n uint64) {
	for _, c := range s.Counts {
		n += c
	}
	return n
}

// Since returns what was counted after an earlier snapshot of the same histogram.
func (s *Snapshot) Since(earlier *Snapshot) Snapshot {
	d := Snapshot{Sum: s.Sum - earlier.Sum}
	for i := range s.Counts {
		d.Counts[i] = s.Counts[i] - earlier.Counts[i]
	}
	return d
}

// Typical returns a duration for those that were counted at place i: the geometric middle of the bounds around them.
func Typical(i int) time.Duration {
	switch {
	case i == 0:
		return Bounds[0] / 2
	case i == len(Bounds):
		return 2 * Bounds[i-1]
	}
	return time.Duration(math.Sqrt(float64(Bounds[i-1]) * float64(Bounds[i])))
}

// Sources are several as one.
type Sources []Source

// Measure implements [Source].
func (s Sources) Measure(ctx context.Context, report Report) {
	for _, source := range s {
		source.Measure(ctx, report)
	}
}

// SourceFunc is a function as a [Source].
type SourceFunc func(ctx context.Context, report Report)

// Measure implements [Source].
func (f SourceFunc) Measure(ctx context.Context, report Report) { f(ctx, report) }
