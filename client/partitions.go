package client

import (
	"context"
	"errors"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/partition"
)

// Declare makes sure that this client and the others on the same Redis divide queues alike ([Config].Partitions), and puts
// on record what nobody has declared yet. Enqueue does so for a queue's first task; a program that calls Declare first
// finds out when it starts. Errors: faults of the configuration, a [*seri.PartitionsError] for each queue that is on
// record with another number of partitions, or Redis' own.
func (c *Client) Declare(ctx context.Context) error {
	errs := []error{c.fault}
	for _, queue := range c.partitions.Divided() {
		errs = append(errs, c.agree(ctx, queue))
	}
	return errors.Join(errs...)
}

// agree is Declare for one queue, once.
func (c *Client) agree(ctx context.Context, queue string) error {
	if c.partitions.Count(queue) == 0 {
		return nil
	}
	if _, agreed := c.agreed.Load(queue); agreed {
		return nil
	}
	if err := c.partitions.Produce(ctx, partition.NewAgreement(c.store.Redis()), queue); err != nil {
		return err
	}
	c.agreed.Store(queue, true)
	return nil
}

// ready reports what is in the way of putting tasks into a queue.
func (c *Client) ready(ctx context.Context, queue string) error {
	if c.partitions == nil {
		return c.fault
	}
	return c.agree(ctx, queue)
}

// locate returns the partition of a queue that has a task; the queue itself, unseen, if it is not divided. If several have
// one under the ID, it is the one that the ID belongs to, or the first.
func (c *Client) locate(ctx context.Context, queue, id string) (keys.Queue, error) {
	partitions := c.partitions.Of(queue)
	if len(partitions) == 1 {
		return partitions[0], nil
	}
	byID := c.partitions.Place(&seri.Message{Queue: queue, ID: id})
	return c.store.Locate(ctx, append([]keys.Queue{byID}, partitions...), id)
}

// shown returns the task as the client's user sees it: in its queue, not in a partition.
func (c *Client) shown(info seri.Info) seri.Info {
	place := c.partitions.Find(keys.Queue(info.Queue))
	info.Queue, info.Partition = place.Queue, place.Partition
	return info
}
