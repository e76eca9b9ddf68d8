package seri

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// The defaults of a task, and the limits that every producer keeps.
const (
	DefaultQueue      = "default"
	DefaultMaxRetries = 25               // as asynq
	DefaultTimeout    = 30 * time.Minute // as asynq
	DefaultRetention  = 24 * time.Hour

	MaxPayloadBytes = 256 << 10
	MaxHeaderBytes  = 16 << 10
	MaxNameBytes    = 256 // of an ID, a type, a queue, an owner, a partition key
)

// Message is a task on its way to a queue: what to run, with which bytes, and under which terms.
// Make one with [NewMessage] or [Task.Message], which fill in the defaults; the zero value is not valid.
type Message struct {
	ID      string // unique in its queue
	Type    string
	Queue   string
	Payload []byte
	Headers map[string]string

	MaxRetries int           // how often a failed attempt is repeated; 0: never
	Timeout    time.Duration // of one attempt, kept in whole seconds, rounded up; 0: [DefaultTimeout]
	Deadline   time.Time     // of the task as a whole, kept in whole seconds; zero: none
	ETA        time.Time     // earliest start, exact to the millisecond; zero: now
	Expires    time.Time     // a task that has not started by then is revoked; zero: never
	Retention  time.Duration // how long the result is kept, in whole seconds, rounded up; 0: the task is deleted at once
	UniqueFor  time.Duration // refuse an equal task (type, payload, queue) for this long, or until this one has succeeded; 0: no such rule
	Owner      string        // a label such as "user:42" by which tasks can be watched; empty: none

	// PartitionKey chooses the partition of a queue that is divided: tasks with the same key go to the same one. Empty: the
	// ID does, or, with UniqueFor, type and payload. It is not kept with the task, and nothing in a queue that is not divided.
	PartitionKey string
}

// NewMessage returns a task of the named type with the defaults and then the options applied, and with
// a random ID unless an option sets one. The error lists every fault of the result.
func NewMessage(typ string, payload []byte, options ...Option) (Message, error) {
	s := defaultSettings(typ)
	s.apply(options)
	if s.retry != nil {
		s.fault("option Retry belongs to NewTask: the policy is the worker's, not the message's")
	}
	s.message.Payload = payload
	return s.finish()
}

// Validate reports everything that is wrong with m, joined; nil if nothing is.
func (m *Message) Validate() error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	for _, name := range []struct{ field, value string }{{"id", m.ID}, {"type", m.Type}, {"queue", m.Queue}} {
		if strings.TrimSpace(name.value) == "" {
			fault("%s is empty", name.field)
		} else if err := checkName(name.value); err != nil {
			fault("%s %w", name.field, err)
		}
	}
	if strings.ContainsAny(m.Queue, "{}") {
		fault("queue %q contains a brace, which would break its hash tag in Redis", m.Queue)
	}
	if err := checkName(m.Owner); err != nil {
		fault("owner %w", err)
	}
	if err := checkName(m.PartitionKey); err != nil {
		fault("partition_key %w", err)
	}
	if len(m.Payload) > MaxPayloadBytes {
		fault("payload has %d bytes, the limit is %d; store large data elsewhere and pass a reference", len(m.Payload), MaxPayloadBytes)
	}
	headerBytes := 0
	for k, v := range m.Headers {
		headerBytes += len(k) + len(v)
		if strings.TrimSpace(k) == "" {
			fault("header %q has no name", k)
		} else if strings.ContainsFunc(k, unicode.IsControl) {
			fault("header %q has a control character in its name", k)
		}
		if !utf8.ValidString(k) || !utf8.ValidString(v) {
			fault("header %q is not valid UTF-8", k)
		}
	}
	if headerBytes > MaxHeaderBytes {
		fault("headers have %d bytes, the limit is %d", headerBytes, MaxHeaderBytes)
	}
	if m.MaxRetries < 0 || m.MaxRetries > 1<<31-1 {
		fault("max_retries is %d, must be between 0 and 2147483647", m.MaxRetries)
	}
	for _, d := range []struct {
		field string
		value time.Duration
	}{{"timeout", m.Timeout}, {"retention", m.Retention}, {"unique_for", m.UniqueFor}} {
		if d.value < 0 {
			fault("%s is %v, must not be negative", d.field, d.value)
		}
	}
	if !m.Expires.IsZero() && !m.ETA.IsZero() && !m.ETA.Before(m.Expires) {
		fault("expires %s is not after eta %s, so the task could never start", m.Expires.Format(time.RFC3339Nano), m.ETA.Format(time.RFC3339Nano))
	}
	return errors.Join(errs...)
}

// NewID returns a random task ID of 26 characters that carries at least 128 bits of randomness.
func NewID() string { return rand.Text() }

func checkName(s string) error {
	switch {
	case len(s) > MaxNameBytes:
		return fmt.Errorf("has %d bytes, the limit is %d", len(s), MaxNameBytes)
	case !utf8.ValidString(s):
		return fmt.Errorf("%q is not valid UTF-8", s)
	case strings.ContainsFunc(s, unicode.IsControl):
		return fmt.Errorf("%q contains a control character", s)
	}
	return nil
}
