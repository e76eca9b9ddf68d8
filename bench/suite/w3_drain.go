package suite

import (
	"github.com/seri-queue/seri/bench/floor"
	"github.com/seri-queue/seri/bench/load"
	"github.com/seri-queue/seri/bench/report"
)

// drainTasks is how many tasks W3 preloads.
const drainTasks = 100_000

// noOps is W3: preloaded tasks whose handlers do nothing, so that the system itself is what is measured.
func noOps() []experiment {
	fill := func(full int) func(r *Rig) load.Produce {
		return func(r *Rig) load.Produce { return load.Produce{Tasks: r.n(full), PayloadBytes: payloadBytes} }
	}
	worker := func(slots, servers int) []load.Work { return []load.Work{{Slots: slots, Servers: servers}} }
	pair := func(slots, servers int) []load.Work { return append(worker(slots, servers), worker(slots, servers)...) }
	sevenfold := target{"≥ 7 × one server of asynq", func(r *report.Row) bool {
		for _, t := range r.Tunings {
			if t.Tuning == "c10" {
				return float64(r.Seri) >= 7*float64(t.Median)
			}
		}
		return false
	}}

	asynqTunings := map[string][]load.Work{
		"c1": worker(1, 1), "c10": worker(10, 1), "c9 ×3 servers": worker(9, 3), "c100": worker(100, 1), "c60 ×3 servers": worker(60, 3),
		"c120 ×6 servers": worker(120, 6), "c60 ×3 servers, 2 processes": pair(60, 3),
	}
	riverTunings := map[string][]load.Work{
		"c1 tuned": {{Slots: 1, Poll: fastPoll}}, "c10 tuned": {{Slots: 10, Poll: fastPoll}}, "c2000 tuned": {{Slots: 2000, Poll: fastPoll}},
	}
	setups := []struct {
		variant      string
		seri         []load.Work
		full         int
		asynq, river []string
		target       target
	}{
		{"drain, concurrency 1", worker(1, 1), drainTasks / 4, []string{"c1"}, []string{"c1 tuned"}, target{}},
		{"drain, concurrency 10", worker(10, 1), drainTasks, []string{"c10", "c9 ×3 servers"}, []string{"c10 tuned"}, target{}},
		{"drain, concurrency 100", worker(100, 1), drainTasks,
			[]string{"c10", "c100", "c60 ×3 servers", "c120 ×6 servers"}, []string{"c2000 tuned"}, all(times(2.5), sevenfold, share(0.8))},
		{"drain, 2 processes of 100", pair(100, 1), drainTasks,
			[]string{"c60 ×3 servers, 2 processes"}, []string{"c2000 tuned"}, times(2.5)},
	}
	var experiments []experiment
	for _, s := range setups {
		contenders := drains(seriName, fill(s.full), map[string][]load.Work{"": s.seri}, "")
		contenders = append(contenders, drains(asynqName, fill(s.full), asynqTunings, s.asynq...)...)
		contenders = append(contenders, drains(riverName, fill(s.full), riverTunings, s.river...)...)
		experiments = append(experiments, experiment{
			workload: "W3", rows: []rowSpec{{variant: s.variant, unit: "tasks/s", target: s.target}}, contenders: contenders,
			// Two calls are on their way at once: one that takes, one that completes.
			floor: replayed(floor.Shape{Tasks: s.full, Batch: s.seri[0].Slots, Window: 2, Payload: payloadBytes}, drainTime),
		})
	}
	return experiments
}
