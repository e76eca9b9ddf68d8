package suite

import (
	"context"
	"fmt"

	"github.com/seri-queue/seri/bench/floor"
	"github.com/seri-queue/seri/bench/load"
)

// producing makes a contender that hands full tasks over, scaled.
func producing(system, tuning string, full int, p load.Produce) contender {
	return contender{system, tuning, func(ctx context.Context, r *Rig) (Figures, error) {
		p.Tasks, p.PayloadBytes = r.n(full), payloadBytes
		return r.produce(ctx, system, p)
	}}
}

// oneProducer is W1a: every task waits for the answer to the one before. The floor is a round trip with nothing around it.
func oneProducer() []experiment {
	return []experiment{{
		workload: "W1a",
		rows:     []rowSpec{{variant: "enqueue, one producer, one by one", unit: "tasks/s", target: times(1.2)}},
		contenders: []contender{
			producing(seriName, "p1", 30_000, load.Produce{Producers: 1}),
			producing(asynqName, "p1", 30_000, load.Produce{Producers: 1}),
			producing(riverName, "p1", 10_000, load.Produce{Producers: 1}),
		},
		floor: replayed(floor.Shape{Tasks: 30_000, Batch: 1, Payload: payloadBytes, StoreOnly: true}, enqueueTime),
	}}
}

// manyProducers is W1b: one process, many goroutines, each with one task at a time.
func manyProducers() []experiment {
	var experiments []experiment
	for _, producers := range []int{50, 200} {
		p := load.Produce{Producers: producers}
		tuning := fmt.Sprintf("p%d", producers)
		experiments = append(experiments, experiment{
			workload: "W1b",
			rows:     []rowSpec{{variant: fmt.Sprintf("enqueue, %d producers, one by one", producers), unit: "tasks/s", target: times(2)}},
			contenders: []contender{
				producing(seriName, tuning, 300_000, p),
				producing(asynqName, tuning, 100_000, p),
				producing(riverName, "p20", 20_000, load.Produce{Producers: 20}),
			},
			// Half of the producers wait for one call, the other half for the next.
			floor: replayed(floor.Shape{Tasks: 300_000, Batch: producers / 2, Window: 2, Payload: payloadBytes, StoreOnly: true}, enqueueTime),
		})
	}
	return experiments
}

// bulk is W2: a thousand tasks a call. asynq has no such call; its best is W1b's.
func bulk() []experiment {
	var experiments []experiment
	for _, producers := range []int{1, 2} {
		p := load.Produce{Producers: producers, Batch: 1000}
		experiments = append(experiments, experiment{
			workload: "W2",
			rows:     []rowSpec{{variant: fmt.Sprintf("enqueue 1,000 a call, %d at once", producers), unit: "tasks/s", target: times(1.5)}},
			contenders: []contender{
				producing(seriName, fmt.Sprintf("p%d", producers), 500_000, p),
				producing(asynqName, "one by one, p50", 100_000, load.Produce{Producers: 50}),
				producing(riverName, "COPY of 5,000, p2", 300_000, load.Produce{Producers: 2, Batch: 5000}),
			},
			floor: replayed(floor.Shape{Tasks: 300_000, Batch: 1000, Window: producers, Payload: payloadBytes, StoreOnly: true}, enqueueTime),
		})
	}
	return experiments
}
