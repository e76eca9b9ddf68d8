package suite

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/seri-queue/seri/bench/report"
)

// workloads are all there are, in their order.
var workloads = []struct {
	name        string
	experiments func() []experiment
}{
	{"W1a", oneProducer}, {"W1b", manyProducers}, {"W2", bulk}, {"W3", noOps}, {"W4", endToEnd}, {"W5", pickUp},
	{"W6", results}, {"W7", atOneInstant}, {"W8", mixed}, {"W9", growth}, {"W10", footprint},
}

// Names returns the names of all workloads.
func Names() []string {
	names := make([]string, len(workloads))
	for i, w := range workloads {
		names[i] = w.name
	}
	return names
}

// Plan says what [Rig.Run] measures.
type Plan struct {
	Workloads []string // none: all
	Peers     []string // beside Seri
	Rounds    int
	// Until is when no further round begins. What has had no round is not in the result.
	Until time.Time
}

// Run measures and returns a row for each that was measured at least once. The error tells of measurements that went
// wrong; the rows are right all the same.
func (r *Rig) Run(ctx context.Context, plan Plan) ([]report.Row, error) {
	var rows []report.Row
	var faults []error
	for _, w := range workloads {
		if len(plan.Workloads) > 0 && !slices.Contains(plan.Workloads, w.name) {
			continue
		}
		for _, e := range w.experiments() {
			if !r.Long && strings.Contains(e.rows[0].variant, fmt.Sprint(million)) {
				continue
			}
			if time.Now().After(plan.Until) || ctx.Err() != nil {
				r.Say("%s: no time left for %s", e.workload, e.rows[0].variant)
				faults = append(faults, fmt.Errorf("%s was not measured: %s", e.workload, e.rows[0].variant))
				continue
			}
			measured, err := r.experiment(ctx, plan, e)
			rows = append(rows, measured...)
			faults = append(faults, err)
		}
	}
	flat(rows)
	return rows, errors.Join(faults...)
}

// experiment measures the contenders in turn, round after round: what disturbs the machine for a while meets all of them.
func (r *Rig) experiment(ctx context.Context, plan Plan, e experiment) ([]report.Row, error) {
	r.workload = e.workload
	e.contenders = slices.DeleteFunc(e.contenders, func(c contender) bool {
		return c.system != seriName && !slices.Contains(plan.Peers, c.system)
	})
	found := make([][]Figures, len(e.contenders)) // of each contender, each round
	var floors [][]float64
	var faults []error
	rounds := 0
	for ; rounds < plan.Rounds; rounds++ {
		if rounds > 0 && (time.Now().After(plan.Until) || ctx.Err() != nil) {
			break
		}
		for i, c := range e.contenders {
			f, err := r.measure(ctx, e, c)
			if err != nil {
				faults = append(faults, err)
				continue
			}
			found[i] = append(found[i], f)
		}
		if e.floor != nil {
			limit, err := e.floor(ctx, r)
			if err != nil {
				faults = append(faults, fmt.Errorf("%s, floor: %w", e.workload, err))
				continue
			}
			r.Say("%-4s %-34s %s", e.workload, "floor", figures(limit, e.rows))
			floors = append(floors, limit)
		}
	}
	return r.rows(e, found, floors, rounds), errors.Join(faults...)
}

// measure makes one measurement and tells of it.
func (r *Rig) measure(ctx context.Context, e experiment, c contender) (Figures, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*r.patience())
	defer cancel()
	name := strings.TrimSpace(c.system + " " + c.tuning)
	f, err := c.measure(ctx, r)
	if err != nil {
		err = fmt.Errorf("%s, %s: %w", e.workload, name, err)
		r.Say("%v", err)
		return f, err
	}
	r.Say("%-4s %-34s %s", e.workload, name, figures(f.Values, e.rows))
	return f, nil
}

// rows summarizes an experiment.
func (r *Rig) rows(e experiment, found [][]Figures, floors [][]float64, rounds int) []report.Row {
	rows := make([]report.Row, len(e.rows))
	for i, spec := range e.rows {
		row := report.Row{
			Workload: e.workload, Variant: spec.variant, Unit: spec.unit, Lower: spec.lower, Target: spec.target.text,
			Rounds: rounds, Scale: r.Scale,
		}
		for j, c := range e.contenders {
			median, low, high, middle := summarize(found[j], i)
			cost := middle.Cost
			if c.system == seriName {
				row.Seri, row.SeriMin, row.SeriMax, row.Cost, row.Batch = median, low, high, cost, report.Number(middle.Batch)
			} else {
				row.Tunings = append(row.Tunings, report.Tuning{
					Peer: c.system, Tuning: c.tuning, Median: median, Min: low, Max: high, Cost: cost,
				})
			}
		}
		limits := make([]float64, len(floors))
		for j, limit := range floors {
			limits[j] = limit[i]
		}
		row.Floor = report.Number(report.Summarize(limits).Median)
		row.Finish(spec.target.met)
		rows[i] = row
	}
	return rows
}

// summarize returns the figure of the i-th row over the rounds, and the round in the middle.
func summarize(rounds []Figures, i int) (median, low, high report.Number, middle Figures) {
	values := make([]float64, len(rounds))
	for j, f := range rounds {
		values[j] = f.Values[i]
	}
	f := report.Summarize(values)
	for j, v := range values {
		if v == f.Median || j == 0 {
			middle = rounds[j]
		}
	}
	return report.Number(f.Median), report.Number(f.Min), report.Number(f.Max), middle
}

func figures(values []float64, rows []rowSpec) string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = fmt.Sprintf("%.4g %s", v, rows[i].unit)
	}
	return strings.Join(texts, ", ")
}
