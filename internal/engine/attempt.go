package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/meter"
	"github.com/seri-queue/seri/internal/store"
)

// attempt is one lease, from the fetcher to the completer.
type attempt struct {
	lease   store.Lease
	handler *seri.Handler // nil: none
	meter   *meter.Type   // nil: nobody counts
	started time.Time     // zero until a slot runs it
	slot    string        // which one: see [slotLabel]
	stuck   bool          // its handler was given up; for the slots, under their lock

	ctx    context.Context
	cancel context.CancelCauseFunc

	registry *registry
	place    int          // in the registry, which alone uses it
	end      moment       // when its time is up, which the registry alone uses; 0: it has not begun
	provable atomic.Int64 // the moment until which the lease is certainly alive
	settled  atomic.Bool  // its outcome is decided: nothing may report progress or end it any more

	mu     sync.Mutex
	report *seri.ProgressInfo // the newest one that is not written yet
	log    *slog.Logger       // once the handler has asked for it

	page page // of the task's own log
}

// outcome is how an attempt ended.
type outcome struct {
	attempt *attempt
	kind    outcomeKind
	result  []byte        // succeeded
	after   time.Duration // retried
	reason  seri.Reason   // archived
	err     error         // retried, archived
}

type outcomeKind int

const (
	succeeded outcomeKind = iota
	retried
	archived
	handedBack
	abandoned // the lease is lost: nothing is written
)

// lost reports whether the attempt was given up because its lease is, or may be, another's.
func (a *attempt) lost() bool { return errors.Is(context.Cause(a.ctx), seri.ErrLeaseLost) }

// run calls the handler and says how the attempt ended.
func (a *attempt) run(report func(seri.ProgressInfo)) outcome {
	end := a.limit()
	a.registry.limit(a, end)
	ctx := seri.WithExecution(seri.WithLog(limited{a.ctx, end}, func() *slog.Logger { return a.registry.logs.of(a) }), seri.Execution{
		ID: a.lease.ID(), Type: a.lease.Message.Type, Queue: string(a.lease.Queue), Owner: a.lease.Owner,
		Headers: a.lease.Message.Headers, Attempt: a.lease.Attempt(), Token: a.lease.Token,
	}, report)
	if ctx.Err() != nil { // the deadline has passed while the task waited
		return a.judge(ctx, nil, context.Cause(ctx))
	}
	result, err := a.call(ctx)
	return a.judge(ctx, result, err)
}

// limit returns the earlier of the task's deadline and the end of the attempt's timeout.
func (a *attempt) limit() time.Time {
	m := &a.lease.Message
	var end time.Time
	if m.Timeout > 0 {
		end = a.started.Add(time.Duration(m.Timeout) * time.Second)
	} else if m.Deadline == 0 {
		end = a.started.Add(seri.DefaultTimeout) // as asynq, for a producer that set neither
	}
	if m.Deadline > 0 {
		if deadline := time.Unix(m.Deadline, 0); end.IsZero() || deadline.Before(end) {
			end = deadline
		}
	}
	return end
}

// limited is a context with a deadline at which somebody else ends it: the registry, whose one timer serves all attempts.
type limited struct {
	context.Context
	end time.Time
}

// Deadline implements [context.Context].
func (c limited) Deadline() (time.Time, bool) { return c.end, true }

// Err implements [context.Context].
func (c limited) Err() error {
	if errors.Is(context.Cause(c.Context), seri.ErrTimeout) {
		return context.DeadlineExceeded
	}
	return c.Context.Err()
}

// call runs the handler; the one place where its panic becomes an error.
func (a *attempt) call(ctx context.Context) (result []byte, err error) {
	defer func() {
		if v := recover(); v != nil {
			result, err = nil, &seri.PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	if a.handler == nil {
		return nil, fmt.Errorf("no handler for type %q in this worker", a.lease.Message.Type)
	}
	result, err = a.handler.Run(ctx, a.lease.Message.Payload)
	if err != nil {
		_ = err.Error() // a nil pointer in an error panics when it is read: here, and not in the completer
	}
	return result, err
}

// errGoexit is the error of a handler that called runtime.Goexit, as t.FailNow does.
var errGoexit = errors.New("the handler ended its goroutine")
