package worker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/partition"
	"github.com/seri-queue/seri/internal/pause"
)

// divide returns the table that config asks for, and the queues that the engine is to serve, with their weights.
func divide(config Config) (*partition.Table, map[string]int, error) {
	table, err := partition.New(config.Partitions)
	if err != nil {
		return nil, config.Queues, fmt.Errorf("option Partitions: %w", err)
	}
	var errs []error
	for _, queue := range slices.Sorted(maps.Keys(config.Queues)) {
		if config.Queues[queue] < 1 {
			return table, config.Queues, nil // the engine says what is wrong
		}
		if place := table.Find(keys.Queue(queue)); place.Partition > 0 {
			errs = append(errs, fmt.Errorf("option Queues names %q, a partition of %q: a worker serves all partitions of a queue", queue, place.Queue))
		}
	}
	return table, table.Weights(config.Queues, config.Strict), errors.Join(errs...)
}

// undivided returns the handler as one that finds the queue's name in its [seri.Execution], not the partition's.
func undivided(table *partition.Table, h seri.Handler) seri.Handler {
	run := h.Run
	if run == nil {
		return h // the engine says what is wrong
	}
	h.Run = func(ctx context.Context, payload []byte) ([]byte, error) {
		e, ok := seri.ExecutionFrom(ctx)
		place := table.Find(keys.Queue(e.Queue))
		if !ok || place.Partition == 0 {
			return run(ctx, payload)
		}
		e.Queue = place.Queue
		return run(seri.WithExecution(ctx, e, func(p seri.ProgressInfo) {
			seri.Progress(ctx, p.Done, p.Total, p.Message)
		}), payload)
	}
	return h
}

// How long a worker waits for the answer to what the partitions on record are, and until it asks again: before it begins,
// and while it runs.
const (
	agreeWithin = 2 * time.Second
	agreeEvery  = time.Second
	watchEvery  = 15 * time.Second
)

// agree returns when it is known that the worker looks wherever producers place tasks, or when ctx ends. If Redis does not
// answer, a worker that declares partitions waits for it; one that declares none begins, as it does without Redis.
func (w *Worker) agree(ctx context.Context) error {
	for {
		ask, cancel := context.WithTimeout(ctx, agreeWithin)
		err := w.partitions.Serve(ask, partition.NewAgreement(w.rdb), w.queues)
		cancel()
		if _, differs := errors.AsType[*seri.PartitionsError](err); err == nil || differs || ctx.Err() != nil {
			return err
		}
		w.alive() // each turn takes agreeWithin and agreeEvery at most
		w.logger.WarnContext(ctx, "partitions not checked", "error", err)
		if w.partitions == nil {
			return nil
		}
		pause.For(ctx, agreeEvery)
	}
}

// watch compares with what is on record for as long as the worker runs, and complains while it leaves partitions unserved:
// a producer that declares them only now finds nobody who would refuse. It goes on working, for the others of its tasks.
func (w *Worker) watch(ctx context.Context, every time.Duration) {
	agreement := partition.NewAgreement(w.rdb)
	for pause.For(ctx, every); ctx.Err() == nil; pause.For(ctx, every) {
		ask, cancel := context.WithTimeout(ctx, agreeWithin)
		unserved, err := w.partitions.Unserved(ask, agreement, w.queues)
		cancel()
		if err != nil && ctx.Err() == nil {
			w.logger.WarnContext(ctx, "partitions not checked", "error", err)
		}
		for _, fault := range unserved {
			w.logger.ErrorContext(ctx, "partitions are unserved: tasks wait there for a worker that is started with them",
				"queue", fault.Queue, "served", fault.Declared, "on_record", fault.OnRecord)
		}
	}
}
