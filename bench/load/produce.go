package load

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// produce hands over what p says and returns when the system has accepted all of it.
func produce(ctx context.Context, system System, p Produce) (Report, error) {
	r := Report{First: time.Now()}
	due := time.Time{}
	if p.DueIn > 0 {
		due = r.First.Add(p.DueIn)
	}
	task := maker(p, due)
	var err error
	if p.Every > 0 {
		err = paced(ctx, system, p)
	} else {
		err = flatOut(ctx, system, p, task)
	}
	r.Last, r.Count = time.Now(), int64(p.Tasks)
	return r, err
}

// maker returns a function that makes the i-th task. Payloads are made beforehand: their making is no system's cost.
func maker(p Produce, due time.Time) func(i int) Task {
	lengths := []int{0}
	if p.Mixed {
		lengths = []int{0, 1, 10, 100}
	}
	pads := make([][]byte, 1000)
	for i := range pads {
		pads[i] = payload(due, lengths[i%len(lengths)], p.PayloadBytes)
	}
	queues := QueueNames(p.Queues)
	return func(i int) Task {
		return Task{Queue: queues[i%len(queues)], Payload: pads[i%len(pads)], Due: due, Retention: p.Retention}
	}
}

// flatOut lets all producers take the next tasks until none is left.
func flatOut(ctx context.Context, system System, p Produce, task func(int) Task) error {
	var (
		next  atomic.Int64
		group sync.WaitGroup
		once  sync.Once
		fault error
	)
	step := max(p.Batch, 1)
	for range max(p.Producers, 1) {
		group.Go(func() {
			batch := make([]Task, 0, step)
			for ctx.Err() == nil {
				from := int(next.Add(int64(step))) - step
				if from >= p.Tasks {
					return
				}
				batch = batch[:0]
				for i := from; i < min(from+step, p.Tasks); i++ {
					batch = append(batch, task(i))
				}
				var err error
				if p.Batch == 0 {
					err = system.Enqueue(ctx, batch[0])
				} else {
					err = system.EnqueueMany(ctx, batch)
				}
				if err != nil {
					once.Do(func() { fault = fmt.Errorf("hand over task %d: %w", from, err) })
					return
				}
			}
		})
	}
	group.Wait()
	if fault == nil {
		fault = ctx.Err()
	}
	return fault
}

// paced hands over a task each interval, which says when that was.
func paced(ctx context.Context, system System, p Produce) error {
	ticker := time.NewTicker(p.Every)
	defer ticker.Stop()
	for i := range p.Tasks {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
		if err := system.Enqueue(ctx, Task{Queue: QueueName(0), Payload: payload(time.Now(), 0, p.PayloadBytes)}); err != nil {
			return fmt.Errorf("hand over task %d: %w", i, err)
		}
	}
	return nil
}
