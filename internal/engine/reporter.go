package engine

import (
	"context"
	"log/slog"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/meter"
	"github.com/seri-queue/seri/internal/pause"
	"github.com/seri-queue/seri/internal/store"
)

// reportEvery is how often a task's progress is written at most; in between the newest report replaces the others.
const reportEvery = 100 * time.Millisecond

// recorder is what the reporter needs of the store.
type recorder interface {
	Progress(ctx context.Context, q keys.Queue, reports []store.Report) ([]error, error)
}

// reporter writes the progress of running tasks.
type reporter struct {
	store  recorder
	noted  chan *attempt // attempts with a report that is not written yet
	meters *meter.Worker
	logger *slog.Logger
}

func newReporter(s recorder, slots int, logger *slog.Logger) *reporter {
	return &reporter{store: s, noted: make(chan *attempt, slots), meters: new(meter.Worker), logger: logger}
}

// note replaces the attempt's report. It never blocks: an attempt is noted once until its report is written, so there is
// room for all; only those of handlers that were given up on may find none.
func (r *reporter) note(a *attempt, p seri.ProgressInfo) {
	a.mu.Lock()
	first := a.report == nil
	a.report = &p
	a.mu.Unlock()
	if first {
		select {
		case r.noted <- a:
		default:
			a.take()
		}
	}
}

// take returns the report to be written, nil if the attempt is over.
func (a *attempt) take() *seri.ProgressInfo {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.report
	a.report = nil
	if a.settled.Load() {
		return nil
	}
	return p
}

// run writes the first report of a quiet time at once, and then what comes in, every [reportEvery].
func (r *reporter) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case a := <-r.noted:
			r.write(ctx, r.gather(a))
			pause.For(ctx, reportEvery)
		}
	}
}

// gather returns the reports of first and of the attempts that are noted behind it, each attempt once: one that reports again
// meanwhile replaces what was not taken yet.
func (r *reporter) gather(first *attempt) map[keys.Queue][]store.Report {
	attempts := []*attempt{first}
	for waiting := true; waiting && len(attempts) < store.MaxBatch; {
		select {
		case a := <-r.noted:
			attempts = append(attempts, a)
		default:
			waiting = false
		}
	}
	reports := make(map[keys.Queue][]store.Report)
	for _, a := range attempts {
		if p := a.take(); p != nil {
			reports[a.lease.Queue] = append(reports[a.lease.Queue], store.Report{Lease: &a.lease, Progress: *p})
		}
	}
	return reports
}

// write writes reports once. One that is lost is replaced by the next; one that is refused will be told by the heartbeat.
func (r *reporter) write(ctx context.Context, reports map[keys.Queue][]store.Report) {
	for q, batch := range reports {
		answers, err := r.store.Progress(ctx, q, batch)
		if err != nil && ctx.Err() == nil {
			r.logger.WarnContext(ctx, "progress not written", "queue", q, "reports", len(batch), "error", err)
		}
		for _, refused := range answers {
			if refused != nil {
				r.meters.Refused.Progress.Add(1)
			}
		}
	}
}
