package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/wire"
)

func TestWhatBecomesOfAnAttempt(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	fixed := seri.Fixed(7 * time.Second)
	cases := map[string]struct {
		retried, max int
		err          error
		cause        error // with which the context ends before the handler returns
		retry        seri.RetryPolicy
		want         outcome // err is compared as text
	}{
		"success is success":                            {want: outcome{kind: succeeded}},
		"an error is retried after the policy's delay":  {max: 1, err: boom, want: outcome{kind: retried, after: 7 * time.Second, err: boom}},
		"the last error exhausts":                       {retried: 1, max: 1, err: boom, want: outcome{kind: archived, reason: seri.ReasonExhausted, err: boom}},
		"without retries the first error exhausts":      {err: boom, want: outcome{kind: archived, reason: seri.ReasonExhausted, err: boom}},
		"a permanent error ends the task":               {max: 9, err: fmt.Errorf("no such user: %w", seri.Permanent(boom)), want: outcome{kind: archived, reason: seri.ReasonPermanent, err: errors.New("no such user: boom")}},
		"RetryAfter overrides the policy":               {max: 9, err: fmt.Errorf("busy: %w", seri.RetryAfter(boom, time.Hour)), want: outcome{kind: retried, after: time.Hour, err: errors.New("busy: boom")}},
		"RetryAfter counts as an attempt":               {err: seri.RetryAfter(boom, time.Hour), want: outcome{kind: archived, reason: seri.ReasonExhausted, err: boom}},
		"a negative delay means at once":                {max: 9, err: boom, retry: func(int, error) time.Duration { return -time.Hour }, want: outcome{kind: retried, err: boom}},
		"an error of a revoked task ends it":            {max: 9, err: boom, cause: seri.ErrRevoked, want: outcome{kind: archived, reason: seri.ReasonRevoked, err: boom}},
		"success of a revoked task stands":              {cause: seri.ErrRevoked, want: outcome{kind: succeeded}},
		"an error of a stopping worker is no failure":   {err: boom, cause: seri.ErrStopping, want: outcome{kind: handedBack, err: boom}},
		"success of a stopping worker stands":           {cause: seri.ErrStopping, want: outcome{kind: succeeded}},
		"an error without the lease is nobody's affair": {err: boom, cause: seri.ErrLeaseLost, want: outcome{kind: abandoned, err: boom}},
		"nor is success without the lease":              {cause: seri.ErrLeaseLost, want: outcome{kind: abandoned, err: seri.ErrLeaseLost}},
		"an operator's cancellation is a failure":       {max: 9, err: boom, cause: errCancelled, want: outcome{kind: retried, after: 7 * time.Second, err: errors.New("attempt cancelled by an operator: boom")}},
		"a time-out says so":                            {max: 9, err: boom, cause: seri.ErrTimeout, want: outcome{kind: retried, after: 7 * time.Second, err: errors.New("task timed out: boom")}},
		"a time-out says so once":                       {max: 9, err: seri.ErrTimeout, cause: seri.ErrTimeout, want: outcome{kind: retried, after: 7 * time.Second, err: seri.ErrTimeout}},
	}
	for sentence, c := range cases {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			lease := leaseOf("q", "a")
			lease.Message.Retried, lease.Message.MaxRetries = c.retried, c.max
			if c.retry == nil {
				c.retry = fixed
			}
			r := newRegistry(silent())
			var a *attempt
			a = take(r, lease, &seri.Handler{Retry: c.retry, Run: func(ctx context.Context, _ []byte) ([]byte, error) {
				if c.cause != nil {
					a.cancel(c.cause)
				}
				return nil, c.err
			}}, time.Now(), leaseLength)
			a.started = time.Now()

			got := a.run(nil)

			if got.kind != c.want.kind || got.after != c.want.after || got.reason != c.want.reason || fmt.Sprint(got.err) != fmt.Sprint(c.want.err) {
				t.Errorf("got %d after %v, reason %q, error %v; want %d after %v, reason %q, error %v",
					got.kind, got.after, got.reason, got.err, c.want.kind, c.want.after, c.want.reason, c.want.err)
			}
			if c.err != nil && !errors.Is(got.err, c.err) {
				t.Errorf("the handler's error is not in the chain of %v", got.err)
			}
		})
	}
}

func TestAPanickingRetryPolicyDoesNotEndTheProcess(t *testing.T) {
	t.Parallel()
	a := &attempt{lease: leaseOf("q", "a"), handler: &seri.Handler{Retry: func(int, error) time.Duration { panic("no idea") }}}

	o := a.fail(errors.New("boom"))

	if o.kind != retried || o.after > 10*time.Second || o.err.Error() != "boom (and the retry policy panicked: no idea)" {
		t.Errorf("got %d after %v with %v; want a retry as by the default policy, and the panic told", o.kind, o.after, o.err)
	}
}

func TestThePolicyIsToldHowOftenTheTaskHasFailed(t *testing.T) {
	t.Parallel()
	lease := leaseOf("q", "a")
	lease.Message.Retried = 2
	boom := errors.New("boom")
	a := &attempt{lease: lease, handler: &seri.Handler{Retry: func(failed int, err error) time.Duration {
		if failed != 3 || err != boom {
			t.Errorf("the policy was called with %d, %v; want 3, %v", failed, err, boom)
		}
		return 0
	}}}
	a.fail(boom)
}

func TestLimitsOfAnAttempt(t *testing.T) {
	t.Parallel()
	start := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // where a bubble's clock begins
	cases := map[string]struct {
		timeout  int64
		deadline time.Time
		ends     time.Duration
	}{
		"the timeout":                          {timeout: 60, ends: time.Minute},
		"the deadline":                         {deadline: start.Add(time.Hour), ends: time.Hour},
		"the timeout, if it is sooner":         {timeout: 60, deadline: start.Add(time.Hour), ends: time.Minute},
		"the deadline, if it is sooner":        {timeout: 60, deadline: start.Add(time.Second), ends: time.Second},
		"asynq's half an hour, if none is set": {ends: 30 * time.Minute},
	}
	for sentence, c := range cases {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				lease := leaseOf("q", "a")
				lease.Message.Timeout = c.timeout
				if !c.deadline.IsZero() {
					lease.Message.Deadline = c.deadline.Unix()
				}
				begun := time.Now()
				a := take(newRegistry(silent()), lease, &seri.Handler{Run: func(ctx context.Context, _ []byte) ([]byte, error) {
					<-ctx.Done()
					wantCause(t, ctx, seri.ErrTimeout)
					return nil, ctx.Err()
				}}, time.Now(), 24*time.Hour)
				a.started = begun

				o := a.run(nil)

				if took := time.Since(begun); took != c.ends {
					t.Errorf("the context ended after %v, want %v", took, c.ends)
				}
				if !strings.HasPrefix(fmt.Sprint(o.err), "task timed out: context deadline exceeded") {
					t.Errorf("the error is %v", o.err)
				}
			})
		})
	}
}

func TestDeadlines(t *testing.T) {
	t.Parallel()
	t.Run("a task past its deadline is not started", func(t *testing.T) {
		t.Parallel()
		lease := leaseOf("q", "a")
		lease.Message.Deadline = time.Now().Add(-time.Minute).Unix()
		a := take(newRegistry(silent()), lease, &seri.Handler{Run: func(context.Context, []byte) ([]byte, error) {
			t.Error("the handler runs")
			return nil, nil
		}}, time.Now(), leaseLength)

		o := a.run(nil)

		if o.kind != archived || o.reason != seri.ReasonExhausted || !errors.Is(o.err, seri.ErrTimeout) {
			t.Errorf("got %d, reason %q, error %v; want an end with ErrTimeout", o.kind, o.reason, o.err)
		}
	})
	t.Run("an attempt that would begin after it is not made", func(t *testing.T) {
		t.Parallel()
		a := &attempt{lease: leaseOf("q", "a"), handler: &seri.Handler{Retry: seri.Fixed(time.Hour)}}
		a.lease.Message.Deadline = time.Now().Add(time.Minute).Unix()

		o := a.fail(errors.New("boom"))

		if o.kind != archived || o.reason != seri.ReasonExhausted {
			t.Errorf("got %d, reason %q; want the task to be exhausted", o.kind, o.reason)
		}
	})
}

func TestAHandlerKnowsItsAttempt(t *testing.T) {
	t.Parallel()
	lease := leaseOf("mail", "a")
	lease.Owner, lease.Message = "user:42", wire.Message{ID: "a", Type: "test", Retried: 2, Headers: map[string]string{"k": "v"}}
	var got seri.Execution
	var reported []seri.ProgressInfo
	a := take(newRegistry(silent()), lease, &seri.Handler{Run: func(ctx context.Context, _ []byte) ([]byte, error) {
		got, _ = seri.ExecutionFrom(ctx)
		seri.Progress(ctx, 1, 2, "half")
		return nil, nil
	}}, time.Now(), leaseLength)
	a.started = time.Now()

	a.run(func(p seri.ProgressInfo) { reported = append(reported, p) })

	if got.ID != "a" || got.Type != "test" || got.Queue != "mail" || got.Owner != "user:42" || got.Attempt != 3 || got.Token != 7 || got.Headers["k"] != "v" {
		t.Errorf("the handler is told %+v", got)
	}
	if len(reported) != 1 || reported[0] != (seri.ProgressInfo{Done: 1, Total: 2, Message: "half"}) {
		t.Errorf("reported: %+v", reported)
	}
}

func TestATypeWithoutAHandlerFailsItsAttempt(t *testing.T) {
	t.Parallel()
	a := take(newRegistry(silent()), leaseOf("q", "a"), nil, time.Now(), leaseLength)
	a.started = time.Now()
	if o := a.run(nil); o.kind != retried || !strings.Contains(o.err.Error(), `no handler for type "test"`) {
		t.Errorf("got %d with %v", o.kind, o.err)
	}
}
