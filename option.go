package seri

import (
	"errors"
	"fmt"
	"maps"
	"time"
)

// Option changes the terms of a task: of every task of a type when given to [NewTask],
// of a single one when given to [Task.Enqueue]. The later one wins.
type Option func(*settings)

// Queue puts the task into the named queue. Default: [DefaultQueue].
func Queue(name string) Option { return func(s *settings) { s.message.Queue = name } }

// ID names the task, so that enqueueing it twice is refused with [ErrConflict] while the first one exists.
// Default: [NewID].
func ID(id string) Option { return func(s *settings) { s.message.ID = id } }

// MaxRetries limits how often a failed attempt is repeated. Default: [DefaultMaxRetries]. 0: never.
func MaxRetries(n int) Option { return func(s *settings) { s.message.MaxRetries = n } }

// Timeout limits one attempt. Kept in whole seconds, rounded up. Default: [DefaultTimeout].
func Timeout(d time.Duration) Option { return func(s *settings) { s.message.Timeout = d } }

// Deadline limits the task as a whole: no attempt outlives it. Kept in whole seconds. Default: none.
func Deadline(t time.Time) Option { return func(s *settings) { s.message.Deadline = t } }

// ETA delays the start until t. Never early; exact to the millisecond. Default: at once.
func ETA(t time.Time) Option { return func(s *settings) { s.message.ETA = t } }

// Delay delays the start by d from now.
func Delay(d time.Duration) Option { return func(s *settings) { s.message.ETA = time.Now().Add(d) } }

// Expires revokes the task if it has not started by t. Default: never.
func Expires(t time.Time) Option { return func(s *settings) { s.message.Expires = t } }

// Retention keeps the result for d after the task has succeeded. Kept in whole seconds, rounded up.
// Default: [DefaultRetention]. 0: the task is deleted as soon as it has succeeded.
func Retention(d time.Duration) Option { return func(s *settings) { s.message.Retention = d } }

// UniqueFor refuses an equal task (same type, payload and queue) with [ErrDuplicate] for d, or until this one has succeeded;
// while this one runs, also for longer. Kept in whole seconds, rounded up. Default: no such rule.
func UniqueFor(d time.Duration) Option { return func(s *settings) { s.message.UniqueFor = d } }

// Owner labels the task, for example "user:42", so that everything of one owner can be watched. Default: none.
func Owner(label string) Option { return func(s *settings) { s.message.Owner = label } }

// PartitionKey chooses the partition of a queue that is divided: tasks with the same key, such as "user:42", go to the same
// one. Without effect in a queue that is not. Default: the task's ID, or with [UniqueFor] its type and payload.
func PartitionKey(key string) Option { return func(s *settings) { s.message.PartitionKey = key } }

// Header adds a header, which the handler finds in its [Execution]. Default: none.
func Header(key, value string) Option {
	return func(s *settings) {
		headers := maps.Clone(s.message.Headers) // options of a task are applied many times; the map must not be shared
		if headers == nil {
			headers = make(map[string]string)
		}
		headers[key] = value
		s.message.Headers = headers
	}
}

// Retry sets how long to wait before the next attempt. It belongs to [NewTask]. Default: [DefaultRetry].
func Retry(policy RetryPolicy) Option { return func(s *settings) { s.retry = policy } }

// settings is what options work on.
type settings struct {
	message Message
	retry   RetryPolicy
	faults  []error
}

func defaultSettings(typ string) settings {
	return settings{message: Message{
		Type:       typ,
		Queue:      DefaultQueue,
		MaxRetries: DefaultMaxRetries,
		Timeout:    DefaultTimeout,
		Retention:  DefaultRetention,
	}}
}

func (s *settings) apply(options []Option) {
	for _, option := range options {
		option(s)
	}
}

func (s *settings) fault(format string, args ...any) {
	s.faults = append(s.faults, fmt.Errorf(format, args...))
}

func (s *settings) finish() (Message, error) {
	m := s.message
	if m.ID == "" {
		m.ID = NewID()
	}
	if m.Timeout == 0 {
		m.Timeout = DefaultTimeout
	}
	if err := errors.Join(append(s.faults, m.Validate())...); err != nil {
		return Message{}, fmt.Errorf("task %s: %w", m.Type, err)
	}
	return m, nil
}
