package client

import (
	"context"
	"slices"

	"github.com/seri-queue/seri/internal/store"
	"github.com/seri-queue/seri/internal/wire"
)

// TaskLog is a task's own log: what its attempts have written to [seri.Log].
type TaskLog = wire.TaskLog

// LogLine is a line of a [TaskLog].
type LogLine = wire.LogLine

// LogPlace is where in CloudWatch lines are that are not in a [TaskLog] itself.
type LogPlace = wire.LogPlace

// Log returns a task's own log, the oldest line first. [seri.ErrNotFound] if there is no such task, or no longer. It is
// empty for a task that has logged nothing, or has been silent for a day and longer than it is retained. Lines stand there
// a quarter of a second after they were written, usually.
func (c *Client) Log(ctx context.Context, queue, id string) (TaskLog, error) {
	q, err := c.locate(ctx, queue, id)
	if err != nil {
		return TaskLog{}, err
	}
	info, err := c.store.Info(ctx, q, id)
	if err != nil {
		return TaskLog{}, err
	}
	text, err := c.store.ReadLog(ctx, q, id)
	if err != nil {
		return TaskLog{}, err
	}
	// A task that is gone may have left its log to another with the same ID. Tokens are times by the clock that has said
	// when this one was enqueued, or later.
	begun := uint64(max(info.EnqueuedAt.UnixMicro(), 0))
	log := wire.ParseTaskLog(text).Since(begun)
	slices.SortStableFunc(log.Lines, func(a, b LogLine) int { return a.Time.Compare(b.Time) }) // the last lines of an attempt may come after the first of the next
	return log, nil
}

// LogTail reads a task's own log as it grows. Make it with [Client.TailLog].
type LogTail struct {
	tail  *store.LogTail
	begun uint64
}

// TailLog returns a reader of a task's own log. [seri.ErrNotFound] if there is no such task, or no longer.
func (c *Client) TailLog(ctx context.Context, queue, id string) (*LogTail, error) {
	q, err := c.locate(ctx, queue, id)
	if err != nil {
		return nil, err
	}
	info, err := c.store.Info(ctx, q, id)
	if err != nil {
		return nil, err
	}
	return &LogTail{c.store.TailLog(q, id), uint64(max(info.EnqueuedAt.UnixMicro(), 0))}, nil
}

// Next returns what has come since the last call, and does not wait: an empty log if nothing has. whole: it is all that is
// kept, and what was read before is to be forgotten. So it is at first, and when the log was cut so far that lines are
// missing in between.
func (t *LogTail) Next(ctx context.Context) (log TaskLog, whole bool, err error) {
	text, whole, err := t.tail.Next(ctx)
	if err != nil {
		return TaskLog{}, false, err
	}
	return wire.ParseTaskLog(text).Since(t.begun), whole, nil
}
