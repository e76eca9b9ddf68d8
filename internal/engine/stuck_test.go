package engine

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seri-queue/seri"
)

const stuckAfter = 30 * time.Second

// deafHandler goes on until it is released, whatever becomes of its context.
type deafHandler struct{ release chan struct{} }

func (d *deafHandler) handleWithoutListening(context.Context, []byte) ([]byte, error) {
	<-d.release
	return []byte(`"late"`), nil
}

// watched returns n slots with a warden, which the test runs, and its log.
func watched(n int) (*slots, *registry, chan outcome, *warden, *journal) {
	s, r, outcomes := newTestSlots(n, grace)
	log := &journal{}
	s.logger = log.logger()
	return s, r, outcomes, &warden{slots: s, registry: r, after: stuckAfter, logger: log.logger()}, log
}

func TestAHandlerThatIgnoresItsContextLosesTaskAndSlot(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cause  error
		kind   outcomeKind
		reason seri.Reason
	}{
		"after its timeout":              {seri.ErrTimeout, retried, ""},
		"after a revocation":             {seri.ErrRevoked, archived, seri.ReasonRevoked},
		"after the loss of its lease":    {seri.ErrLeaseLost, abandoned, ""},
		"after an operator's \"cancel\"": {errCancelled, retried, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, r, outcomes, w, log := watched(2)
				s.acquire(t.Context())
				deaf := &deafHandler{make(chan struct{})}
				a := held(r, "deaf", deaf.handleWithoutListening)
				during(t, w.run, func(context.Context) {
					s.start([]*attempt{a, held(r, "well", func(context.Context, []byte) ([]byte, error) { return nil, nil })})
					if o := <-outcomes; o.kind != succeeded {
						t.Errorf("outcome of the other task: %+v", o)
					}
					synctest.Wait() // until the handler has begun
					ended := time.Now()
					a.cancel(c.cause)

					o := <-outcomes
					if o.attempt != a || o.kind != c.kind || o.reason != c.reason || !errors.Is(o.err, errIgnored) {
						t.Errorf("outcome %+v, want kind %d, reason %q", o, c.kind, c.reason)
					}
					if took := time.Since(ended); took < stuckAfter || took > stuckAfter+2*time.Second {
						t.Errorf("given up %v after the end of the context, want after %v", took, stuckAfter)
					}
					r.remove(a)
				})

				if !log.has("slot lost") || !log.has("task_id=deaf") || !log.has("type=test") || !log.has("slots_left=1") || !log.has("handleWithoutListening") {
					t.Errorf("the log does not tell task, type, slots left and stack:\n%s", log.text.String())
				}
				if n := s.acquire(t.Context()); n < 1 || s.taken-aheadMost > 2 || s.stuck() != 1 {
					t.Errorf("acquired %d, %d slots are lost", n, s.stuck())
				}
				close(deaf.release)
				synctest.Wait()
				if len(outcomes) > 0 {
					t.Errorf("the late outcome %+v was sent", <-outcomes)
				}
				if s.stuck() != 0 || !log.has("slot back") {
					t.Errorf("the handler has returned, and %d slots are lost", s.stuck())
				}
			})
		})
	}
}

func TestAHandlerHasTimeToEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, r, outcomes, w, log := watched(1)
		s.acquire(t.Context())
		a := held(r, "slow", func(ctx context.Context, _ []byte) ([]byte, error) {
			<-ctx.Done()
			time.Sleep(stuckAfter - time.Second) // it tidies up
			return nil, context.Cause(ctx)
		})
		during(t, w.run, func(context.Context) {
			s.start([]*attempt{a})
			synctest.Wait()
			a.cancel(seri.ErrTimeout)
			if o := <-outcomes; o.kind != retried || errors.Is(o.err, errIgnored) {
				t.Errorf("outcome %+v, want its own error", o)
			}
			time.Sleep(2 * stuckAfter)
		})
		if log.has("slot lost") {
			t.Errorf("the log:\n%s", log.text.String())
		}
	})
}

func TestTheWorkerEndsWithItsLastSlot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const n = 3
		s, r, outcomes, w, _ := watched(n)
		s.acquire(t.Context())
		deaf := &deafHandler{make(chan struct{})}
		defer close(deaf.release)
		attempts := make([]*attempt, n)
		for i, id := range []string{"a", "b", "c"} {
			attempts[i] = held(r, id, deaf.handleWithoutListening)
			r.prove(attempts[i], time.Now(), time.Hour)
		}
		ended := make(chan error, 1)
		go func() { ended <- w.run(t.Context()) }()
		s.start(attempts)
		synctest.Wait()

		attempts[0].cancel(seri.ErrTimeout)
		attempts[1].cancel(seri.ErrTimeout)
		time.Sleep(2 * stuckAfter)
		select {
		case err := <-ended:
			t.Fatalf("with a slot left it has ended with %v", err)
		default:
		}
		attempts[2].cancel(seri.ErrTimeout)
		if err := <-ended; !errors.Is(err, seri.ErrStuck) {
			t.Errorf("it ended with %v, want %v", err, seri.ErrStuck)
		}
		for len(outcomes) > 0 {
			r.remove((<-outcomes).attempt)
		}
		// There is nobody to wait for, neither for the grace period nor after it.
		if got, took := stopped(t, s, outcomes); len(got) != 0 || took != 0 {
			t.Errorf("the slots ended after %v with %v", took, got)
		}
	})
}

// A stack is that of the slot, not of another that runs the same.
func TestAStackIsThatOfItsSlot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, r, outcomes := newTestSlots(2, grace)
		s.acquire(t.Context())
		deaf := &deafHandler{make(chan struct{})}
		a := held(r, "a", deaf.handleWithoutListening)
		b := held(r, "b", func(ctx context.Context, _ []byte) ([]byte, error) {
			waited := make(chan struct{})
			go func() { deaf.handleWithoutListening(ctx, nil); close(waited) }() // its own goroutines belong to it
			<-waited
			return nil, nil
		})
		s.start([]*attempt{a, b})
		synctest.Wait()

		for slot, want := range map[string]int{a.slot: 1, b.slot: 2} {
			if stack := stacks().slot(slot); strings.Count(stack, "\n\n")+1 != want || strings.Count(stack, "handleWithoutListening") != 1 {
				t.Errorf("the stack of slot %s, with %d goroutines:\n%s", slot, want, stack)
			}
		}
		close(deaf.release)
		synctest.Wait()
		for len(outcomes) > 0 {
			<-outcomes
		}
	})
}
