package client

import (
	"context"

	"github.com/seri-queue/seri/internal/meter"
)

// maxMeasured bounds the queues of which figures are told: each is a dozen series to whoever keeps them.
const maxMeasured = 200

// Measure hands the figures of all queues to report, of the first 200 by name if there are more. It asks Redis, and leaves
// them out if that does not answer. It is for package [github.com/seri-queue/seri/metrics], which shows them.
func (c *Client) Measure(ctx context.Context, report meter.Report) {
	queues, err := c.Queues(ctx)
	if err != nil {
		return
	}
	slots, err := c.slots(ctx)
	known := err == nil
	report.Value(meter.QueuesLeftOut, float64(max(len(queues)-maxMeasured, 0)))
	for _, q := range queues[:min(len(queues), maxMeasured)] {
		for _, figure := range []struct {
			of *meter.Family
			n  int
		}{
			{meter.QueueScheduled, q.Scheduled}, {meter.QueuePending, q.Pending}, {meter.QueueActive, q.Active},
			{meter.QueueRetrying, q.Retrying}, {meter.QueueSucceeded, q.Succeeded}, {meter.QueueArchived, q.Archived},
			{meter.QueueProcessed, int(q.Processed)}, {meter.QueueFailed, int(q.Failed)}, {meter.QueueTrimmed, int(q.Trimmed)},
		} {
			report.Value(figure.of, float64(figure.n), q.Name)
		}
		paused := 0.0
		if q.Paused {
			paused = 1
		}
		report.Value(meter.QueuePaused, paused, q.Name)
		report.Value(meter.QueueOldest, q.Latency.Seconds(), q.Name)
		report.Value(meter.QueueFence, float64(q.FenceAhead.Microseconds()), q.Name)
		for kind, n := range q.Repairs {
			report.Value(meter.QueueRepairs, float64(n), q.Name, kind)
		}
		if known { // or a worker that cannot be seen now would be scaled for
			report.Value(meter.QueueSlots, float64(slots[q.Name]), q.Name)
			report.Value(meter.QueueBacklog, (1-paused)*float64(q.Pending)/float64(max(slots[q.Name], 1)), q.Name)
		}
	}
}

// slots counts the slots of live workers by the queue that they serve, whichever of its partitions.
func (c *Client) slots(ctx context.Context) (map[string]int, error) {
	servers, err := c.store.Servers(ctx)
	if err != nil {
		return nil, err
	}
	slots := make(map[string]int)
	for _, worker := range servers {
		served := make(map[string]bool)
		for _, q := range worker.Queues {
			served[c.partitions.Find(q).Queue] = true
		}
		for queue := range served {
			slots[queue] += worker.Slots
		}
	}
	return slots, nil
}
