// Package run starts the parts of a process in order and stops them in reverse.
//
// A part is anything with a method Run(ctx) error that blocks until ctx ends and leaves nothing running when it returns.
// [Stack] is itself of that kind, so stacks nest: a worker's heartbeat, completer and slots are one stack, the worker is
// a part of another.
package run

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Part is one long-lived part of a process.
type Part struct {
	// Name is what errors call it.
	Name string
	// Run blocks until its context ends, and when it returns, nothing that it started is left.
	Run func(context.Context) error
}

// ErrEnded is the error of a part that returned nil although nobody had asked it to end. The parts above it count on
// it; a process that runs on without its heartbeat is worse than one that stops and is started again.
var ErrEnded = errors.New("ended without having been asked to")

// errGoexit is the error of a part that called runtime.Goexit (which is what t.FailNow does).
var errGoexit = errors.New("its goroutine was ended")

// Stack runs parts on top of each other. It calls each Run in order, in a goroutine of its own, and ends them from the
// last to the first, each only after all above it have returned. It returns when all have.
//
// Calling Run in order does not mean that a part is ready before the next begins: what must be done before (opening a
// port, reaching Redis) belongs into the constructor of the part, where it can also fail with a plain error.
//
// Parts are asked to end when ctx does, or as soon as one of them returns, which stops the whole stack. A part's context
// carries the values of ctx but neither its end nor its deadline: a part at the bottom lives on while those above it
// still finish. Its cause is that of ctx, or the error that stopped the stack.
//
// The error starts with the one that stopped the stack, and goes on with those of parts that failed to end well; each
// names its part. Nil means that ctx ended and every part returned nil or the end of its own context.
// A panic in a part ends the process, as it would anywhere else.
func Stack(ctx context.Context, parts ...Part) error {
	if ctx.Err() != nil {
		return nil
	}
	running := make([]*layer, len(parts))
	ended := make(chan *layer, len(parts))
	for i, part := range parts {
		running[i] = start(context.WithoutCancel(ctx), part, ended)
	}

	var errs []error
	var cause error
	select {
	case <-ctx.Done():
		cause = context.Cause(ctx)
	case first := <-ended:
		if cause = first.failure(); cause == nil {
			cause = fmt.Errorf("%s: %w", first.name, ErrEnded)
		}
		if ctx.Err() == nil || first.err != nil {
			errs = append(errs, cause)
		}
		first.err = nil // told
	}

	for _, l := range slices.Backward(running) {
		l.stop(cause)
		<-l.done
		if err := l.failure(); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// layer is a part that runs, or has run.
type layer struct {
	name string
	ctx  context.Context // the part's own; asked for its end and cause only
	stop context.CancelCauseFunc
	done chan struct{} // closed when Run has returned
	err  error         // what it returned; to be read after done
}

func start(ctx context.Context, part Part, ended chan<- *layer) *layer {
	ctx, stop := context.WithCancelCause(ctx)
	l := &layer{name: part.Name, ctx: ctx, stop: stop, done: make(chan struct{})}
	go func() {
		l.err = errGoexit
		defer func() { // also on Goexit; after a panic the process ends whatever is sent here
			close(l.done)
			ended <- l
		}()
		l.err = part.Run(ctx)
	}()
	return l
}

// failure returns the part's error under its name, or nil if the part merely reports that it was asked to end.
func (l *layer) failure() error {
	asked := l.ctx.Err() != nil && (errors.Is(l.err, context.Canceled) || errors.Is(l.err, context.Cause(l.ctx)))
	if l.err == nil || asked {
		return nil
	}
	return fmt.Errorf("%s: %w", l.name, l.err)
}
