// Package client is what a program uses that hands tasks over and asks what became of them.
//
//	rdb, err := client.OpenRedis("redis://localhost:6379")
//	queue := client.New(rdb, client.Config{})
//	ticket, err := email.Welcome.Enqueue(ctx, queue, email.WelcomeArgs{UserID: 42})
//
// A [Client] implements [seri.Enqueuer]. Concurrent calls of [Client.Enqueue] share round trips by themselves;
// [Client.EnqueueBatch] is for a producer that has many tasks at once.
package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/partition"
	"github.com/seri-queue/seri/internal/store"
)

// Client hands tasks over to queues on one Redis. It is safe for concurrent use and needs no closing:
// the Redis client remains its owner's.
type Client struct {
	store   *store.Store
	servers *servers

	carrier    store.Carrier
	partitions *partition.Table
	fault      error    // of the configuration
	agreed     sync.Map // queues whose number of partitions is known to be that on record

	mu       sync.Mutex
	batchers map[keys.Queue]*batcher
}

// Config tunes a [Client]. The zero value is ready to use.
type Config struct {
	// MaxEvents is about how many entries each queue's event stream keeps; workers and clients should agree.
	// Default: 10,000.
	MaxEvents int
	// Events says how events travel: "streams", "memory", "pubsub" or "sharded-pubsub", as docs/events.md explains. All
	// programs on one Redis must say the same. A fault in it is the error of every call that enqueues. Default: "streams".
	Events string
	// Partitions divides queues that are too big for one node of a Redis Cluster: into how many partitions, at most 64, by
	// name. All programs on one Redis must say the same, which the client checks when a queue has its first task, or
	// [Client.Declare] before; a fault in it is the error of every call that enqueues. docs/operations.md says how a
	// number is changed. Default: none is divided.
	Partitions map[string]int
}

var _ seri.Enqueuer = (*Client)(nil)

// New returns a client on rdb, which [OpenRedis] makes. The client repeats what may be repeated by itself: an rdb that was
// made otherwise needs the option MaxRetries: -1, or a lost reply of Redis makes a stored task look like a conflict.
func New(rdb redis.UniversalClient, config Config) *Client {
	carrier, wrong := store.ParseCarrier(config.Events)
	s := store.New(rdb, store.Config{MaxEvents: config.MaxEvents, Events: carrier})
	c := &Client{store: s, servers: newServers(s.Servers), carrier: carrier, batchers: make(map[keys.Queue]*batcher)}
	if c.partitions, c.fault = partition.New(config.Partitions); c.fault != nil {
		c.fault = fmt.Errorf("client: option Partitions: %w", c.fault)
	}
	if wrong != nil {
		c.fault = errors.Join(c.fault, fmt.Errorf("client: option Events: %w", wrong))
	}
	return c
}

// Enqueue stores one task; when it returns nil, Redis has it. Errors: what [seri.Message.Validate] finds,
// [seri.ErrConflict], [seri.ErrDuplicate], a [*seri.PartitionsError], or Redis' own. After an error of the network the task
// may have been stored: enqueue it again under the same ID, which is harmless as long as a task that has succeeded is kept
// (Retention). One that is not kept may have run and be gone by then, and would run again.
func (c *Client) Enqueue(ctx context.Context, m seri.Message) error {
	if err := m.Validate(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if err := c.ready(ctx, m.Queue); err != nil {
		return err
	}
	return c.batcher(c.partitions.Place(&m)).submit(ctx, m)
}

// EnqueueBatch stores many tasks, of any queues, in few round trips. The answer at i is about tasks[i]: nil if it is
// stored, otherwise as of [Client.Enqueue]. A task that is refused does not affect the others.
func (c *Client) EnqueueBatch(ctx context.Context, tasks []seri.Message) []error {
	errs := make([]error, len(tasks))
	byQueue, ready := make(map[keys.Queue][]int), make(map[string]error)
	for i := range tasks {
		if errs[i] = tasks[i].Validate(); errs[i] != nil {
			continue
		}
		err, asked := ready[tasks[i].Queue]
		if !asked {
			err = c.ready(ctx, tasks[i].Queue)
			ready[tasks[i].Queue] = err
		}
		if errs[i] = err; err == nil {
			q := c.partitions.Place(&tasks[i])
			byQueue[q] = append(byQueue[q], i)
		}
	}
	if len(byQueue) == 1 {
		for q, indexes := range byQueue {
			c.enqueueChunks(ctx, q, tasks, indexes, errs)
		}
		return errs
	}
	var calls sync.WaitGroup
	free := make(chan struct{}, batchCalls)
	for q, indexes := range byQueue { // side by side: they may lie on different nodes
		free <- struct{}{}
		calls.Go(func() {
			defer func() { <-free }()
			c.enqueueChunks(ctx, q, tasks, indexes, errs)
		})
	}
	calls.Wait()
	return errs
}

// batchCalls bounds the calls that one batch has on the way, so that its queues do not take all connections for themselves.
const batchCalls = 8

// enqueueChunks stores those of tasks that indexes name, all of one queue, and leaves the answers in errs at their places.
func (c *Client) enqueueChunks(ctx context.Context, q keys.Queue, tasks []seri.Message, indexes []int, errs []error) {
	for chunk := range slices.Chunk(indexes, store.MaxBatch) {
		messages := make([]seri.Message, len(chunk))
		for j, i := range chunk {
			messages[j] = tasks[i]
		}
		answers, err := c.enqueue(ctx, q, messages)
		for j, i := range chunk {
			if errs[i] = err; err == nil {
				errs[i] = answers[j]
			}
		}
	}
}

func (c *Client) batcher(q keys.Queue) *batcher {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.batchers[q]
	if b == nil {
		b = &batcher{max: store.MaxBatch, flush: func(ctx context.Context, tasks []seri.Message) ([]error, error) {
			return c.enqueue(ctx, q, tasks)
		}}
		c.batchers[q] = b
	}
	return b
}

// enqueue stores tasks of one queue, once more if the reply of the first try was lost: a conflict with the very task
// that was sent then means that it has been stored. A task that is not kept is not sent again: if it was stored, it may
// have succeeded and be gone by now, and would run once more.
func (c *Client) enqueue(ctx context.Context, q keys.Queue, tasks []seri.Message) ([]error, error) {
	errs, err := c.store.Enqueue(ctx, q, tasks)
	if err == nil || !lostReply(err) || ctx.Err() != nil {
		return errs, err
	}
	errs = make([]error, len(tasks))
	var again []seri.Message
	var places []int
	for i, t := range tasks {
		if errs[i] = err; t.Retention > 0 {
			again, places = append(again, t), append(places, i)
		}
	}
	if len(again) == 0 {
		return nil, err
	}
	answers, err := c.store.Enqueue(ctx, q, again)
	if err != nil {
		return nil, err
	}
	for j, i := range places {
		if errs[i] = answers[j]; errs[i] == nil {
			continue
		}
		same, err := c.store.Stored(ctx, q, tasks[i])
		if err != nil {
			return nil, fmt.Errorf("check whether task %s was stored: %w", tasks[i].ID, err)
		}
		if same {
			errs[i] = nil
		}
	}
	return errs, nil
}

// lostReply reports whether a command may have been carried out although it returned err.
func lostReply(err error) bool {
	_, network := errors.AsType[net.Error](err)
	return network || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}
