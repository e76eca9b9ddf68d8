package seritest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/seritest"
)

var other = seri.NewTask[int, seri.None]("other")

func TestRecorderKeepsWhatIsEnqueued(t *testing.T) {
	t.Parallel()
	recorder := seritest.NewRecorder(t)

	_, err1 := greet.Enqueue(t.Context(), recorder, greetArgs{Name: "Ada"})
	_, err2 := other.Enqueue(t.Context(), recorder, 7, seri.Queue("slow"))
	_, err3 := greet.Enqueue(t.Context(), recorder, greetArgs{Name: "Bob"})

	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	if got := seritest.Args(t, recorder, greet); !slices.Equal(got, []greetArgs{{Name: "Ada"}, {Name: "Bob"}}) {
		t.Errorf("got %v", got)
	}
	if got := recorder.Messages(); len(got) != 3 || got[1].Queue != "slow" || got[0].MaxRetries != 5 {
		t.Errorf("got %+v", got)
	}
}

func TestRecorderRefusesWhatAQueueWould(t *testing.T) {
	t.Parallel()
	gone := errors.New("out of reach")
	recorder := seritest.NewRecorder(t)
	enqueue := func(options ...seri.Option) error {
		_, err := other.Enqueue(t.Context(), recorder, 1, options...)
		return err
	}

	steps := []struct {
		name string
		err  error
		want error
	}{
		{"a first task", enqueue(seri.ID("t1")), nil},
		{"the same ID", enqueue(seri.ID("t1")), seri.ErrConflict},
		{"the same ID in another queue", enqueue(seri.ID("t1"), seri.Queue("q")), nil},
		{"a unique task", enqueue(seri.UniqueFor(time.Hour)), nil},
		{"an equal one", enqueue(seri.UniqueFor(time.Hour)), seri.ErrDuplicate},
		{"an equal one in another queue", enqueue(seri.UniqueFor(time.Hour), seri.Queue("q")), nil},
		{"an equal one that need not be unique", enqueue(), nil},
	}
	recorder.Refuse(gone)
	refused := enqueue()
	recorder.Refuse(nil)

	for _, s := range steps {
		if !errors.Is(s.err, s.want) {
			t.Errorf("%s: got %v, want %v", s.name, s.err, s.want)
		}
	}
	if !errors.Is(refused, gone) || enqueue() != nil {
		t.Errorf("a queue out of reach: got %v", refused)
	}
	if err := recorder.Enqueue(t.Context(), seri.Message{}); err == nil {
		t.Error("a message that is not valid was accepted")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := other.Enqueue(ctx, recorder, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("an ended context: got %v", err)
	}
}

func TestUniquenessEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		recorder := seritest.NewRecorder(t)
		unique := seri.UniqueFor(time.Minute)
		_, first := other.Enqueue(t.Context(), recorder, 1, unique)

		<-time.After(time.Minute)
		_, later := other.Enqueue(t.Context(), recorder, 1, unique)

		if first != nil || later != nil {
			t.Errorf("got %v, then %v", first, later)
		}
	})
}

func TestWaitGivesTheEndThatTheTestSetUp(t *testing.T) {
	t.Parallel()
	recorder := seritest.NewRecorder(t)
	ticket, err := greet.Enqueue(t.Context(), recorder, greetArgs{Name: "Ada"})
	if err != nil {
		t.Fatal(err)
	}

	if _, err := ticket.Wait(t.Context()); !errors.Is(err, seri.ErrNotFound) {
		t.Errorf("nothing set up: got %v", err)
	}

	runs := 0
	recorder.Handle(greet.HandledBy(func(ctx context.Context, args greetArgs) (greeting, error) {
		runs++
		if e, _ := seri.ExecutionFrom(ctx); e.ID != ticket.ID {
			t.Errorf("the handler sees task %q", e.ID)
		}
		return sayHello(ctx, args)
	}))
	for range 2 {
		if got, err := ticket.Wait(t.Context()); err != nil || got.Text != "Hello Ada" {
			t.Errorf("with a handler: got %+v, %v", got, err)
		}
	}
	if runs != 1 {
		t.Errorf("the handler ran %d times", runs)
	}

	recorder.End(seri.Info{Queue: ticket.Queue, ID: ticket.ID, State: seri.Revoked, Reason: seri.ReasonExpired})
	if _, err := ticket.Wait(t.Context()); !errors.Is(err, seri.ErrRevoked) {
		t.Errorf("with an end of its own: got %v", err)
	}
}

func TestWaitTellsHowATaskFailed(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		do   func(context.Context, int) (seri.None, error)
		want seri.Reason
	}{
		"by an error":           {func(context.Context, int) (seri.None, error) { return seri.None{}, errors.New("x") }, seri.ReasonExhausted},
		"by a permanent error":  {func(context.Context, int) (seri.None, error) { return seri.None{}, seri.Permanent(errors.New("x")) }, seri.ReasonPermanent},
		"by a panic of its own": {func(context.Context, int) (seri.None, error) { panic("x") }, seri.ReasonExhausted},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			recorder := seritest.NewRecorder(t)
			recorder.Handle(other.HandledBy(c.do))
			ticket, err := other.Enqueue(t.Context(), recorder, 1)
			if err != nil {
				t.Fatal(err)
			}

			_, err = ticket.Wait(t.Context())

			failed, ok := errors.AsType[*seri.FailedError](err)
			if !ok || failed.Reason != c.want || failed.Message == "" {
				t.Errorf("got %v", err)
			}
		})
	}
}

// failing is a test that has failed, and what it logged.
type failing struct {
	testing.TB
	cleanups []func()
	log      []string
}

func (f *failing) Cleanup(do func()) { f.cleanups = append(f.cleanups, do) }
func (f *failing) Failed() bool      { return true }
func (f *failing) Logf(format string, args ...any) {
	f.log = append(f.log, fmt.Sprintf(format, args...))
}

func TestAFailedTestLogsWhatWasEnqueued(t *testing.T) {
	t.Parallel()
	f := &failing{TB: t}
	recorder := seritest.NewRecorder(f)
	if _, err := other.Enqueue(t.Context(), recorder, 7, seri.ID("t1")); err != nil {
		t.Fatal(err)
	}

	for _, cleanup := range f.cleanups {
		cleanup()
	}

	if want := []string{"enqueued in default: other 7 (id t1)"}; !slices.Equal(f.log, want) {
		t.Errorf("got %q", f.log)
	}
}
