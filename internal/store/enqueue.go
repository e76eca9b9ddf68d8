package store

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/wire"
)

//go:embed enqueue.lua
var enqueueSource string

var enqueue = filling("enqueue", enqueueSource)

// terms are what enqueue.lua has to know of a task beyond its message.
type terms struct {
	Due     int64  `json:"due,omitempty"`     // Unix milliseconds
	Expires int64  `json:"expires,omitempty"` // Unix milliseconds
	Unique  int    `json:"unique,omitempty"`  // index of the uniqueness lock in KEYS
	TTL     int64  `json:"ttl,omitempty"`     // of that lock, seconds
	Owner   string `json:"owner,omitempty"`
	Owned   int    `json:"owned,omitempty"` // index of the owner's tasks in KEYS
}

func (t terms) encode() string {
	if t == (terms{}) {
		return ""
	}
	encoded, err := json.Marshal(t)
	if err != nil {
		panic(fmt.Sprintf("store: encode terms: %v", err)) // numbers and strings always encode
	}
	return string(encoded)
}

// Enqueue stores tasks of one queue, at most [MaxBatch]. The element of an accepted task is nil, otherwise
// [seri.ErrConflict] or [seri.ErrDuplicate]. The error is about the call as a whole; its outcome is then unknown
// unless Redis has refused it.
func (s *Store) Enqueue(ctx context.Context, q keys.Queue, tasks []seri.Message) ([]error, error) {
	if len(tasks) == 0 {
		return nil, nil
	}
	if len(tasks) > MaxBatch {
		return nil, fmt.Errorf("enqueue queue %q: %d tasks in one call, the limit is %d", q, len(tasks), MaxBatch)
	}
	if err := s.register(ctx, q); err != nil {
		return nil, err
	}
	if len(tasks) == 1 && plain(&tasks[0]) {
		refused, err := s.put(ctx, q, &tasks[0])
		return []error{refused}, err
	}

	names := make([]string, 0, 5+len(tasks))
	names = append(names, q.Pending(), q.Scheduled(), q.Due(), q.Events(), q.Wake())
	for i := range tasks {
		names = append(names, q.Task(tasks[i].ID))
	}
	args := make([]any, 0, 3+3*len(tasks))
	args = append(args, q.TaskPrefix(), s.config.MaxEvents, len(tasks))
	for i := range tasks {
		t := &tasks[i]
		var more terms
		more, names = termsOf(q, t, names)
		message := message(q, t)
		args = append(args, message.Encode(), wire.About(t.ID, t.Type, t.Owner), more.encode())
	}

	reply, err := s.run(ctx, enqueue, q, names, args...)
	if err != nil {
		return nil, err
	}
	values, ok := reply.([]any)
	if !ok || len(values) != len(tasks) {
		return nil, fmt.Errorf("enqueue queue %q: unexpected reply %v", q, reply)
	}
	errs := make([]error, len(tasks))
	for i, v := range values {
		switch v {
		case int64(0):
			errs[i] = seri.ErrConflict
		case int64(-1):
			errs[i] = seri.ErrDuplicate
		}
	}
	return errs, nil
}

// termsOf returns a task's terms, and names with the keys appended that they refer to.
func termsOf(q keys.Queue, t *seri.Message, names []string) (terms, []string) {
	var more terms
	if !t.ETA.IsZero() {
		more.Due = ceilMillis(t.ETA)
	}
	if !t.Expires.IsZero() {
		more.Expires = t.Expires.UnixMilli()
	}
	if t.UniqueFor > 0 {
		names = append(names, q.Unique(t.Type, t.Payload))
		more.Unique, more.TTL = len(names), ceilSeconds(t.UniqueFor)
	}
	if t.Owner != "" {
		names = append(names, q.Owner(t.Owner))
		more.Owner, more.Owned = t.Owner, len(names)
	}
	return more, names
}

// message returns the task in asynq's form.
func message(q keys.Queue, t *seri.Message) wire.Message {
	m := wire.Message{
		Type:       t.Type,
		Payload:    t.Payload,
		ID:         t.ID,
		Queue:      string(q),
		MaxRetries: t.MaxRetries,
		Timeout:    ceilSeconds(t.Timeout),
		Retention:  ceilSeconds(t.Retention),
		Headers:    t.Headers,
	}
	if !t.Deadline.IsZero() {
		m.Deadline = t.Deadline.Unix()
	}
	if t.UniqueFor > 0 {
		m.UniqueKey = q.Unique(t.Type, t.Payload)
	}
	return m
}

func ceilSeconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

func ceilMillis(t time.Time) int64 {
	ms := t.UnixMilli()
	if t.After(time.UnixMilli(ms)) {
		ms++
	}
	return ms
}
