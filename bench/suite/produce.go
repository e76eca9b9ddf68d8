package suite

import (
	"context"
	"fmt"
	"time"

	"github.com/seri-queue/seri/bench/load"
	"github.com/seri-queue/seri/bench/report"
)

// payloadBytes is the size of a payload where a workload says nothing else.
const payloadBytes = 100

// Figures is what one measurement found.
type Figures struct {
	Values []float64 // one for each row of the experiment
	Cost   *report.Cost
	Batch  float64 // tasks in a script call, on average; 0: not known
}

// produce empties the ground and measures a producer: tasks a second.
func (r *Rig) produce(ctx context.Context, system string, p load.Produce) (Figures, error) {
	g := r.ground(system)
	if err := g.Flush(ctx); err != nil {
		return Figures{}, err
	}
	child, err := r.start(ctx, system, load.Spec{Produce: &p})
	if err != nil {
		return Figures{}, err
	}
	defer child.End()
	before := g.CPU()
	if err := child.Go(); err != nil {
		return Figures{}, err
	}
	done, err := child.Wait()
	if err != nil {
		return Figures{}, err
	}
	f := Figures{Values: []float64{rate(done.Count, done.Last.Sub(done.First))}, Cost: &report.Cost{
		Store: perTask(g.CPU()-before, done.Count), Worker: report.NotMeasured(), Client: perTask(done.CPU, done.Count),
	}}
	if system != riverName {
		calls, err := r.Redis.Calls(ctx, "evalsha", "eval")
		if err != nil {
			return f, err
		}
		f.Batch = float64(done.Count) / float64(max(calls, 1))
	}
	return f, nil
}

// preload fills an emptied ground as fast as the system can.
func (r *Rig) preload(ctx context.Context, system string, p load.Produce) error {
	switch system {
	case seriName:
		p.Producers, p.Batch = 1, 1000
	case riverName:
		p.Producers, p.Batch = 2, 5000
	default:
		p.Producers, p.Batch = 50, 0
	}
	return r.fill(ctx, system, p)
}

// fill adds tasks, unmeasured.
func (r *Rig) fill(ctx context.Context, system string, p load.Produce) error {
	if p.PayloadBytes == 0 {
		p.PayloadBytes = payloadBytes
	}
	child, err := r.start(ctx, system, load.Spec{Produce: &p})
	if err != nil {
		return err
	}
	defer child.End()
	if err := child.Go(); err != nil {
		return err
	}
	if _, err := child.Wait(); err != nil {
		return fmt.Errorf("fill the queue: %w", err)
	}
	return nil
}

func rate(count int64, took time.Duration) float64 {
	if took <= 0 {
		return 0
	}
	return float64(count) / took.Seconds()
}

// perTask is processor time in microseconds a task.
func perTask(used time.Duration, count int64) report.Number {
	if count == 0 {
		return report.NotMeasured()
	}
	return report.Number(float64(used) / float64(time.Microsecond) / float64(count))
}
