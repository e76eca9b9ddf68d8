package load

import (
	"context"
	"errors"
	"time"
)

// ErrNoBulk is what [System.EnqueueMany] answers where the system has no such call.
var ErrNoBulk = errors.New("the system has no call for many tasks")

// System is one of the systems that are compared, as a measured process sees it.
type System interface {
	Enqueue(ctx context.Context, t Task) error
	// EnqueueMany hands over tasks in as few calls as the system allows, or returns [ErrNoBulk].
	EnqueueMany(ctx context.Context, tasks []Task) error
	// Work runs handle for every task until ctx ends.
	Work(ctx context.Context, w Work, handle Handle) error
}

// Handle does the work of one task. The result is JSON, or nil for none.
type Handle func(ctx context.Context, payload []byte) (result []byte)

// Opener connects to a system.
type Opener func(ctx context.Context, spec Spec) (System, error)

// Task is a task in no system's words. Terms that are not named here are each system's own defaults.
type Task struct {
	Queue     string
	Payload   []byte
	Due       time.Time     // zero: at once
	Retention time.Duration // of the result; 0: the task is deleted when it has succeeded
}
