package suite

import (
	"context"
	"fmt"

	"github.com/seri-queue/seri/bench/floor"
	"github.com/seri-queue/seri/bench/load"
	"github.com/seri-queue/seri/bench/report"
)

// experiment is measured once a round for each contender. Every measurement has a figure for each of its rows.
type experiment struct {
	workload   string
	rows       []rowSpec
	contenders []contender // Seri's first
	// floor measures the physical limit of each row; NaN where none is known. nil: for no row.
	floor func(ctx context.Context, r *Rig) ([]float64, error)
}

type rowSpec struct {
	variant, unit string
	lower         bool // is better
	target        target
}

// contender is a system in one setting.
type contender struct {
	system, tuning string
	measure        func(ctx context.Context, r *Rig) (Figures, error)
}

// target is what Seri is to reach.
type target struct {
	text string
	met  func(*report.Row) bool
}

// times asks for so many times the best peer.
func times(n float64) target {
	return target{fmt.Sprintf("≥ %g × the best peer", n), func(r *report.Row) bool { return float64(r.RatioBestPeer) >= n }}
}

// atMost asks for a figure of at most limit.
func atMost(limit float64) target {
	return target{fmt.Sprintf("≤ %g", limit), func(r *report.Row) bool { return float64(r.Seri) <= limit }}
}

// share asks for a part of the floor.
func share(part float64) target {
	return target{fmt.Sprintf("≥ %g %% of the floor", 100*part), func(r *report.Row) bool { return float64(r.ShareOfFloor) >= part }}
}

// all asks for several things.
func all(targets ...target) target {
	sum := target{met: func(*report.Row) bool { return true }}
	for _, t := range targets {
		before := sum.met
		if sum.text != "" {
			sum.text += ", "
		}
		sum.text += t.text
		sum.met = func(r *report.Row) bool { return before(r) && t.met(r) }
	}
	return sum
}

// drains makes contenders of one system from settings of its workers.
func drains(system string, fill func(*Rig) load.Produce, tunings map[string][]load.Work, order ...string) []contender {
	var contenders []contender
	for _, name := range order {
		contenders = append(contenders, contender{system, name, func(ctx context.Context, r *Rig) (Figures, error) {
			return r.drain(ctx, system, drained{fill: fill(r), works: tunings[name]})
		}})
	}
	return contenders
}

// replayed is the floor of a shape, whose number of tasks is scaled: the times that count, as tasks a second. The batches are
// as large as the row's concurrency allows, not as large as Seri makes them: poor batching is Seri's own affair.
func replayed(shape floor.Shape, parts func(floor.Times) float64) func(context.Context, *Rig) ([]float64, error) {
	return func(ctx context.Context, r *Rig) ([]float64, error) {
		if err := r.Redis.Flush(ctx); err != nil {
			return nil, err
		}
		s := shape
		s.Tasks = r.n(shape.Tasks)
		took, err := floor.Replay(ctx, r.Redis.Addr(), s)
		if err != nil {
			return nil, err
		}
		return []float64{float64(s.Tasks) / parts(took)}, nil
	}
}

// drainTime and enqueueTime are the parts of a replay that count.
func drainTime(t floor.Times) float64   { return (t.Dequeue + t.Complete).Seconds() }
func enqueueTime(t floor.Times) float64 { return t.Enqueue.Seconds() }
