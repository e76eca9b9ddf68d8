package seri

import (
	"errors"
	"fmt"
	"time"
)

// Facts about a task that a caller may ask for with [errors.Is].
var (
	// ErrConflict: a task with this ID exists in the queue.
	ErrConflict = errors.New("a task with this id exists")
	// ErrDuplicate: an equal task holds the uniqueness lock.
	ErrDuplicate = errors.New("an equal task exists")
	// ErrNotFound: there is no such task, or no longer.
	ErrNotFound = errors.New("no such task")
	// ErrNotRevocable: the task has ended already.
	ErrNotRevocable = errors.New("the task has ended already")
)

// Faults of Redis, not of what was asked. All of them pass: ask again after a while, and not in step with others.
var (
	// ErrUnavailable: Redis cannot be reached, does not answer in time, or answers that it cannot serve now: it is
	// loading, fails over, moves a part of a cluster, or takes no writes. Whether a change was made is not known; a repeat
	// that names the task's ID finds out.
	ErrUnavailable = errors.New("redis is not available")
	// ErrMemoryFull: Redis has no memory left, and refused the call as a whole; nothing was written. What runs can finish,
	// and makes room. It is a kind of [ErrUnavailable].
	ErrMemoryFull = fmt.Errorf("%w: its memory is full", ErrUnavailable)
)

// ErrStuck: a worker has ended because every slot of it was held by a handler that ignores the end of its context.
// Only a new process can go on.
var ErrStuck = errors.New("every slot is held by a handler that ignores the end of its context")

// Causes with which a handler's context ends; ask with [context.Cause].
var (
	// ErrRevoked: somebody withdrew the task.
	ErrRevoked = errors.New("task revoked")
	// ErrLeaseLost: another worker may hold the task by now; nothing that this attempt still writes will be accepted.
	ErrLeaseLost = errors.New("lease lost")
	// ErrTimeout: the attempt took longer than the task's timeout, or the task's deadline has passed.
	ErrTimeout = errors.New("task timed out")
	// ErrStopping: the worker stops and its grace period is over; the task is handed back to its queue.
	ErrStopping = errors.New("worker is stopping")
)

// FencedError tells that a write was refused because its fencing token is not, or is no longer, the one on record.
// Nothing was written.
type FencedError struct {
	TaskID   string // empty: it was not about a task
	Resource string // what else the token is for, such as "lock nightly-report"
	Held     uint64 // the token that the caller held
	Seen     uint64 // the token on record; 0: the task or the lock is held by nobody, or gone
}

func (e *FencedError) Error() string {
	if e.Resource != "" {
		if e.Seen == 0 {
			return fmt.Sprintf("%s: token %d is no longer valid: nobody holds it", e.Resource, e.Held)
		}
		return fmt.Sprintf("%s: token %d is no longer valid: there is token %d", e.Resource, e.Held, e.Seen)
	}
	if e.Seen == 0 {
		return fmt.Sprintf("task %s: token %d is no longer valid: nobody holds the task", e.TaskID, e.Held)
	}
	return fmt.Sprintf("task %s: token %d is no longer valid: token %d holds the task", e.TaskID, e.Held, e.Seen)
}

// PartitionsError tells that a program divides a queue otherwise than the others on the same Redis: it would place tasks
// where nobody looks for them, or not look where they are.
type PartitionsError struct {
	Queue    string
	Declared int // by this program; 1: it does not divide the queue
	OnRecord int // in Redis, by the program that declared it first
}

func (e *PartitionsError) Error() string {
	return fmt.Sprintf("queue %q is divided into %d partitions, and this program declares %d: give all programs the same number (SERI_PARTITIONS=%s=%d); to change it, see \"seri partitions --help\"",
		e.Queue, e.OnRecord, e.Declared, e.Queue, e.OnRecord)
}

// PanicError is a handler's panic, turned into the error of its attempt.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// FailedError is what [Ticket.Wait] returns for a task that ended without a result.
type FailedError struct {
	TaskID  string
	State   State // [Failed] or [Revoked]
	Reason  Reason
	Message string // the last error's text; empty if there was none
}

func (e *FailedError) Error() string {
	text := fmt.Sprintf("task %s %s (%s)", e.TaskID, e.State, e.Reason)
	if e.Message != "" {
		text += ": " + e.Message
	}
	return text
}

// Is makes errors.Is(err, ErrRevoked) true for a task that was withdrawn.
func (e *FailedError) Is(target error) bool {
	return target == ErrRevoked && e.State == Revoked
}

// Permanent marks err as one that a further attempt would only repeat: the task fails at once.
// Permanent(nil) is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

// IsPermanent reports whether a handler's error, or one that it wraps, was marked by [Permanent].
func IsPermanent(err error) bool {
	_, ok := errors.AsType[*permanentError](err)
	return ok
}

type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

// RetryAfter asks for the next attempt no sooner than d from now, in place of the task's [RetryPolicy].
// It counts as a failed attempt. RetryAfter(nil, d) is nil.
func RetryAfter(err error, d time.Duration) error {
	if err == nil {
		return nil
	}
	return &retryAfterError{err, max(d, 0)}
}

// RetryDelay returns the delay that a handler's error, or one that it wraps, asks for by [RetryAfter].
func RetryDelay(err error) (d time.Duration, ok bool) {
	e, ok := errors.AsType[*retryAfterError](err)
	if !ok {
		return 0, false
	}
	return e.delay, true
}

type retryAfterError struct {
	err   error
	delay time.Duration
}

func (e *retryAfterError) Error() string { return e.err.Error() }
func (e *retryAfterError) Unwrap() error { return e.err }
