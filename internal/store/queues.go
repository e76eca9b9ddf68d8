package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redisfault"
)

// QueueInfo is the state of a queue at one moment.
type QueueInfo struct {
	Name      string
	Paused    bool
	Scheduled int
	Pending   int
	Active    int
	Retrying  int
	Succeeded int
	Archived  int           // failed and revoked
	Latency   time.Duration // for which the oldest pending task has been waiting; 0: none is
	Processed int64         // attempts that ended, ever
	Failed    int64         // attempts that failed, ever
	Trimmed   int64         // archived tasks that were deleted because they were too old or too many, ever
	Repaired  int64         // faults of the queue's structure that were repaired, ever
	// Repairs are those faults by kind: docs/keys.md lists them. nil: there were none.
	Repairs map[string]int64
	// FenceAhead is by how much the last fencing token is ahead of Redis' clock, from which tokens are made; 0: it is not.
	FenceAhead time.Duration
	// Foreign names the live servers of stock asynq that consume the queue. While there is one, nothing is fenced on it. nil:
	// there is none, or they could not be looked for.
	// [Store.Queue] leaves it out: servers are looked for once for all queues, by [Store.Servers].
	Foreign []string
	// Unserved tells that no live worker, and no server of stock asynq, takes tasks out of the queue, or out of one of its
	// partitions: they wait for one. False too if servers could not be looked for, and from [Store.Queue].
	Unserved bool

	// Partitions are those of a queue that is divided, under their own names; above are their sums, and their greatest
	// latency. nil: it is not divided.
	Partitions []QueueInfo
}

// Queues returns the names of all queues, sorted.
func (s *Store) Queues(ctx context.Context) ([]keys.Queue, error) {
	names, err := s.rdb.SMembers(ctx, keys.Queues).Result()
	if err != nil {
		return nil, fmt.Errorf("list queues: %w", redisfault.Mark(err))
	}
	slices.Sort(names)
	queues := make([]keys.Queue, len(names))
	for i, name := range names {
		queues[i] = keys.Queue(name)
	}
	return queues, nil
}

// Queue reads one queue. [seri.ErrNotFound] if nothing was ever put into it.
func (s *Store) Queue(ctx context.Context, q keys.Queue) (QueueInfo, error) {
	if err := s.exists(ctx, q); err != nil {
		return QueueInfo{}, err
	}
	pipe := s.rdb.Pipeline()
	lengths := []*redis.IntCmd{
		pipe.ZCard(ctx, q.Scheduled()), pipe.LLen(ctx, q.Pending()), pipe.LLen(ctx, q.Active()),
		pipe.ZCard(ctx, q.Retry()), pipe.ZCard(ctx, q.Completed()), pipe.ZCard(ctx, q.Archived()),
		pipe.Exists(ctx, q.Paused()),
	}
	processed, failed, trimmed := pipe.Get(ctx, q.Processed()), pipe.Get(ctx, q.Failed()), pipe.Get(ctx, q.Trimmed())
	repairs, fence := pipe.HGetAll(ctx, q.Repairs()), pipe.Get(ctx, q.Fence())
	oldest := pipe.LIndex(ctx, q.Pending(), -1)
	clock := pipe.Time(ctx)
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return QueueInfo{}, fmt.Errorf("read queue %q: %w", q, redisfault.Mark(err))
	}
	info := QueueInfo{
		Name:      string(q),
		Scheduled: int(lengths[0].Val()), Pending: int(lengths[1].Val()), Active: int(lengths[2].Val()),
		Retrying: int(lengths[3].Val()), Succeeded: int(lengths[4].Val()), Archived: int(lengths[5].Val()),
		Paused: lengths[6].Val() == 1,
	}
	info.Processed, _ = strconv.ParseInt(processed.Val(), 10, 64) // absent: zero
	info.Failed, _ = strconv.ParseInt(failed.Val(), 10, 64)
	info.Trimmed, _ = strconv.ParseInt(trimmed.Val(), 10, 64)
	for kind, text := range repairs.Val() {
		n, _ := strconv.ParseInt(text, 10, 64) // a foreign hand's text counts for nothing
		if info.Repaired += n; info.Repairs == nil {
			info.Repairs = make(map[string]int64)
		}
		info.Repairs[kind] = n
	}
	if token, _ := strconv.ParseInt(fence.Val(), 10, 64); token > 0 {
		info.FenceAhead = max(time.UnixMicro(token).Sub(clock.Val()), 0)
	}
	if id := oldest.Val(); id != "" {
		since, err := s.rdb.HGet(ctx, q.Task(id), "pending_since").Int64()
		if err != nil && !errors.Is(err, redis.Nil) {
			return QueueInfo{}, fmt.Errorf("read queue %q: oldest task: %w", q, redisfault.Mark(err))
		}
		if since != 0 {
			info.Latency = max(clock.Val().Sub(time.Unix(0, since)), 0)
		}
	}
	return info, nil
}

// Resume lets workers take tasks out of q again. Resuming a queue that is not paused is no error.
// [seri.ErrNotFound] if there is no such queue.
func (s *Store) Resume(ctx context.Context, q keys.Queue) error {
	if err := s.exists(ctx, q); err != nil {
		return err
	}
	if err := s.rdb.Del(ctx, q.Paused()).Err(); err != nil {
		return fmt.Errorf("resume queue %q: %w", q, redisfault.Mark(err))
	}
	return nil
}

func (s *Store) exists(ctx context.Context, q keys.Queue) error {
	known, err := s.rdb.SIsMember(ctx, keys.Queues, string(q)).Result()
	if err != nil {
		return fmt.Errorf("read queue %q: %w", q, redisfault.Mark(err))
	}
	if !known {
		return fmt.Errorf("queue %q: %w", q, seri.ErrNotFound)
	}
	return nil
}

// containers maps a state to the key that holds its tasks, in the order that puts the next or newest task first.
var containers = map[seri.State]struct {
	key    func(keys.Queue) string
	list   bool
	newest bool // the highest score first
}{
	seri.Scheduled: {key: keys.Queue.Scheduled},
	seri.Pending:   {key: keys.Queue.Pending, list: true},
	seri.Active:    {key: keys.Queue.Active, list: true},
	seri.Retrying:  {key: keys.Queue.Retry},
	seri.Succeeded: {key: keys.Queue.Completed, newest: true},
	seri.Failed:    {key: keys.Queue.Archived, newest: true},
	seri.Revoked:   {key: keys.Queue.Archived, newest: true},
}

// Page returns up to limit tasks of q in a state, beginning at offset, and the offset of the next page, or -1 on the
// last one. Tasks that come and go between two calls shift the pages.
func (s *Store) Page(ctx context.Context, q keys.Queue, state seri.State, offset, limit int) (tasks []seri.Info, next int, err error) {
	found, next, err := s.Walk(ctx, q, state, offset, limit)
	for _, f := range found {
		tasks = append(tasks, f.Info)
	}
	return tasks, next, err
}

// Found is a task of a page.
type Found struct {
	seri.Info
	Next int // the offset behind it
}

// Walk is [Store.Page] for a caller who may not take the whole page.
func (s *Store) Walk(ctx context.Context, q keys.Queue, state seri.State, offset, limit int) (tasks []Found, next int, err error) {
	c, ok := containers[state]
	if !ok {
		return nil, -1, fmt.Errorf("state %q: must be one of %v", state, seri.States)
	}
	for len(tasks) < limit {
		ids, err := s.members(ctx, c.key(q), c.list, c.newest, offset, limit-len(tasks))
		if err != nil {
			return nil, -1, fmt.Errorf("list %s tasks of queue %q: %w", state, q, redisfault.Mark(err))
		}
		if len(ids) == 0 {
			return tasks, -1, nil
		}
		infos, err := s.Infos(ctx, q, ids...)
		if err != nil {
			return nil, -1, err
		}
		for i, id := range ids {
			if len(infos) == 0 || infos[0].ID != id {
				continue // gone
			}
			if infos[0].State == state { // failed and revoked tasks share a set; and a task may have moved on
				tasks = append(tasks, Found{infos[0], offset + i + 1})
			}
			infos = infos[1:]
		}
		offset += len(ids)
	}
	return tasks, offset, nil
}

func (s *Store) members(ctx context.Context, key string, list, newest bool, offset, n int) ([]string, error) {
	first, last := int64(offset), int64(offset+n-1)
	switch {
	case list: // the next one stands at the right end
		ids, err := s.rdb.LRange(ctx, key, -last-1, -first-1).Result()
		slices.Reverse(ids)
		return ids, err
	case newest:
		return s.rdb.ZRevRange(ctx, key, first, last).Result()
	default:
		return s.rdb.ZRange(ctx, key, first, last).Result()
	}
}

// Owned returns up to limit (at least 1) tasks of q that carry an owner's label, newest first; more tells that there are
// others. IDs whose task is gone do not count.
func (s *Store) Owned(ctx context.Context, q keys.Queue, owner string, limit int) (tasks []seri.Info, more bool, err error) {
	for offset := 0; len(tasks) <= limit; {
		ids, err := s.members(ctx, q.Owner(owner), false, true, offset, limit+1-len(tasks))
		if err != nil {
			return nil, false, fmt.Errorf("list tasks of owner %q in queue %q: %w", owner, q, redisfault.Mark(err))
		}
		if len(ids) == 0 {
			return tasks, false, nil
		}
		offset += len(ids)
		infos, err := s.Infos(ctx, q, ids...)
		if err != nil {
			return nil, false, err
		}
		tasks = append(tasks, infos...)
	}
	return tasks[:limit], true, nil
}
