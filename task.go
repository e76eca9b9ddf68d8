package seri

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
)

// Task is a type of task: a name, the type of its arguments, the type of its result, and its terms.
// Declare one per kind of work, beside the types, in a package that producers can import without the worker's
// dependencies. A Task is immutable and safe for concurrent use.
type Task[A, R any] struct {
	name    string
	options []Option
}

// None is the result of a task that has nothing to tell but that it succeeded.
type None = struct{}

// NewTask declares a task. The name is its type in Redis and must never be reused for another meaning.
// The options are the task's terms unless [Task.Enqueue] overrides them.
// It panics if they are not valid, since they are known when the program is written.
func NewTask[A, R any](name string, options ...Option) *Task[A, R] {
	s := defaultSettings(name)
	s.apply(options)
	if _, err := s.finish(); err != nil {
		panic("seri: NewTask: " + err.Error())
	}
	return &Task[A, R]{name: name, options: options}
}

// Name returns the task's type as it stands in Redis.
func (t *Task[A, R]) Name() string { return t.name }

// Message encodes args as JSON and returns the task, ready to be enqueued.
func (t *Task[A, R]) Message(args A, options ...Option) (Message, error) {
	payload, err := json.Marshal(args)
	if err != nil {
		return Message{}, fmt.Errorf("task %s: encode arguments: %w", t.name, err)
	}
	s := defaultSettings(t.name)
	s.apply(t.options)
	s.retry = nil // the worker's affair
	s.apply(options)
	if s.retry != nil {
		s.fault("option Retry belongs to NewTask: the policy is the worker's, not the message's")
	}
	s.message.Payload = payload
	return s.finish()
}

// Enqueue hands a task over to queue and returns a ticket for its result.
// Errors: [ErrConflict] if the ID exists, [ErrDuplicate] if an equal task is there and the task is unique,
// or what the queue says.
func (t *Task[A, R]) Enqueue(ctx context.Context, queue Enqueuer, args A, options ...Option) (*Ticket[R], error) {
	m, err := t.Message(args, options...)
	if err != nil {
		return nil, err
	}
	if err := queue.Enqueue(ctx, m); err != nil {
		return nil, fmt.Errorf("enqueue %s: %w", t.name, err)
	}
	return &Ticket[R]{ID: m.ID, Queue: m.Queue, waiter: queue}, nil
}

// HandledBy binds the task to the function that does the work, for a worker's list of handlers.
// Arguments that do not decode fail the task for good: another attempt would read the same bytes.
func (t *Task[A, R]) HandledBy(do func(context.Context, A) (R, error)) Handler {
	s := defaultSettings(t.name)
	s.apply(t.options)
	terms := s.message
	return Handler{
		Type:   t.name,
		Terms:  &terms,
		Args:   reflect.TypeFor[A](),
		Result: reflect.TypeFor[R](),
		Retry:  s.retry,
		Run: func(ctx context.Context, payload []byte) ([]byte, error) {
			var args A
			if err := json.Unmarshal(payload, &args); err != nil {
				return nil, Permanent(fmt.Errorf("decode arguments of %s: %w", t.name, err))
			}
			result, err := do(ctx, args)
			if err != nil {
				return nil, err
			}
			encoded, err := json.Marshal(result)
			if err != nil {
				return nil, Permanent(fmt.Errorf("encode result of %s: %w", t.name, err))
			}
			return encoded, nil
		},
	}
}

// Handler is one line of a worker's table of contents: a type of task, and what runs it. Make it with [Task.HandledBy].
type Handler struct {
	Type string
	// Args and Result are the Go types whose JSON travels, for the published schema. nil: any JSON.
	Args, Result reflect.Type
	// Terms are the type's own terms, which workers publish so that producers in any language keep them. Of the message
	// only Queue, MaxRetries, Timeout, Retention and UniqueFor count. nil: the defaults.
	Terms *Message
	// Retry says when to try again. nil: [DefaultRetry].
	Retry RetryPolicy
	// Run does the work. The result is JSON, or nil for none. A panic counts as an error.
	Run func(ctx context.Context, payload []byte) (result []byte, err error)
}
