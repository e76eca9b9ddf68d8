package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redisfault"
)

// Locate returns the first of queues that has a task under id, in one pipeline. [seri.ErrNotFound] if none has.
func (s *Store) Locate(ctx context.Context, queues []keys.Queue, id string) (keys.Queue, error) {
	pipe := s.rdb.Pipeline()
	found := make([]*redis.IntCmd, len(queues))
	for i, q := range queues {
		found[i] = pipe.Exists(ctx, q.Task(id))
	}
	if len(queues) > 0 {
		if _, err := pipe.Exec(ctx); err != nil {
			return "", fmt.Errorf("look for task %s: %w", id, redisfault.Mark(err))
		}
	}
	for i, q := range queues {
		if found[i].Val() == 1 {
			return q, nil
		}
	}
	return "", fmt.Errorf("task %s: %w", id, seri.ErrNotFound)
}

// PauseAll is [Store.Pause] for the partitions of a queue, of which at least one must exist; the others, too, are paused
// before they have their first task. After an error some may be paused: repeat it.
func (s *Store) PauseAll(ctx context.Context, queues []keys.Queue) error {
	missing, err := s.unregistered(ctx, queues)
	if err != nil {
		return err
	}
	for _, q := range queues { // first: a full Redis lets queues be paused, but takes no names
		if _, err := s.run(ctx, pause, q, []string{q.Paused()}); err != nil {
			return err
		}
	}
	if len(missing) == 0 {
		return nil
	}
	if err := s.rdb.SAdd(ctx, keys.Queues, missing...).Err(); err != nil {
		return fmt.Errorf("register the partitions of queue %q: %w", queues[0], redisfault.Mark(err))
	}
	return nil
}

// ResumeAll is [Store.Resume] for the partitions of a queue, of which at least one must exist. After an error some may be
// paused still: repeat it.
func (s *Store) ResumeAll(ctx context.Context, queues []keys.Queue) error {
	if _, err := s.unregistered(ctx, queues); err != nil {
		return err
	}
	pipe := s.rdb.Pipeline()
	for _, q := range queues {
		pipe.Del(ctx, q.Paused())
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("resume queue %q: %w", queues[0], redisfault.Mark(err))
	}
	return nil
}

// unregistered returns the names of those of queues that do not exist yet; [seri.ErrNotFound] if that is all of them.
func (s *Store) unregistered(ctx context.Context, queues []keys.Queue) (missing []any, err error) {
	names := make([]any, len(queues))
	for i, q := range queues {
		names[i] = string(q)
	}
	known, err := s.rdb.SMIsMember(ctx, keys.Queues, names...).Result()
	if err != nil {
		return nil, fmt.Errorf("read queue %q: %w", queues[0], redisfault.Mark(err))
	}
	if !slices.Contains(known, true) {
		return nil, fmt.Errorf("queue %q: %w", queues[0], seri.ErrNotFound)
	}
	for i, name := range names {
		if !known[i] {
			missing = append(missing, name)
		}
	}
	return missing, nil
}
