package seri

import (
	"context"
	"encoding/json"
	"fmt"
)

// Enqueuer is where tasks are handed over. Package client has the one on Redis, package seritest one that records.
type Enqueuer interface {
	// Enqueue hands one task over; when it returns nil, the task is stored.
	Enqueue(ctx context.Context, m Message) error
	Waiter
}

// Waiter waits for a task to end.
type Waiter interface {
	// Wait returns the task once its state is terminal. [ErrNotFound] if it is not there, or no longer.
	Wait(ctx context.Context, queue, id string) (Info, error)
}

// Ticket is the claim to a task's result.
type Ticket[R any] struct {
	ID    string
	Queue string

	waiter Waiter
}

// Wait blocks until the task has ended and returns its result.
// A task that ended without one gives a [*FailedError].
func (t *Ticket[R]) Wait(ctx context.Context) (R, error) {
	var result R
	info, err := t.waiter.Wait(ctx, t.Queue, t.ID)
	if err != nil {
		return result, fmt.Errorf("wait for task %s: %w", t.ID, err)
	}
	if info.State != Succeeded {
		return result, &FailedError{TaskID: t.ID, State: info.State, Reason: info.Reason, Message: info.Error}
	}
	if len(info.Result) == 0 {
		return result, nil
	}
	if err := json.Unmarshal(info.Result, &result); err != nil {
		return result, fmt.Errorf("decode result of task %s: %w", t.ID, err)
	}
	return result, nil
}
