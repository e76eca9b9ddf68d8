package suite

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/seri-queue/seri/bench/floor"
	"github.com/seri-queue/seri/bench/load"
	"github.com/seri-queue/seri/bench/report"
)

// atOneInstant is W7: many tasks come due together.
func atOneInstant() []experiment {
	const full = 20_000
	lead := 3 * time.Second // ample for every system to take the tasks in
	run := func(system, tuning string, p load.Produce, w load.Work) contender {
		w.Kind = load.Timer
		return contender{system, tuning, func(ctx context.Context, r *Rig) (Figures, error) {
			p := p
			p.Tasks, p.DueIn, p.PayloadBytes = full, lead, payloadBytes
			delays, err := r.delays(ctx, system, p, 0, w)
			if err != nil {
				return Figures{}, err
			}
			early := 0
			for early < len(delays) && delays[early] < 0 {
				early++
			}
			return Figures{Values: []float64{millis(delays[0]), delays[len(delays)-1].Seconds(), float64(early)}}, nil
		}}
	}
	never := target{"none", func(r *report.Row) bool { return r.SeriMax == 0 }}
	return []experiment{{
		workload: "W7",
		rows: []rowSpec{
			{variant: fmt.Sprintf("%d tasks due at one instant: first start after it", full), unit: "ms", lower: true, target: atMost(20)},
			{variant: fmt.Sprintf("%d tasks due at one instant: last start after it", full), unit: "s", lower: true, target: atMost(0.5)},
			{variant: fmt.Sprintf("%d tasks due at one instant: started early", full), unit: "tasks", lower: true, target: never},
		},
		contenders: []contender{
			run(seriName, "", load.Produce{Producers: 1, Batch: 1000}, load.Work{Slots: 100}),
			run(asynqName, "c100", load.Produce{Producers: 50}, load.Work{Slots: 100}),
			run(asynqName, "c60 ×3 servers, poll each 10 ms", load.Produce{Producers: 50}, load.Work{Slots: 60, Servers: 3, Poll: fastPoll}),
			run(riverName, "c2000 tuned", load.Produce{Producers: 2, Batch: 5000}, load.Work{Slots: 2000, Poll: fastPoll}),
		},
		floor: func(ctx context.Context, r *Rig) ([]float64, error) {
			if err := r.Redis.Flush(ctx); err != nil {
				return nil, err
			}
			took, err := floor.Replay(ctx, r.Redis.Addr(), floor.Shape{
				Tasks: full, Batch: 100, Window: 2, Payload: payloadBytes, DueIn: 2 * time.Second,
			})
			if err != nil {
				return nil, err
			}
			return []float64{math.NaN(), (took.Forward + took.Dequeue + took.Complete).Seconds(), math.NaN()}, nil
		},
	}}
}
