package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redisfault"
	"github.com/seri-queue/seri/internal/wire"
)

// recordFields are the fields of a task's hash that [record.info] reads, in its order.
var recordFields = []string{"msg", "state", "pending_since", "result", "seq", "enqueued", "started", "finished", "crashes",
	"progress", "owner", "expires", "reason", "attempt"}

// record is a task's hash, field by field as in recordFields; nil if absent.
type record []any

func (r record) text(i int) string {
	s, _ := r[i].(string)
	return s
}

func (r record) int(i int) int64 {
	n, _ := strconv.ParseInt(r.text(i), 10, 64) // absent, or foreign: zero
	return n
}

func (r record) millis(i int) time.Time {
	if ms := r.int(i); ms != 0 {
		return time.UnixMilli(ms)
	}
	return time.Time{}
}

// info makes the best of the record of task id: one whose message does not decode, as a foreign hand may leave it, still
// has its place among the others, and says what is wrong with it.
func (r record) info(q keys.Queue, id string) seri.Info {
	m, err := wire.DecodeMessage([]byte(r.text(0)))
	if err != nil {
		m = wire.Message{LastError: fmt.Sprintf("the task's record cannot be read: %v", err)}
	}
	info := seri.Info{
		ID: id, Type: m.Type, Queue: string(q), Owner: r.text(10), Payload: m.Payload, Headers: m.Headers,
		Attempt: max(m.Retried, int(r.int(13))), MaxRetries: m.MaxRetries, Crashes: int(r.int(8)),
		Timeout: time.Duration(m.Timeout) * time.Second, Retention: time.Duration(m.Retention) * time.Second,
		Expires: r.millis(11), Error: m.LastError, EnqueuedAt: r.millis(5), StartedAt: r.millis(6), Seq: uint64(r.int(4)),
	}
	if m.Deadline != 0 {
		info.Deadline = time.Unix(m.Deadline, 0)
	}
	if info.EnqueuedAt.IsZero() && r.int(2) != 0 {
		info.EnqueuedAt = time.UnixMilli(r.int(2) / int64(time.Millisecond)) // as exact as the other times, or it would seem later
	}
	if text := r.text(9); text != "" {
		var progress seri.ProgressInfo
		if err := json.Unmarshal([]byte(text), &progress); err == nil {
			info.Progress = &progress
		}
	}
	// The message counts the attempts that were followed by a retry. One that ended otherwise (for good, handed back, with
	// its worker) has left its number as attempt.
	info.State, info.Reason = stateOf(r.text(1), seri.Reason(r.text(12)))
	switch info.State {
	case seri.Active:
		info.Attempt = m.Retried + 1
	case seri.Succeeded:
		info.Attempt = m.Retried + 1
		info.Result = []byte(r.text(3))
		info.FinishedAt = r.millis(7)
		if info.FinishedAt.IsZero() && m.CompletedAt != 0 {
			info.FinishedAt = time.Unix(m.CompletedAt, 0)
		}
	case seri.Failed, seri.Revoked:
		info.FinishedAt = r.millis(7)
	}
	return info
}

// stateOf translates asynq's state, and drops a reason that belonged to an earlier one.
func stateOf(asynq string, reason seri.Reason) (seri.State, seri.Reason) {
	only := func(allowed ...seri.Reason) seri.Reason {
		if slices.Contains(allowed, reason) {
			return reason
		}
		return ""
	}
	switch asynq {
	case "scheduled":
		return seri.Scheduled, only(seri.ReasonNoWorker)
	case "pending":
		return seri.Pending, ""
	case "aggregating":
		return seri.Pending, seri.ReasonAggregating
	case "active":
		return seri.Active, ""
	case "retry":
		return seri.Retrying, only(seri.ReasonCrashed)
	case "completed":
		return seri.Succeeded, ""
	case "archived":
		if r := only(seri.ReasonRevoked, seri.ReasonExpired); r != "" {
			return seri.Revoked, r
		}
		if r := only(seri.ReasonExhausted, seri.ReasonPermanent, seri.ReasonPoison, seri.ReasonQuarantined); r != "" {
			return seri.Failed, r
		}
		return seri.Failed, seri.ReasonArchived // by an Inspector or a stock server
	}
	return seri.State(asynq), ""
}

// Infos reads tasks of one queue. IDs without a task are left out; the order is that of ids. A task whose message cannot
// be read is shown with what else is on record, and an Error that says so.
func (s *Store) Infos(ctx context.Context, q keys.Queue, ids ...string) ([]seri.Info, error) {
	pipe := s.rdb.Pipeline()
	records := make([]*redis.SliceCmd, len(ids))
	if len(ids) == 0 {
		return nil, nil
	}
	exact, scheduled, retrying := pipe.ZMScore(ctx, q.Due(), ids...), pipe.ZMScore(ctx, q.Scheduled(), ids...), pipe.ZMScore(ctx, q.Retry(), ids...)
	for i, id := range ids {
		records[i] = pipe.HMGet(ctx, q.Task(id), recordFields...)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("read tasks of queue %q: %w", q, redisfault.Mark(err))
	}
	infos := make([]seri.Info, 0, len(ids))
	for i, id := range ids {
		r := record(records[i].Val())
		if len(r) == 0 || r[0] == nil {
			continue
		}
		info := r.info(q, id)
		switch info.State {
		case seri.Scheduled:
			info.DueAt = dueAt(exact.Val()[i], scheduled.Val()[i])
		case seri.Retrying:
			info.DueAt = dueAt(exact.Val()[i], retrying.Val()[i])
		}
		infos = append(infos, info)
	}
	return infos, nil
}

// dueAt returns when a task is due that has these scores, 0 for none, in the due zset (Unix milliseconds) and in its
// container (Unix seconds, rounded up). The exact time counts only if it belongs to the container's: a stock program
// moves a task without knowing of it.
func dueAt(exact, score float64) time.Time {
	switch {
	case exact != 0 && math.Ceil(exact/1000) == score:
		return time.UnixMilli(int64(exact))
	case score != 0:
		return time.Unix(int64(score), 0)
	}
	return time.Time{}
}

// Info reads one task. [seri.ErrNotFound] if it is not there.
func (s *Store) Info(ctx context.Context, q keys.Queue, id string) (seri.Info, error) {
	infos, err := s.Infos(ctx, q, id)
	if err != nil {
		return seri.Info{}, err
	}
	if len(infos) == 0 {
		return seri.Info{}, fmt.Errorf("task %s in queue %q: %w", id, q, seri.ErrNotFound)
	}
	return infos[0], nil
}

// Stored reports whether the task on record under m's ID is m, as far as asynq's message tells: type, payload, headers,
// MaxRetries, Timeout, Retention, Deadline and the uniqueness lock. ETA, Expires and Owner are not compared, nor is what
// attempts have added since. A producer whose reply was lost learns from it that its own task is the one it conflicts with.
func (s *Store) Stored(ctx context.Context, q keys.Queue, m seri.Message) (bool, error) {
	encoded, err := s.rdb.HGet(ctx, q.Task(m.ID), "msg").Result()
	if errors.Is(err, redis.Nil) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read task %s of queue %q: %w", m.ID, q, redisfault.Mark(err))
	}
	sent := message(q, &m)
	onRecord, err := wire.DecodeMessage([]byte(encoded))
	if err != nil {
		return false, fmt.Errorf("read task %s of queue %q: %w", m.ID, q, err)
	}
	// What attempts have added since does not make it another task.
	onRecord.Retried, onRecord.LastError, onRecord.LastFailedAt, onRecord.CompletedAt = 0, "", 0, 0
	return bytes.Equal(sent.Encode(), onRecord.Encode()), nil
}
