package seritest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/seritest"
)

type greetArgs struct {
	Name   string `json:"name"`
	secret string
}

type greeting struct {
	Text string `json:"text"`
}

var greet = seri.NewTask[greetArgs, greeting]("greet", seri.MaxRetries(5))

func sayHello(_ context.Context, args greetArgs) (greeting, error) {
	return greeting{Text: "Hello " + args.Name + args.secret}, nil
}

func TestRunGoesThroughTheEncoding(t *testing.T) {
	t.Parallel()
	got, err := seritest.Run(t, greet, sayHello, greetArgs{Name: "Ada", secret: "!"})

	if err != nil || got.Text != "Hello Ada" {
		t.Errorf("got %+v, %v; what JSON does not carry must not arrive", got, err)
	}
}

func TestRunShowsTheHandlerItsExecution(t *testing.T) {
	t.Parallel()
	var got seri.Execution
	look := func(ctx context.Context, _ greetArgs) (greeting, error) {
		got, _ = seri.ExecutionFrom(ctx)
		return greeting{}, nil
	}

	_, err := seritest.Run(t, greet, look, greetArgs{},
		seritest.With(seri.ID("t1"), seri.Queue("mail"), seri.Owner("user:42"), seri.Header("trace", "x")),
		seritest.Attempt(3), seritest.Token(9))

	if err != nil {
		t.Fatal(err)
	}
	headers := got.Headers["trace"]
	if got.ID != "t1" || got.Type != "greet" || got.Queue != "mail" || got.Owner != "user:42" || headers != "x" || got.Attempt != 3 || got.Token != 9 {
		t.Errorf("got %+v", got)
	}
}

func TestRunKeepsProgressInOrder(t *testing.T) {
	t.Parallel()
	var late context.Context
	count := func(ctx context.Context, _ greetArgs) (greeting, error) {
		for i := range int64(3) {
			seri.Progress(ctx, i+1, 3, "step")
		}
		late = ctx
		return greeting{}, nil
	}
	var reports []seri.ProgressInfo

	_, err := seritest.Run(t, greet, count, greetArgs{}, seritest.Progress(&reports))
	seri.Progress(late, 4, 3, "too late")

	want := []seri.ProgressInfo{{Done: 1, Total: 3, Message: "step"}, {Done: 2, Total: 3, Message: "step"}, {Done: 3, Total: 3, Message: "step"}}
	if err != nil || !slices.Equal(reports, want) {
		t.Errorf("got %v, %v", reports, err)
	}
}

func TestRunReturnsWhatTheHandlerDid(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	cases := map[string]struct {
		handler func(context.Context, greetArgs) (greeting, error)
		options []seritest.Option
		check   func(error) bool
	}{
		"an error, marks and all": {
			handler: func(context.Context, greetArgs) (greeting, error) { return greeting{}, seri.Permanent(broken) },
			check:   func(err error) bool { return errors.Is(err, broken) && seri.IsPermanent(err) },
		},
		"a panic, with its stack": {
			handler: func(context.Context, greetArgs) (greeting, error) { panic("boom") },
			check: func(err error) bool {
				p, ok := errors.AsType[*seri.PanicError](err)
				return ok && p.Value == "boom" && strings.Contains(string(p.Stack), "run_test.go")
			},
		},
		"terms that are not valid": {
			handler: sayHello,
			options: []seritest.Option{seritest.With(seri.Queue("{"))},
			check:   func(err error) bool { return err != nil && strings.Contains(err.Error(), "brace") },
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := seritest.Run(t, greet, c.handler, greetArgs{}, c.options...); !c.check(err) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestRunKeepsTimeoutAndDeadline(t *testing.T) {
	t.Parallel()
	wait := func(ctx context.Context, _ greetArgs) (greeting, error) {
		<-ctx.Done()
		return greeting{}, context.Cause(ctx)
	}
	for name, term := range map[string]func() seri.Option{
		"timeout":  func() seri.Option { return seri.Timeout(time.Minute) },
		"deadline": func() seri.Option { return seri.Deadline(time.Now().Add(time.Minute)) },
	} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()

			_, err := seritest.Run(t, greet, wait, greetArgs{}, seritest.With(term()))

			if !errors.Is(err, seri.ErrTimeout) || time.Since(start) != time.Minute {
				t.Errorf("%s: got %v after %v", name, err, time.Since(start))
			}
		})
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	revoked := func(ctx context.Context, _ greetArgs) (greeting, error) {
		cancel(seri.ErrRevoked)
		<-ctx.Done()
		return greeting{}, fmt.Errorf("greet: %w", context.Cause(ctx))
	}

	_, err := seritest.Run(t, greet, revoked, greetArgs{}, seritest.Context(ctx))

	if !errors.Is(err, seri.ErrRevoked) {
		t.Errorf("got %v", err)
	}
}
