package suite

import (
	"context"
	"fmt"

	"github.com/seri-queue/seri/bench/load"
	"github.com/seri-queue/seri/bench/report"
)

// growth is W9: what a task costs must not depend on how many others there are. The curves must be flat.
func growth() []experiment {
	return append(append(queued(), active()...), queues()...)
}

// serverOf returns the setting in which each system serves W9.
func serverOf(system string, queues int) load.Work {
	if system == asynqName {
		return load.Work{Slots: 60, Servers: 3, Queues: queues}
	}
	return load.Work{Slots: 100, Queues: queues}
}

// queued drains the first tasks of queues of different length.
func queued() []experiment {
	var experiments []experiment
	for _, depth := range []int{1_000, 10_000, 100_000, million} {
		run := func(system string) contender {
			return contender{system, "", func(ctx context.Context, r *Rig) (Figures, error) {
				return r.first(ctx, system, depth)
			}}
		}
		e := experiment{
			workload: "W9", rows: []rowSpec{{variant: fmt.Sprintf("drain with %d queued", depth), unit: "tasks/s"}},
			contenders: []contender{run(seriName)},
		}
		if depth < million { // asynq takes longer to fill that queue than all the rest of this
			e.contenders = append(e.contenders, run(asynqName))
		}
		experiments = append(experiments, e)
	}
	return experiments
}

// million is the depth that only a long run reaches.
const million = 1_000_000

// first measures the first tasks of a queue of a given depth, which is never scaled. A short queue is drained several times.
func (r *Rig) first(ctx context.Context, system string, depth int) (Figures, error) {
	tasks := min(depth, r.n(drainTasks))
	repeats := min(max(r.n(20_000)/tasks, 1), 5)
	var f Figures
	seconds := 0.0
	for range repeats {
		var err error
		f, err = r.drain(ctx, system, drained{
			fill: load.Produce{Tasks: depth}, tasks: tasks, works: []load.Work{serverOf(system, 1)},
		})
		if err != nil {
			return Figures{}, err
		}
		seconds += float64(tasks) / f.Values[0]
	}
	f.Values = []float64{float64(repeats*tasks) / seconds}
	return f, nil
}

// active drains beside tasks that are active all the while: in the active list, which scripts must not search.
func active() []experiment {
	var experiments []experiment
	for _, held := range []int{10, 100, 1_000} {
		run := func(system string) contender {
			return contender{system, "", func(ctx context.Context, r *Rig) (Figures, error) {
				return r.drain(ctx, system, drained{
					fill: load.Produce{Tasks: r.n(drainTasks / 2)}, held: held, works: []load.Work{serverOf(system, 1)},
				})
			}}
		}
		experiments = append(experiments, experiment{
			workload: "W9", rows: []rowSpec{{variant: fmt.Sprintf("drain with %d active", held), unit: "tasks/s"}},
			contenders: []contender{run(seriName), run(asynqName)},
		})
	}
	return experiments
}

// queues drains the same tasks out of more and more queues.
func queues() []experiment {
	var experiments []experiment
	for _, count := range []int{1, 4, 16} {
		run := func(system string) contender {
			return contender{system, "", func(ctx context.Context, r *Rig) (Figures, error) {
				return r.drain(ctx, system, drained{
					fill:  load.Produce{Tasks: r.n(drainTasks / 2), Queues: count},
					works: []load.Work{serverOf(system, count)},
				})
			}}
		}
		experiments = append(experiments, experiment{
			workload: "W9", rows: []rowSpec{{variant: fmt.Sprintf("drain of %d queues", count), unit: "tasks/s"}},
			contenders: []contender{run(seriName), run(asynqName)},
		})
	}
	return experiments
}

// flat sets the targets of W9, which compare its rows: the deepest queue with 10,000 queued, 1,000 active with 10.
func flat(rows []report.Row) {
	find := func(variant string) *report.Row {
		for i := range rows {
			if rows[i].Workload == "W9" && rows[i].Variant == variant && rows[i].Seri.Known() {
				return &rows[i]
			}
		}
		return nil
	}
	for _, pair := range []struct {
		row, base string
		part      float64
	}{
		{"drain with 100000 queued", "drain with 10000 queued", 0.9},
		{"drain with 1000000 queued", "drain with 10000 queued", 0.9},
		{"drain with 1000 active", "drain with 10 active", 0.8},
	} {
		row, base := find(pair.row), find(pair.base)
		if row == nil || base == nil {
			continue
		}
		part := float64(row.Seri / base.Seri)
		row.Target = fmt.Sprintf("≥ %g %% of the %s: %.0f %%", 100*pair.part, pair.base, 100*part)
		row.Met = new(part >= pair.part)
	}
}
