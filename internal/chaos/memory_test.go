package chaos_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/client"
)

// fullBacklog is how many tasks wait when memory is full.
const fullBacklog = 4000

// drainWithFullMemory is F10 by itself: a backlog waits, Redis has no memory left, and the workers work it off. Nothing new
// is taken in meanwhile, and no lease is lost.
func drainWithFullMemory(ctx context.Context, r *rig) error {
	rdb := r.primary().client()
	defer rdb.Close()
	queue := client.New(rdb, client.Config{MaxEvents: maxEvents})
	random := rand.New(rand.NewPCG(1, 1))
	for _, q := range r.queues {
		// A queue is there when its first task is.
		if err := within(5*time.Second, func(ctx context.Context) error { return queue.Pause(ctx, string(q)) }); err != nil {
			return err
		}
	}
	var backlog []seri.Message
	for i := range fullBacklog {
		m := message(random, instant, fmt.Sprintf("full-%d", i), string(r.queues[i%len(r.queues)]), r.lease)
		m.Retention = 0 // frees its memory when it has succeeded
		r.notes.note(noteTry, m.ID, 0, m.Type+" "+m.Queue)
		backlog = append(backlog, m)
	}
	for i, err := range queue.EnqueueBatch(ctx, backlog) {
		if err != nil {
			return err
		}
		r.notes.note(noteStored, backlog[i].ID, 0, "")
	}
	if err := rdb.ConfigSet(ctx, "maxmemory", "1mb").Err(); err != nil { // which is less than what is there
		return err
	}
	begun := time.Now()
	for _, q := range r.queues {
		if err := queue.Resume(ctx, string(q)); err != nil {
			return fmt.Errorf("resume a queue with a full memory: %w", err)
		}
	}
	kind, err := tryPost(queue, message(random, instant, "one-too-many", string(r.queues[0]), r.lease))
	if kind != noteRefused {
		return fmt.Errorf("a task was not refused although memory is full: %s, %w", kind, err)
	}
	if err := within(20*time.Second, func(ctx context.Context) error {
		left := int64(0)
		for _, q := range r.queues {
			n, err := rdb.LLen(ctx, q.Pending()).Result()
			if err != nil {
				return err
			}
			left += n
		}
		if left > 0 {
			return fmt.Errorf("I12: %d tasks still wait with a full memory", left)
		}
		return nil
	}); err != nil {
		return err
	}
	r.figures.FullDrain = fullBacklog / time.Since(begun).Seconds()
	info, err := rdb.Info(ctx, "memory").Result()
	if err != nil || !strings.Contains(info, "maxmemory:1048576\r\n") {
		return fmt.Errorf("memory was not full: %w", err)
	}
	r.nemesis.mu.Lock()
	r.nemesis.counts["memory-full"]++
	r.nemesis.mu.Unlock()
	return rdb.ConfigSet(ctx, "maxmemory", "0").Err()
}
