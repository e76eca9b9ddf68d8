package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/meter"
)

// judge decides what becomes of a task whose handler has returned.
func (a *attempt) judge(ctx context.Context, result []byte, err error) outcome {
	cause := context.Cause(ctx)
	if errors.Is(cause, seri.ErrLeaseLost) {
		return outcome{attempt: a, kind: abandoned, err: cmp.Or(err, cause)}
	}
	if err == nil {
		if len(result) > 0 && !json.Valid(result) {
			return a.fail(seri.Permanent(errors.New("the handler's result is not JSON")))
		}
		return outcome{attempt: a, kind: succeeded, result: result}
	}
	switch {
	case errors.Is(cause, seri.ErrRevoked):
		return outcome{attempt: a, kind: archived, reason: seri.ReasonRevoked, err: err}
	case errors.Is(cause, seri.ErrStopping):
		return outcome{attempt: a, kind: handedBack, err: err}
	case errors.Is(cause, seri.ErrTimeout) && !errors.Is(err, seri.ErrTimeout):
		err = fmt.Errorf("%w: %w", seri.ErrTimeout, err)
	case errors.Is(cause, errCancelled):
		err = fmt.Errorf("%w: %w", errCancelled, err)
	}
	return a.fail(err)
}

// count notes an attempt whose outcome is written, or of which nothing is to be written.
func (o outcome) count() {
	m := o.attempt.meter
	switch o.kind {
	case succeeded:
		m.Ended(meter.Succeeded)
	case retried:
		m.Ended(meter.Retried)
	case archived:
		if o.reason == seri.ReasonRevoked {
			m.Ended(meter.Revoked)
		} else {
			m.Ended(meter.Failed)
		}
	case handedBack:
		m.Ended(meter.HandedBack)
	case abandoned:
		m.Ended(meter.Abandoned)
	}
}

// fail decides between another attempt and none.
func (a *attempt) fail(err error) outcome {
	m := &a.lease.Message
	switch {
	case seri.IsPermanent(err):
		return outcome{attempt: a, kind: archived, reason: seri.ReasonPermanent, err: err}
	case m.Retried >= m.MaxRetries:
		return outcome{attempt: a, kind: archived, reason: seri.ReasonExhausted, err: err}
	}
	after, err := a.delay(err)
	if m.Deadline > 0 && time.Now().Add(after).After(time.Unix(m.Deadline, 0)) {
		return outcome{attempt: a, kind: archived, reason: seri.ReasonExhausted,
			err: fmt.Errorf("%w (the task's deadline leaves no time for another attempt)", err)}
	}
	return outcome{attempt: a, kind: retried, after: after, err: err}
}

// delay says how long to wait before the next attempt. The error that it returns is err; if the task's own policy
// panicked, which must not end the process, it tells that too, and the default policy decides.
func (a *attempt) delay(err error) (after time.Duration, told error) {
	if d, ok := seri.RetryDelay(err); ok {
		return d, err
	}
	if a.handler == nil || a.handler.Retry == nil {
		return seri.DefaultRetry(a.lease.Attempt(), err), err
	}
	defer func() {
		if v := recover(); v != nil {
			after = seri.DefaultRetry(a.lease.Attempt(), err)
			told = fmt.Errorf("%w (and the retry policy panicked: %v)", err, v)
		}
	}()
	return max(a.handler.Retry(a.lease.Attempt(), err), 0), err
}
