package suite

import (
	"context"
	"fmt"
	"time"

	"github.com/seri-queue/seri/bench/load"
)

// footprint is W10: what tasks take in Redis, and what a worker takes that has nothing to do.
func footprint() []experiment {
	both := func(measure func(context.Context, *Rig, string) (Figures, error)) []contender {
		var contenders []contender
		for _, system := range []string{seriName, asynqName} {
			contenders = append(contenders, contender{system, "", func(ctx context.Context, r *Rig) (Figures, error) {
				return measure(ctx, r, system)
			}})
		}
		return contenders
	}
	bytes := func(variant string, t target) rowSpec {
		return rowSpec{variant: variant, unit: "B", lower: true, target: t}
	}
	processor := func(variant string) rowSpec { return rowSpec{variant: variant, unit: "s", lower: true} }
	return []experiment{
		{workload: "W10", rows: []rowSpec{
			bytes("Redis per queued task", times(1)), bytes("Redis per queued task, without its event", times(1)),
		}, contenders: both(queuedBytes)},
		{workload: "W10", rows: []rowSpec{bytes("Redis per active task, without its events", target{})}, contenders: both(activeBytes)},
		{workload: "W10", rows: []rowSpec{
			bytes("Redis per completed task that is kept", target{}),
			bytes("Redis per completed task that is kept, without its events", target{}),
		}, contenders: both(completedBytes)},
		{workload: "W10", rows: []rowSpec{
			{variant: "idle worker, resident", unit: "MB", lower: true, target: atMost(25)},
			{variant: "idle worker, processor", unit: "% of a core", lower: true, target: atMost(0.2)},
			{variant: "idle worker, calls to Redis", unit: "per s", lower: true},
		}, contenders: both(idleWorker)},
		{workload: "W10", rows: []rowSpec{
			processor("processor of Redis, 10,000 tasks"), processor("processor of the worker, 10,000 tasks"), processor("processor of the client, 10,000 tasks"),
		}, contenders: both(processorTime)},
	}
}

// enough is how many tasks make what Redis holds for its connections vanish beside them.
const enough = 20_000

func queuedBytes(ctx context.Context, r *Rig, system string) (Figures, error) {
	if err := r.Redis.Flush(ctx); err != nil {
		return Figures{}, err
	}
	before, err := r.Redis.Bytes(ctx)
	if err != nil {
		return Figures{}, err
	}
	n := max(r.n(50_000), enough)
	if err := r.preload(ctx, system, load.Produce{Tasks: n}); err != nil {
		return Figures{}, err
	}
	return r.grown(ctx, before, n)
}

// grown returns by how much Redis has grown for each of n tasks, with and without events.
func (r *Rig) grown(ctx context.Context, before int64, n int) (Figures, error) {
	after, err := r.Redis.Bytes(ctx)
	if err != nil {
		return Figures{}, err
	}
	events, err := r.Redis.EventBytes(ctx, load.QueueNames(1))
	if err != nil {
		return Figures{}, err
	}
	return Figures{Values: []float64{float64(after-before) / float64(n), float64(after-before-events) / float64(n)}}, nil
}

func activeBytes(ctx context.Context, r *Rig, system string) (Figures, error) {
	const n = 1000
	if err := r.Redis.Flush(ctx); err != nil {
		return Figures{}, err
	}
	before, err := r.Redis.Bytes(ctx)
	if err != nil {
		return Figures{}, err
	}
	holders, err := r.hold(ctx, system, n)
	defer holders.dismiss()
	if err != nil {
		return Figures{}, err
	}
	f, err := r.grown(ctx, before, n)
	if err != nil {
		return Figures{}, err
	}
	return Figures{Values: f.Values[1:]}, nil
}

func completedBytes(ctx context.Context, r *Rig, system string) (Figures, error) {
	if err := r.Redis.Flush(ctx); err != nil {
		return Figures{}, err
	}
	before, err := r.Redis.Bytes(ctx)
	if err != nil {
		return Figures{}, err
	}
	n := max(r.n(30_000), enough)
	if _, err := r.drain(ctx, system, drained{
		fill:  load.Produce{Tasks: n, PayloadBytes: payloadBytes, Retention: retention},
		works: []load.Work{serverOf(system, 1)},
	}); err != nil {
		return Figures{}, err
	}
	return r.grown(ctx, before, n)
}

// idleWorker watches a worker of ten slots that has run a thousand tasks before, as one in production has.
func idleWorker(ctx context.Context, r *Rig, system string) (Figures, error) {
	const warmUp = 1000
	if err := r.Redis.Flush(ctx); err != nil {
		return Figures{}, err
	}
	if err := r.preload(ctx, system, load.Produce{Tasks: warmUp}); err != nil {
		return Figures{}, err
	}
	workers, err := r.hire(ctx, system, load.Work{Slots: 10})
	if err != nil {
		return Figures{}, err
	}
	defer workers.dismiss()
	if err := workers.start(); err != nil {
		return Figures{}, err
	}
	complete, err := workers.finish(ctx, warmUp, r.patience())
	if err != nil {
		return Figures{}, err
	}
	if !complete {
		return Figures{}, fmt.Errorf("%s: the warm-up of an idle worker did not end", system)
	}
	if err := pause(ctx, idleTime(r)/5); err != nil {
		return Figures{}, err
	}
	first, err := workers.status()
	if err != nil {
		return Figures{}, err
	}
	callsBefore, err := r.Redis.Reads(ctx)
	if err != nil {
		return Figures{}, err
	}
	if err := pause(ctx, idleTime(r)); err != nil {
		return Figures{}, err
	}
	calls, err := r.Redis.Reads(ctx)
	if err != nil {
		return Figures{}, err
	}
	last, err := workers.status()
	if err != nil {
		return Figures{}, err
	}
	seconds := idleTime(r).Seconds()
	return Figures{Values: []float64{
		float64(last[0].RSS) / 1e6,
		100 * (last[0].CPU - first[0].CPU).Seconds() / seconds,
		float64(calls-callsBefore-1) / seconds, // but the question itself
	}}, nil
}

func processorTime(ctx context.Context, r *Rig, system string) (Figures, error) {
	n := r.n(50_000)
	handed, err := r.produce(ctx, system, load.Produce{Tasks: n, Producers: 50, PayloadBytes: payloadBytes})
	if err != nil {
		return Figures{}, err
	}
	run, err := r.drain(ctx, system, drained{
		fill: load.Produce{Tasks: n, PayloadBytes: payloadBytes}, works: []load.Work{serverOf(system, 1)},
	})
	if err != nil {
		return Figures{}, err
	}
	const tasks, micro = 10_000, 1e-6
	return Figures{Values: []float64{
		float64(handed.Cost.Store+run.Cost.Store) * tasks * micro, float64(run.Cost.Worker) * tasks * micro,
		float64(handed.Cost.Client) * tasks * micro,
	}}, nil
}

// idleTime is how long an idle worker is watched.
func idleTime(r *Rig) time.Duration {
	return max(time.Duration(20*r.Scale*float64(time.Second)), 5*time.Second)
}
