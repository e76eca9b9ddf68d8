// Package seritest tests tasks and the code that enqueues them, without Redis.
//
// [Run] runs a handler once, as a worker would: arguments and result go through the real encoding, the context holds a
// [seri.Execution], a panic becomes a [*seri.PanicError]. A [Recorder] stands in for the client: it keeps what is
// enqueued, [Args] reads it back, and tickets can be waited for if the test says how the task ends.
//
// What a worker does around an attempt is not here: there are no retries, no leases, and progress is not throttled.
package seritest

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"testing"

	"github.com/seri-queue/seri"
)

// Run runs handler once on args, through the JSON that would travel, and returns its decoded result and its error.
// Without options it is the first attempt of a task that was enqueued with the task's own terms.
// Terms that are not valid, and arguments or results that cannot be encoded, are returned as errors too.
//
// What the handler writes to [seri.Log] stands in the test's output.
//
// The handler's context ends with the test, and with cause [seri.ErrTimeout] at the task's timeout or deadline.
func Run[A, R any](t testing.TB, task *seri.Task[A, R], handler func(context.Context, A) (R, error), args A, options ...Option) (R, error) {
	t.Helper()
	s := settings{t: t, ctx: t.Context(), attempt: 1, token: 1}
	for _, option := range options {
		option(&s)
	}

	var result R
	m, err := task.Message(args, s.terms...)
	if err != nil {
		return result, err
	}
	encoded, err := s.run(task.HandledBy(handler), m)
	if err != nil || len(encoded) == 0 {
		return result, err
	}
	if err := json.Unmarshal(encoded, &result); err != nil {
		return result, fmt.Errorf("decode result of %s: %w", task.Name(), err)
	}
	return result, nil
}

// Option changes the attempt that [Run] makes.
type Option func(*settings)

// With enqueues the task under other terms, as [seri.Task.Enqueue] would: seritest.With(seri.ID("t1"), seri.Owner("user:42")).
func With(terms ...seri.Option) Option {
	return func(s *settings) { s.terms = append(s.terms, terms...) }
}

// Context is the parent of the handler's context. Default: the test's.
func Context(ctx context.Context) Option { return func(s *settings) { s.ctx = ctx } }

// Attempt makes it the n-th attempt. Default: 1.
func Attempt(n int) Option { return func(s *settings) { s.attempt = n } }

// Token gives the attempt a fencing token. Default: 1.
func Token(token uint64) Option { return func(s *settings) { s.token = token } }

// Progress appends every progress report of the handler to reports, in order. It is complete when [Run] returns;
// what a goroutine that outlives the handler reports is dropped, as it would be by a worker.
func Progress(reports *[]seri.ProgressInfo) Option {
	return func(s *settings) { s.reports = reports }
}

type settings struct {
	t       testing.TB // nil: [seri.Log] is the default one
	ctx     context.Context
	terms   []seri.Option
	attempt int
	token   uint64
	reports *[]seri.ProgressInfo
}

// run makes one attempt at m with h.
func (s *settings) run(h seri.Handler, m seri.Message) (result []byte, err error) {
	ctx, cancel := context.WithTimeoutCause(s.ctx, m.Timeout, seri.ErrTimeout)
	defer cancel()
	if !m.Deadline.IsZero() {
		ctx, cancel = context.WithDeadlineCause(ctx, m.Deadline, seri.ErrTimeout)
		defer cancel()
	}

	log := progressLog{reports: s.reports}
	defer log.close()
	if s.t != nil {
		ctx = seri.WithLog(ctx, func() *slog.Logger { return slog.New(slog.NewTextHandler(s.t.Output(), nil)) })
	}
	ctx = seri.WithExecution(ctx, seri.Execution{
		ID: m.ID, Type: m.Type, Queue: m.Queue, Owner: m.Owner, Headers: m.Headers,
		Attempt: s.attempt, Token: s.token,
	}, log.add)

	defer func() {
		if v := recover(); v != nil {
			result, err = nil, &seri.PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return h.Run(ctx, m.Payload)
}

// progressLog collects reports, which may come from many goroutines, until it is closed.
type progressLog struct {
	mu      sync.Mutex
	reports *[]seri.ProgressInfo // nil: nobody wants them, any more
}

func (l *progressLog) add(p seri.ProgressInfo) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.reports != nil {
		*l.reports = append(*l.reports, p)
	}
}

func (l *progressLog) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reports = nil
}
