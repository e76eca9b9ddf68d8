package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/store"
)

// QueueInfo is the state of a queue at one moment.
type QueueInfo = store.QueueInfo

// MaxPage is the most tasks that [Client.Page] returns at once.
const MaxPage = 1000

// Task returns what is on record about a task. [seri.ErrNotFound] if it is not there, or no longer.
func (c *Client) Task(ctx context.Context, queue, id string) (seri.Info, error) {
	q, err := c.locate(ctx, queue, id)
	if err != nil {
		return seri.Info{}, err
	}
	info, err := c.store.Info(ctx, q, id)
	return c.shown(info), err
}

// Find looks for a task in every queue, in the order of their names. [seri.ErrNotFound] if none has it.
func (c *Client) Find(ctx context.Context, id string) (seri.Info, error) {
	queues, err := c.store.Queues(ctx)
	if err != nil {
		return seri.Info{}, err
	}
	q, err := c.store.Locate(ctx, queues, id)
	if err != nil {
		return seri.Info{}, err
	}
	info, err := c.store.Info(ctx, q, id)
	return c.shown(info), err
}

// TasksByID returns what is on record about tasks of a queue or, if queue is "", of the first queue, by name, that has each.
// IDs that are not there, or no longer, are left out; the order is that of ids. Of a queue that is not divided, all are read at once.
func (c *Client) TasksByID(ctx context.Context, queue string, ids ...string) ([]seri.Info, error) {
	queues := c.partitions.Of(queue)
	if queue == "" {
		var err error
		if queues, err = c.store.Queues(ctx); err != nil {
			return nil, err
		}
	}
	found := make(map[string]seri.Info, len(ids))
	for left := ids; len(queues) > 0 && len(left) > 0; queues = queues[1:] {
		infos, err := c.store.Infos(ctx, queues[0], left...)
		if err != nil {
			return nil, err
		}
		for _, info := range infos {
			found[info.ID] = c.shown(info)
		}
		left = slices.DeleteFunc(slices.Clone(left), func(id string) bool { _, ok := found[id]; return ok })
	}
	tasks := make([]seri.Info, 0, len(found))
	for _, id := range ids {
		if info, ok := found[id]; ok {
			tasks = append(tasks, info)
			delete(found, id) // given twice, it is returned once
		}
	}
	return tasks, nil
}

// Queues returns every queue, by name. As for [Client.Queue], Foreign and Unserved may be some seconds old.
func (c *Client) Queues(ctx context.Context) ([]QueueInfo, error) {
	names, err := c.store.Queues(ctx)
	if err != nil {
		return nil, err
	}
	queues, seen := make([]QueueInfo, 0, len(names)), make(map[string]bool)
	for _, q := range names {
		name := c.partitions.Find(q).Queue
		if seen[name] {
			continue
		}
		seen[name] = true
		info, err := c.queue(ctx, name)
		if errors.Is(err, seri.ErrNotFound) {
			continue // deleted since
		}
		if err != nil {
			return nil, err
		}
		c.servers.tell(ctx, &info)
		queues = append(queues, info)
	}
	return queues, nil
}

// Queue returns one queue. [seri.ErrNotFound] if nothing was ever put into it. Foreign and Unserved are up to 5 s old, and say
// nothing if the servers could not be looked for: their records lie on all nodes of a cluster, the queue on one.
func (c *Client) Queue(ctx context.Context, name string) (QueueInfo, error) {
	info, err := c.queue(ctx, name)
	if err != nil {
		return QueueInfo{}, err
	}
	c.servers.tell(ctx, &info)
	return info, nil
}

// Page returns up to limit (at most [MaxPage]) tasks of a queue in one state: those that wait with the next one first,
// those that have ended with the newest first. cursor is "" for the first page and then what the last call returned;
// next is "" on the last page. Tasks that come and go meanwhile shift the pages. [ErrCursor] refuses any other cursor.
func (c *Client) Page(ctx context.Context, queue string, state seri.State, cursor string, limit int) (tasks []seri.Info, next string, err error) {
	if limit < 1 || limit > MaxPage {
		return nil, "", fmt.Errorf("limit %d: must be between 1 and %d", limit, MaxPage)
	}
	if !slices.Contains(seri.States, state) {
		return nil, "", fmt.Errorf("state %q: must be one of %v", state, seri.States)
	}
	return c.page(ctx, c.partitions.Of(queue), state, cursor, limit)
}

// Tasks iterates over all tasks of a queue in one state, as [Client.Page] orders them. It ends with the first error.
func (c *Client) Tasks(ctx context.Context, queue string, state seri.State) iter.Seq2[seri.Info, error] {
	return func(yield func(seri.Info, error) bool) {
		for cursor := ""; ; {
			tasks, next, err := c.Page(ctx, queue, state, cursor, 100)
			if err != nil {
				yield(seri.Info{}, err)
				return
			}
			for _, info := range tasks {
				if !yield(info, nil) {
					return
				}
			}
			if next == "" {
				return
			}
			cursor = next
		}
	}
}

// Owned returns up to limit (at least 1) of the newest tasks that carry an owner's label, of one queue or, if queue is "",
// of all; more tells that there are others. Of each queue, the newest 1,000 tasks of an owner are known by the label.
func (c *Client) Owned(ctx context.Context, queue, owner string, limit int) (tasks []seri.Info, more bool, err error) {
	queues := c.partitions.Of(queue)
	if queue == "" {
		if queues, err = c.store.Queues(ctx); err != nil {
			return nil, false, err
		}
	}
	for _, q := range queues {
		some, others, err := c.store.Owned(ctx, q, owner, limit)
		if err != nil {
			return nil, false, err
		}
		for _, info := range some {
			tasks = append(tasks, c.shown(info))
		}
		more = more || others
	}
	slices.SortStableFunc(tasks, func(a, b seri.Info) int { return b.EnqueuedAt.Compare(a.EnqueuedAt) })
	return tasks[:min(len(tasks), limit)], more || len(tasks) > limit, nil
}

// Pause stops workers from taking tasks out of a queue; those that run go on. [seri.ErrNotFound] if there is no such queue.
func (c *Client) Pause(ctx context.Context, queue string) error {
	if partitions := c.partitions.Of(queue); len(partitions) > 1 {
		return c.store.PauseAll(ctx, partitions)
	}
	return c.store.Pause(ctx, keys.Queue(queue))
}

// Resume ends a pause. [seri.ErrNotFound] if there is no such queue.
func (c *Client) Resume(ctx context.Context, queue string) error {
	if partitions := c.partitions.Of(queue); len(partitions) > 1 {
		return c.store.ResumeAll(ctx, partitions)
	}
	return c.store.Resume(ctx, keys.Queue(queue))
}

// TypeInfo is a type of task that live workers can run.
type TypeInfo struct {
	Name    string
	Args    json.RawMessage // JSON Schema of the payload; nil: any
	Result  json.RawMessage // JSON Schema of the result; nil: any
	Queues  []string        // from which live workers take it
	Workers int             // how many processes can run it

	// Terms are the type's own terms, of which a producer may set others. Only Queue, MaxRetries, Timeout, Retention and
	// UniqueFor are set.
	Terms seri.Message
}

// TypeOf describes the type that a handler runs as a worker publishes it, but for the schemas.
func TypeOf(h *seri.Handler) TypeInfo {
	return TypeInfo{Name: h.Type, Terms: store.TermsOf(h).Message()}
}

// Types returns what live workers have published, by name. Where workers differ about a schema, as they may during a
// deployment, that of the worker whose name sorts last is shown.
func (c *Client) Types(ctx context.Context) ([]TypeInfo, error) {
	published, err := c.store.Types(ctx)
	if err != nil {
		return nil, err
	}
	byName := make(map[string]*TypeInfo)
	for _, worker := range slices.Sorted(maps.Keys(published)) {
		for _, t := range published[worker] {
			info := byName[t.Name]
			if info == nil {
				info = &TypeInfo{Name: t.Name}
				byName[t.Name] = info
			}
			info.Args, info.Result, info.Terms = t.Args, t.Result, t.Terms.Message()
			for _, q := range t.Queues {
				info.Queues = append(info.Queues, c.partitions.Find(keys.Queue(q)).Queue)
			}
			info.Workers++
		}
	}
	types := make([]TypeInfo, 0, len(byName))
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		info := byName[name]
		slices.Sort(info.Queues)
		info.Queues = slices.Compact(info.Queues)
		types = append(types, *info)
	}
	return types, nil
}
