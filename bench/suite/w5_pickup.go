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

// pickUp is W5: how long a task waits that comes to an idle worker, from the enqueue call to the handler's first line.
func pickUp() []experiment {
	run := func(system, tuning string, w load.Work) contender {
		w.Kind = load.Timer
		return contender{system, tuning, func(ctx context.Context, r *Rig) (Figures, error) {
			p := load.Produce{Tasks: max(int(200*r.Scale), 50), Every: 200 * time.Millisecond, PayloadBytes: payloadBytes}
			delays, err := r.delays(ctx, system, p, 500*time.Millisecond, w)
			if err != nil {
				return Figures{}, err
			}
			return Figures{Values: []float64{millis(report.Percentile(delays, 0.5)), millis(report.Percentile(delays, 0.99))}}, nil
		}}
	}
	return []experiment{{
		workload: "W5",
		rows: []rowSpec{
			{variant: "idle pick-up, median", unit: "ms", lower: true, target: atMost(0.6)},
			{variant: "idle pick-up, 99th percentile", unit: "ms", lower: true, target: atMost(2.5)},
		},
		contenders: []contender{
			run(seriName, "", load.Work{Slots: 10}),
			run(asynqName, "default", load.Work{Slots: 10}),
			run(asynqName, "polls each 10 ms", load.Work{Slots: 10, Poll: fastPoll}),
			run(riverName, "c10", load.Work{Slots: 10}),
		},
		floor: func(ctx context.Context, r *Rig) ([]float64, error) {
			if err := r.Redis.Flush(ctx); err != nil {
				return nil, err
			}
			const calls = 1000
			took, err := floor.Replay(ctx, r.Redis.Addr(), floor.Shape{Tasks: calls, Batch: 1, Payload: payloadBytes})
			if err != nil {
				return nil, err
			}
			return []float64{millis((took.Enqueue + took.Dequeue) / calls), math.NaN()}, nil
		},
	}}
}

// delays runs a worker, then a producer, and returns how long after their instants the tasks started, sorted.
func (r *Rig) delays(ctx context.Context, system string, p load.Produce, settle time.Duration, w load.Work) ([]time.Duration, error) {
	if err := r.ground(system).Flush(ctx); err != nil {
		return nil, err
	}
	workers, err := r.hire(ctx, system, w)
	if err != nil {
		return nil, err
	}
	defer workers.dismiss()
	if err := workers.start(); err != nil {
		return nil, err
	}
	if err := pause(ctx, settle); err != nil {
		return nil, err
	}
	if err := r.fill(ctx, system, p); err != nil {
		return nil, err
	}
	complete, err := workers.finish(ctx, p.Tasks, r.patience())
	if err != nil {
		return nil, err
	}
	if !complete {
		return nil, fmt.Errorf("%s: not all of %d tasks were run within %v", system, p.Tasks, r.patience())
	}
	reports, err := workers.stop()
	if err != nil {
		return nil, err
	}
	return reports[0].Delays, nil
}

func millis(d time.Duration) float64 { return d.Seconds() * 1000 }
