package suite

import (
	"context"
	"fmt"
	"time"

	"github.com/seri-queue/seri/bench/load"
	"github.com/seri-queue/seri/bench/report"
)

// drained is a drain to be measured.
type drained struct {
	fill  load.Produce // what is queued before
	tasks int          // how many are waited for; 0: all
	held  int          // tasks that are active all the while, in another worker
	works []load.Work
}

// drain empties the ground, fills it and measures workers: tasks a second from the first handler's start to the last
// handler's end. Before it believes them it makes sure that the store has heard of every end.
func (r *Rig) drain(ctx context.Context, system string, d drained) (Figures, error) {
	g := r.ground(system)
	if err := g.Flush(ctx); err != nil {
		return Figures{}, err
	}
	if d.held > 0 {
		holders, err := r.hold(ctx, system, d.held)
		defer holders.dismiss()
		if err != nil {
			return Figures{}, err
		}
	}
	if err := r.preload(ctx, system, d.fill); err != nil {
		return Figures{}, err
	}
	workers, err := r.hire(ctx, system, d.works...)
	if err != nil {
		return Figures{}, err
	}
	defer workers.dismiss()
	wanted := d.tasks
	if wanted == 0 {
		wanted = d.fill.Tasks
	}
	before, callsBefore := g.CPU(), r.calls(ctx, system)
	if err := workers.start(); err != nil {
		return Figures{}, err
	}
	complete, err := workers.finish(ctx, wanted, r.patience())
	if err != nil {
		return Figures{}, err
	}
	if complete && wanted == d.fill.Tasks && d.held == 0 {
		if err := r.settled(ctx, system); err != nil {
			return Figures{}, err
		}
	}
	used, calls := g.CPU()-before, r.calls(ctx, system)-callsBefore
	reports, err := workers.stop()
	if err != nil {
		return Figures{}, err
	}
	sum := total(reports)
	if sum.Count > int64(d.fill.Tasks) {
		return Figures{}, fmt.Errorf("%s: %d tasks were run %d times", system, d.fill.Tasks, sum.Count)
	}
	f := Figures{Values: []float64{rate(sum.Count, sum.Last.Sub(sum.First))}, Cost: &report.Cost{
		Store: perTask(used, sum.Count), Worker: perTask(sum.CPU, sum.Count), Client: report.NotMeasured(),
	}}
	if calls > 0 {
		f.Batch = 2 * float64(sum.Count) / float64(calls) // a task is in two calls: one that takes, one that completes
	}
	return f, nil
}

// hold lets a worker start n tasks that do not end.
func (r *Rig) hold(ctx context.Context, system string, n int) (crew, error) {
	if err := r.preload(ctx, system, load.Produce{Tasks: n}); err != nil {
		return nil, err
	}
	holders, err := r.hire(ctx, system, load.Work{Slots: n, Kind: load.Holder})
	if err != nil {
		return nil, err
	}
	if err := holders.start(); err != nil {
		return holders, err
	}
	complete, err := holders.finish(ctx, n, r.patience())
	if err == nil && !complete {
		err = fmt.Errorf("%s: not all of %d tasks became active", system, n)
	}
	return holders, err
}

func (r *Rig) calls(ctx context.Context, system string) int64 {
	if system == riverName {
		return 0
	}
	n, err := r.Redis.Calls(ctx, "evalsha", "eval")
	if err != nil {
		return 0 // the size of batches stays unknown
	}
	return n
}

// together measures producers and workers at the same time: tasks a second from the first call to the last handler's end.
func (r *Rig) together(ctx context.Context, system string, p load.Produce, works ...load.Work) (Figures, error) {
	g := r.ground(system)
	if err := g.Flush(ctx); err != nil {
		return Figures{}, err
	}
	workers, err := r.hire(ctx, system, works...)
	if err != nil {
		return Figures{}, err
	}
	defer workers.dismiss()
	if err := workers.start(); err != nil {
		return Figures{}, err
	}
	p.PayloadBytes = payloadBytes
	producer, err := r.start(ctx, system, load.Spec{Produce: &p})
	if err != nil {
		return Figures{}, err
	}
	defer producer.End()
	before := g.CPU()
	if err := producer.Go(); err != nil {
		return Figures{}, err
	}
	complete, err := workers.finish(ctx, p.Tasks, r.patience())
	if err != nil {
		return Figures{}, err
	}
	if !complete {
		return Figures{}, fmt.Errorf("%s: not all of %d tasks were run within %v", system, p.Tasks, r.patience())
	}
	handed, err := producer.Wait()
	if err != nil {
		return Figures{}, err
	}
	if err := r.settled(ctx, system); err != nil {
		return Figures{}, err
	}
	used := g.CPU() - before
	reports, err := workers.stop()
	if err != nil {
		return Figures{}, err
	}
	sum := total(reports)
	return Figures{Values: []float64{rate(sum.Count, sum.Last.Sub(handed.First))}, Cost: &report.Cost{
		Store: perTask(used, sum.Count), Worker: perTask(sum.CPU, sum.Count), Client: perTask(handed.CPU, sum.Count),
	}}, nil
}

// window measures what workers do in the steady state: each one's tasks within some time after a warm-up.
func (r *Rig) window(ctx context.Context, system string, fill load.Produce, warm, length time.Duration, works ...load.Work) ([]float64, error) {
	if err := r.ground(system).Flush(ctx); err != nil {
		return nil, err
	}
	if err := r.preload(ctx, system, fill); err != nil {
		return nil, err
	}
	workers, err := r.hire(ctx, system, works...)
	if err != nil {
		return nil, err
	}
	defer workers.dismiss()
	if err := workers.start(); err != nil {
		return nil, err
	}
	if err := pause(ctx, warm); err != nil {
		return nil, err
	}
	begin := time.Now()
	first, err := workers.status()
	if err != nil {
		return nil, err
	}
	if err := pause(ctx, length); err != nil {
		return nil, err
	}
	last, err := workers.status()
	if err != nil {
		return nil, err
	}
	took := time.Since(begin)
	rates := make([]float64, len(workers))
	for i := range rates {
		rates[i] = rate(last[i].Count-first[i].Count, took)
	}
	if total(last).Count >= int64(fill.Tasks) {
		return nil, fmt.Errorf("%s: the queue was empty before the time was over", system)
	}
	return rates, nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
