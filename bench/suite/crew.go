package suite

import (
	"context"
	"fmt"
	"time"

	"github.com/seri-queue/seri/bench/load"
)

// crew is the worker processes of one measurement.
type crew []*load.Process

// hire starts workers, connected and waiting for [crew.start].
func (r *Rig) hire(ctx context.Context, system string, works ...load.Work) (crew, error) {
	var c crew
	for i := range works {
		p, err := r.start(ctx, system, load.Spec{Work: &works[i]})
		if err != nil {
			c.dismiss()
			return nil, err
		}
		c = append(c, p)
	}
	return c, nil
}

func (c crew) start() error {
	for _, p := range c {
		if err := p.Go(); err != nil {
			return err
		}
	}
	return nil
}

// dismiss makes sure that all are gone.
func (c crew) dismiss() {
	for _, p := range c {
		p.End()
	}
}

// status returns what each has done so far.
func (c crew) status() ([]load.Report, error) {
	reports := make([]load.Report, len(c))
	for i, p := range c {
		var err error
		if reports[i], err = p.Status(); err != nil {
			return nil, err
		}
	}
	return reports, nil
}

// stop ends all and returns what they have done.
func (c crew) stop() ([]load.Report, error) {
	reports := make([]load.Report, len(c))
	for i, p := range c {
		var err error
		if reports[i], err = p.Stop(); err != nil {
			return nil, err
		}
	}
	return reports, nil
}

// finish waits until n tasks are done, or patience is over. It asks each 10 ms, which costs the workers
// a thousandth of a core.
func (c crew) finish(ctx context.Context, n int, patience time.Duration) (complete bool, err error) {
	deadline := time.After(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		reports, err := c.status()
		if err != nil {
			return false, err
		}
		if total(reports).Count >= int64(n) {
			return true, nil
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-deadline:
			return false, nil
		case <-tick.C:
		}
	}
}

// settled waits until the store has heard of the end of every task: work that is not acknowledged is not done.
func (r *Rig) settled(ctx context.Context, system string) error {
	deadline := time.Now().Add(10 * time.Second)
	for {
		left, err := r.ground(system).Unfinished(ctx)
		if err != nil || left == 0 {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: %d tasks are not acknowledged although all handlers have ended", system, left)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// total sums up reports of processes that worked side by side.
func total(reports []load.Report) load.Report {
	var sum load.Report
	for _, r := range reports {
		sum.Count += r.Count
		sum.CPU += r.CPU
		sum.RSS += r.RSS
		sum.Delays = append(sum.Delays, r.Delays...)
		if !r.First.IsZero() && (sum.First.IsZero() || r.First.Before(sum.First)) {
			sum.First = r.First
		}
		if r.Last.After(sum.Last) {
			sum.Last = r.Last
		}
	}
	return sum
}
