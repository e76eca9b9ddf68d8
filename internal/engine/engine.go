package engine

import (
	"context"
	"time"

	"github.com/seri-queue/seri/internal/redisurl"
	"github.com/seri-queue/seri/internal/run"
	"github.com/seri-queue/seri/internal/store"
)

// Run works until ctx ends, then stops as [Config.Grace] says. When it returns, every lease is settled or handed back,
// and nothing that it started is left but handlers that would not end.
func (e *Engine) Run(ctx context.Context) error {
	logger := e.Logger.With("worker", e.name)
	leases := newRegistry(logger)
	leases.meters = &e.meters
	leases.logs = newTaskLogs(e.store, e.LogBytes, e.LogPlace, &e.meters, logger)
	defer leases.stop()
	outcomes := make(chan outcome, e.Slots+aheadMost)
	blocking, err := redisurl.Clone(e.store.Redis(), 2*len(e.queues)+2, blockFor)
	if err != nil {
		return err
	}
	defer blocking.Close() // where the stack has not come to it

	pulse := newHeartbeat(e.store, leases, e.Lease, logger)
	pulse.alive = e.Alive
	report := newReporter(e.store, 2*e.Slots, logger)
	report.meters = &e.meters
	slots := newSlots(e.Slots, leases, report, outcomes, e.Grace, logger)
	e.slots.Store(slots)
	claims := newClaims(e.store, e.Lease, func(b store.Batch, asked time.Time) []*attempt {
		attempts := leases.add(b.Leases, e.handler, asked, e.Lease)
		pulse.received(asked)
		return attempts
	}, slots, logger)
	waiting := newIdle(blocking, e.queues)
	announce, err := newAnnouncer(e, leases, logger)
	if err != nil {
		return err
	}

	parts := []run.Part{ // starts downwards, stops upwards
		{Name: "announcer", Run: announce.run},
		{Name: "lookout", Run: (&lookout{e.store, e.queues, logger}).run},
		{Name: "heartbeat", Run: pulse.run}, // leases stay alive until the last outcome is written
		{Name: "revocations", Run: (&revocations{e.store.Redis(), leases, pulse.check, pulse.hurry}).run},
		{Name: "caretaker", Run: (&caretaker{engine: e, logger: logger}).run},
		{Name: "sweeper", Run: (&sweeper{e.store, e.queues, e.name, e.Lease, logger}).run},
		{Name: "protection", Run: e.protection(leases, logger)},
		{Name: "reporter", Run: report.run},
		{Name: "logs of tasks", Run: leases.logs.run},
		{Name: "completer", Run: newCompleter(e.store, leases, outcomes, e.Lease, len(e.queues), logger).run},
		{Name: "slots", Run: slots.run}, // hands back what outlives the grace period
		{Name: "surplus", Run: slots.surplus},
		{Name: "claims", Run: claims.run},
		{Name: "handlers", Run: (&warden{slots: slots, registry: leases, after: e.StuckAfter, logger: logger}).run},
	}
	for _, q := range e.queues {
		f := &forwarder{store: e.store, rdb: blocking, queue: q, logger: logger, bell: make(chan struct{}, 1)}
		parts = append(parts,
			run.Part{Name: "forwarder of " + string(q), Run: f.run},
			run.Part{Name: "doorbell of " + string(q), Run: f.listen},
			run.Part{Name: "watch of " + string(q), Run: func(ctx context.Context) error { return waiting.watch(ctx, q) }},
		)
	}
	parts = append(parts,
		run.Part{Name: "fetcher", Run: (&fetcher{engine: e, registry: leases, heartbeat: pulse, slots: slots, idle: waiting, blocking: blocking, claims: claims, dequeue: e.store.Dequeue, logger: logger}).run},
		run.Part{Name: "blocked calls", Run: func(ctx context.Context) error { // the first to stop
			<-ctx.Done()
			return blocking.Close()
		}},
	)
	logger.InfoContext(ctx, "worker started", "queues", e.Queues, "slots", e.Slots, "types", e.types, "lease", e.Lease, "grace", e.Grace)
	defer logger.InfoContext(ctx, "worker stopped")
	return run.Stack(ctx, parts...)
}
