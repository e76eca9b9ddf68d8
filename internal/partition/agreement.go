package partition

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redisfault"
)

// Agreement is the record in Redis of how many partitions each queue has: that producers place tasks where workers look.
type Agreement struct{ rdb redis.UniversalClient }

// NewAgreement returns the one in rdb.
func NewAgreement(rdb redis.UniversalClient) Agreement { return Agreement{rdb} }

// Declare puts n partitions of a queue on record if nothing is, and returns what is then.
func (a Agreement) Declare(ctx context.Context, queue string, n int) (onRecord int, err error) {
	// A look comes first: a full Redis tells what is on record and refuses a write that would change nothing.
	if onRecord, err = a.rdb.HGet(ctx, keys.Partitions, queue).Int(); err == nil {
		return onRecord, nil
	}
	if !errors.Is(err, redis.Nil) {
		return 0, fmt.Errorf("read the partitions of queue %q: %w", queue, redisfault.Mark(err))
	}
	pipe := a.rdb.Pipeline()
	pipe.HSetNX(ctx, keys.Partitions, queue, n)
	record := pipe.HGet(ctx, keys.Partitions, queue)
	if _, err := pipe.Exec(ctx); err != nil {
		return 0, fmt.Errorf("declare the partitions of queue %q: %w", queue, redisfault.Mark(err))
	}
	return record.Int()
}

// Change puts n partitions of a queue on record, 0 for none at all.
func (a Agreement) Change(ctx context.Context, queue string, n int) error {
	err := error(nil)
	if n == 0 {
		err = a.rdb.HDel(ctx, keys.Partitions, queue).Err()
	} else {
		err = a.rdb.HSet(ctx, keys.Partitions, queue, n).Err()
	}
	if err != nil {
		return fmt.Errorf("change the partitions of queue %q: %w", queue, redisfault.Mark(err))
	}
	return nil
}

// All returns what is on record, by queue.
func (a Agreement) All(ctx context.Context) (map[string]int, error) {
	record, err := a.rdb.HGetAll(ctx, keys.Partitions).Result()
	if err != nil {
		return nil, fmt.Errorf("read the partitions of queues: %w", redisfault.Mark(err))
	}
	counts := make(map[string]int, len(record))
	for queue, text := range record {
		if counts[queue], err = strconv.Atoi(text); err != nil {
			return nil, fmt.Errorf("read the partitions of queue %q: %w", queue, err)
		}
	}
	return counts, nil
}

// Produce makes sure that a producer places the tasks of a queue as all others do. A [*seri.PartitionsError] says that it
// would not.
func (t *Table) Produce(ctx context.Context, a Agreement, queue string) error {
	onRecord, err := a.Declare(ctx, queue, t.Count(queue))
	if err == nil && onRecord != t.Count(queue) {
		err = &seri.PartitionsError{Queue: queue, Declared: t.Count(queue), OnRecord: onRecord}
	}
	return err
}

// Serve makes sure that a worker of these queues looks wherever producers place tasks; it may look at more partitions than
// there are on record. The error joins a [*seri.PartitionsError] for each queue with others.
func (t *Table) Serve(ctx context.Context, a Agreement, queues []string) error {
	for _, queue := range queues {
		if n := t.Count(queue); n > 0 {
			if _, err := a.Declare(ctx, queue, n); err != nil {
				return err
			}
		}
	}
	unserved, err := t.Unserved(ctx, a, queues)
	errs := []error{err}
	for _, fault := range unserved {
		errs = append(errs, fault)
	}
	return errors.Join(errs...)
}

// Unserved returns those of a worker's queues of which it leaves partitions unserved: there are more on record.
func (t *Table) Unserved(ctx context.Context, a Agreement, queues []string) (faults []*seri.PartitionsError, err error) {
	record, err := a.All(ctx)
	if err != nil {
		return nil, err
	}
	for _, queue := range queues {
		if declared := max(t.Count(queue), 1); record[queue] > declared {
			faults = append(faults, &seri.PartitionsError{Queue: queue, Declared: declared, OnRecord: record[queue]})
		}
	}
	return faults, nil
}
