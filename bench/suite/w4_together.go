package suite

import (
	"context"

	"github.com/seri-queue/seri/bench/floor"
	"github.com/seri-queue/seri/bench/load"
)

// endToEnd is W4: 50 producers and a worker at the same time, which share the machine with Redis.
func endToEnd() []experiment {
	run := func(system, tuning string, full, producers int, works ...load.Work) contender {
		return contender{system, tuning, func(ctx context.Context, r *Rig) (Figures, error) {
			return r.together(ctx, system, load.Produce{Tasks: r.n(full), Producers: producers}, works...)
		}}
	}
	whole := replayed(floor.Shape{Tasks: drainTasks, Batch: 25, Window: 2, Payload: payloadBytes}, // half of the producers wait for a call
		func(t floor.Times) float64 { return enqueueTime(t) + drainTime(t) })
	return []experiment{{
		workload: "W4",
		rows:     []rowSpec{{variant: "50 producers and a worker together", unit: "tasks/s", target: times(3.5)}},
		contenders: []contender{
			run(seriName, "", drainTasks, 50, load.Work{Slots: 100}),
			run(asynqName, "c10, polls each 10 ms", drainTasks/2, 50, load.Work{Slots: 10, Poll: fastPoll}),
			run(asynqName, "c60 ×3 servers, poll each 10 ms", drainTasks/2, 50, load.Work{Slots: 60, Servers: 3, Poll: fastPoll}),
			run(riverName, "c2000 tuned", drainTasks/5, 20, load.Work{Slots: 2000, Poll: fastPoll}),
		},
		floor: whole,
	}}
}
