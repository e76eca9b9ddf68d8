package seri_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/seri-queue/seri"
)

func TestErrorsSteer(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	if seri.Permanent(nil) != nil || seri.RetryAfter(nil, time.Hour) != nil {
		t.Error("no error became one")
	}
	if err := fmt.Errorf("user 7: %w", seri.Permanent(boom)); !seri.IsPermanent(err) || !errors.Is(err, boom) || err.Error() != "user 7: boom" {
		t.Errorf("%v, permanent %v", err, seri.IsPermanent(err))
	}
	if seri.IsPermanent(boom) || seri.IsPermanent(nil) {
		t.Error("permanent without a mark")
	}
	for given, want := range map[time.Duration]time.Duration{time.Hour: time.Hour, 0: 0, -time.Hour: 0} {
		err := fmt.Errorf("busy: %w", seri.RetryAfter(boom, given))
		if d, ok := seri.RetryDelay(err); !ok || d != want || !errors.Is(err, boom) || err.Error() != "busy: boom" {
			t.Errorf("RetryAfter %v: %v, %v, %v", given, d, ok, err)
		}
	}
	if _, ok := seri.RetryDelay(boom); ok {
		t.Error("a delay without a mark")
	}
}

func TestErrorsReadAsSentences(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		"task a: token 7 is no longer valid: nobody holds the task":                 &seri.FencedError{TaskID: "a", Held: 7},
		"task a: token 1763800000000001 is no longer valid: token 9 holds the task": &seri.FencedError{TaskID: "a", Held: 1763800000000001, Seen: 9},
		"lock a: token 7 is no longer valid: nobody holds it":                       &seri.FencedError{Resource: "lock a", Held: 7},
		"report 1: token 7 is no longer valid: there is token 9":                    &seri.FencedError{Resource: "report 1", Held: 7, Seen: 9},
		"panic: boom":                     &seri.PanicError{Value: "boom"},
		"task a failed (exhausted): boom": &seri.FailedError{TaskID: "a", State: seri.Failed, Reason: seri.ReasonExhausted, Message: "boom"},
		"task a revoked (expired)":        &seri.FailedError{TaskID: "a", State: seri.Revoked, Reason: seri.ReasonExpired},
	} {
		if err.Error() != want {
			t.Errorf("%q, want %q", err, want)
		}
	}
}

func TestBackOff(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		base, limit time.Duration
		failed      int
		most        time.Duration
	}{
		"the first time up to the base":       {time.Second, time.Hour, 1, time.Second},
		"never counted like the first":        {time.Second, time.Hour, 0, time.Second},
		"doubles":                             {time.Second, time.Hour, 4, 8 * time.Second},
		"up to the limit":                     {time.Second, 10 * time.Second, 5, 10 * time.Second},
		"however often":                       {time.Second, time.Hour, math.MaxInt, time.Hour},
		"a base above the limit":              {time.Hour, time.Second, 1, time.Second},
		"the largest limit does not overflow": {time.Second, math.MaxInt64, 100, math.MaxInt64},
		"the smallest of all":                 {1, 1, 1, 1},
	}
	for sentence, c := range cases {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			policy := seri.Exponential(c.base, c.limit)
			var sum float64
			const n = 4000
			for range n {
				d := policy(c.failed, nil)
				if d < 0 || d > c.most {
					t.Fatalf("%v is not between 0 and %v", d, c.most)
				}
				sum += float64(d)
			}
			// Uniform: the mean of 4,000 is within 3 % of the middle, but once in 10¹⁰ times.
			if mean := sum / n / float64(c.most); c.most > 1 && (mean < 0.47 || mean > 0.53) {
				t.Errorf("the mean is %.3f of the most, want 0.5: full jitter", mean)
			}
		})
	}
	if seri.Fixed(time.Minute)(7, nil) != time.Minute {
		t.Error("a fixed delay moves")
	}
	for name, wrong := range map[string]func(){
		"base 0": func() { seri.Exponential(0, 1) }, "limit 0": func() { seri.Exponential(1, 0) }, "negative": func() { seri.Fixed(-1) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s is accepted", name)
				}
			}()
			wrong()
		}()
	}
}

func TestOutsideOfAHandler(t *testing.T) {
	t.Parallel()
	if _, ok := seri.ExecutionFrom(t.Context()); ok {
		t.Error("an execution from nowhere")
	}
	if _, ok := seri.TokenFrom(t.Context()); ok {
		t.Error("a token from nowhere")
	}
	seri.Progress(t.Context(), 1, 2, "does nothing")
	ctx := seri.WithExecution(context.Background(), seri.Execution{Token: 9}, nil)
	seri.Progress(ctx, 1, 2, "is dropped")
	if token, ok := seri.TokenFrom(ctx); !ok || token != 9 {
		t.Errorf("token %d, %v", token, ok)
	}
}

func TestStatesAndEventsAgree(t *testing.T) {
	t.Parallel()
	kinds := []seri.EventKind{seri.EventQueued, seri.EventScheduled, seri.EventStarted, seri.EventProgress, seri.EventRetrying, seri.EventSucceeded, seri.EventFailed, seri.EventRevoked}
	reached := map[seri.State]bool{}
	for _, kind := range kinds {
		if kind.State().Terminal() != kind.Terminal() {
			t.Errorf("event %s is terminal: %v, its state %s: %v", kind, kind.Terminal(), kind.State(), kind.State().Terminal())
		}
		reached[kind.State()] = true
	}
	for _, state := range seri.States {
		if !reached[state] {
			t.Errorf("no event leads to state %s", state)
		}
	}
	if len(reached) != len(seri.States) || seri.EventKind("x").State() != "" {
		t.Errorf("events lead to %v", reached)
	}
}
