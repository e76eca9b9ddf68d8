package engine

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seri-queue/seri"
)

// newTestSlots returns n slots whose outcomes are kept until they are asked for.
func newTestSlots(n int, grace time.Duration) (*slots, *registry, chan outcome) {
	r := newRegistry(silent())
	outcomes := make(chan outcome, n+aheadMost)
	return newSlots(n, r, newReporter(nil, n, silent()), outcomes, grace, silent()), r, outcomes
}

// stopped runs s, stops it at once, and returns the outcomes that had come when it was over, by ID, and how long it took.
func stopped(t *testing.T, s *slots, outcomes chan outcome) (map[string]outcome, time.Duration) {
	t.Helper()
	begun := time.Now()
	during(t, s.run, func(context.Context) {})
	took := time.Since(begun)
	got := make(map[string]outcome)
	for len(outcomes) > 0 {
		o := <-outcomes
		got[o.attempt.lease.ID()] = o
	}
	return got, took
}

const grace = 25 * time.Second

func TestRunningTasksHaveTheGracePeriod(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, r, outcomes := newTestSlots(2, grace)
		s.acquire(t.Context())
		s.start([]*attempt{held(r, "a", func(ctx context.Context, _ []byte) ([]byte, error) {
			select {
			case <-time.After(20 * time.Second):
				return []byte(`"done"`), nil
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
		})})
		synctest.Wait() // until it has begun

		got, took := stopped(t, s, outcomes)

		if o := got["a"]; o.attempt == nil || o.kind != succeeded || string(o.result) != `"done"` {
			t.Errorf("outcome %+v, want success", o)
		}
		if took != 20*time.Second {
			t.Errorf("stopped after %v; want 20 s, as soon as the last task was done", took)
		}
	})
}

func TestAfterTheGracePeriodHandlersAreStopped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, r, outcomes := newTestSlots(2, grace)
		s.acquire(t.Context())
		var told time.Duration
		begun := time.Now()
		s.start([]*attempt{held(r, "a", func(ctx context.Context, _ []byte) ([]byte, error) {
			<-ctx.Done()
			told = time.Since(begun)
			return nil, context.Cause(ctx)
		})})
		s.start([]*attempt{held(r, "b", func(ctx context.Context, _ []byte) ([]byte, error) {
			<-ctx.Done()
			return []byte(`1`), nil // it was as good as done
		})})
		synctest.Wait() // until both have begun

		got, took := stopped(t, s, outcomes)

		if o := got["a"]; o.attempt == nil || o.kind != handedBack || !errors.Is(o.err, seri.ErrStopping) {
			t.Errorf("outcome %+v, want handed back with ErrStopping", o)
		}
		if o := got["b"]; o.attempt == nil || o.kind != succeeded {
			t.Errorf("outcome %+v, want success", o)
		}
		if told != grace || took != grace {
			t.Errorf("told to stop after %v, stopped after %v; want both %v", told, took, grace)
		}
	})
}

func TestAHandlerThatWillNotEndLosesItsTask(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, r, outcomes := newTestSlots(1, grace)
		s.acquire(t.Context())
		release := make(chan struct{})
		a := held(r, "a", func(context.Context, []byte) ([]byte, error) {
			<-release
			return []byte(`"late"`), nil
		})
		s.start([]*attempt{a})
		synctest.Wait() // until it has begun

		got, took := stopped(t, s, outcomes)

		if o := got["a"]; o.attempt == nil || o.kind != handedBack {
			t.Errorf("outcome %+v, want handed back", o)
		}
		if took != grace+settleTime {
			t.Errorf("handed back after %v, want %v", took, grace+settleTime)
		}
		close(release)
		synctest.Wait()
		if len(outcomes) > 0 {
			t.Errorf("the late outcome %+v was sent too", <-outcomes)
		}
	})
}

// The completer ends when the slots have: an outcome that comes later would stay unwritten, and its task run again.
func TestNoOutcomeIsLostBetweenTheHandlerAndItsHandingBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const n = 500
		s, r, outcomes := newTestSlots(n, grace)
		s.acquire(t.Context())
		for i := range n {
			s.start([]*attempt{held(r, fmt.Sprint(i), func(context.Context, []byte) ([]byte, error) {
				time.Sleep(grace + settleTime) // exactly when the slots give up
				return nil, nil
			})})
		}

		got, _ := stopped(t, s, outcomes)

		if len(got) != n {
			t.Errorf("%d outcomes when the slots were done, want %d", len(got), n)
		}
		synctest.Wait()
		if len(outcomes) > 0 {
			t.Errorf("%d outcomes came after the end", len(outcomes))
		}
	})
}

func TestASlotIsFreeAgainHoweverItsHandlerEnds(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		handle func(context.Context, []byte) ([]byte, error)
		kind   outcomeKind
		err    string
	}{
		"with a result":               {func(context.Context, []byte) ([]byte, error) { return []byte(`1`), nil }, succeeded, ""},
		"with an error":               {func(context.Context, []byte) ([]byte, error) { return nil, errors.New("boom") }, retried, "boom"},
		"with a panic":                {func(context.Context, []byte) ([]byte, error) { panic("boom") }, retried, "panic: boom"},
		"with a panic of nil":         {func(context.Context, []byte) ([]byte, error) { panic(nil) }, retried, "panic: panic called with nil argument"},
		"with Goexit":                 {func(context.Context, []byte) ([]byte, error) { runtime.Goexit(); return nil, nil }, retried, "the handler ended its goroutine"},
		"with an error that panics":   {func(context.Context, []byte) ([]byte, error) { return nil, (*hollow)(nil) }, retried, "panic: runtime error: invalid memory address"},
		"with a result and an error":  {func(context.Context, []byte) ([]byte, error) { return []byte(`1`), errors.New("boom") }, retried, "boom"},
		"with a result that is not J": {func(context.Context, []byte) ([]byte, error) { return []byte(`{`), nil }, archived, "not JSON"},
	}
	for sentence, c := range cases {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, r, outcomes := newTestSlots(1, grace)
				s.acquire(t.Context())

				s.start([]*attempt{held(r, "a", c.handle)})
				if n := s.acquire(t.Context()); n < 1 {
					t.Errorf("%d slots are free, want at least 1", n)
				}

				o := <-outcomes
				if o.kind != c.kind || (c.err == "") != (o.err == nil) || o.err != nil && !strings.Contains(o.err.Error(), c.err) {
					t.Errorf("outcome %d with error %v, want %d with %q", o.kind, o.err, c.kind, c.err)
				}
				if panicked, ok := errors.AsType[*seri.PanicError](o.err); ok && !strings.Contains(string(panicked.Stack), "slots_test.go") {
					t.Errorf("the stack does not lead to the handler:\n%s", panicked.Stack)
				}
			})
		})
	}
}

// hollow is an error whose text cannot be read from a nil pointer, which handlers return by accident.
type hollow struct{ text string }

func (h *hollow) Error() string { return h.text }

func TestATaskWhoseLeaseCameTooLateIsHandedBackUnrun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, r, outcomes := newTestSlots(1, grace)
		s.acquire(t.Context())
		asked := time.Now()
		time.Sleep(leaseLength)
		a := take(r, leaseOf("q", "a"), &seri.Handler{Type: "test", Run: func(context.Context, []byte) ([]byte, error) {
			t.Error("the handler runs although another may hold the task")
			return nil, nil
		}}, asked, leaseLength)

		s.start([]*attempt{a})

		if o := <-outcomes; o.kind != handedBack {
			t.Errorf("outcome %+v, want handed back", o)
		}
	})
}

func TestAcquireTakesAllThatIsFree(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, _, _ := newTestSlots(5, grace)
		ctx, cancel := context.WithCancel(t.Context())
		if n := s.acquire(ctx); n != 5 {
			t.Errorf("acquired %d, want 5", n)
		}
		time.AfterFunc(time.Minute, func() { s.release(2) })
		begun := time.Now()
		if n := s.acquire(ctx); n < 1 || n > 2 || time.Since(begun) != time.Minute {
			t.Errorf("acquired %d after %v, want up to 2 as soon as they are free", n, time.Since(begun))
		}
		time.AfterFunc(time.Minute, cancel)
		s.acquire(ctx) // takes the second, if the first call was faster than the release
		if n := s.acquire(ctx); n != 0 {
			t.Errorf("acquired %d after the end, want 0", n)
		}
	})
}

func TestWhatHasNotBegunIsHandedBackAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, r, outcomes := newTestSlots(1, grace)
		s.acquire(t.Context())
		s.start([]*attempt{
			held(r, "a", func(context.Context, []byte) ([]byte, error) {
				time.Sleep(time.Second)
				return nil, nil
			}),
			held(r, "b", func(context.Context, []byte) ([]byte, error) { panic("begun") }),
		})
		synctest.Wait() // until the first has begun

		got, took := stopped(t, s, outcomes)

		if o := got["a"]; o.attempt == nil || o.kind != succeeded {
			t.Errorf("outcome of what ran: %+v, want success", o)
		}
		if o := got["b"]; o.attempt == nil || o.kind != handedBack {
			t.Errorf("outcome of what waited: %+v, want handed back", o)
		}
		if took != time.Second {
			t.Errorf("stopped after %v, want the second that the first task took", took)
		}
	})
}
