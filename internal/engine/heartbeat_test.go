package engine

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/store"
)

func TestHeartbeatExtendsThreeTimesInNineTenths(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		var beats []time.Duration
		r := newRegistry(silent())
		a := held(r, "a", nil)
		h := newHeartbeat(extendFunc(func(ctx context.Context, q keys.Queue, leases []*store.Lease) ([]error, error) {
			beats = append(beats, time.Since(begun))
			return extendAll(ctx, q, leases)
		}), r, leaseLength, silent())

		during(t, h.run, func(context.Context) { time.Sleep(65 * time.Second) })

		want := []time.Duration{9 * time.Second, 18 * time.Second, 27 * time.Second, 36 * time.Second, 45 * time.Second, 54 * time.Second, 63 * time.Second}
		if !slices.Equal(beats, want) {
			t.Errorf("beats at %v, want %v", beats, want)
		}
		wantCause(t, a.ctx, nil)
	})
}

func TestHeartbeatEndsHandlers(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		answer, cause error
	}{
		"whose task was revoked":       {seri.ErrRevoked, seri.ErrRevoked},
		"whose lease is another's":     {&seri.FencedError{TaskID: "a", Held: 7, Seen: 8}, seri.ErrLeaseLost},
		"whose lease is nobody's":      {&seri.FencedError{TaskID: "a", Held: 7}, seri.ErrLeaseLost},
		"but not those that go on yet": {nil, nil},
	}
	for sentence, c := range cases {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRegistry(silent())
				a, b := held(r, "a", nil), held(r, "b", nil)
				h := newHeartbeat(extendFunc(func(_ context.Context, _ keys.Queue, leases []*store.Lease) ([]error, error) {
					answers := make([]error, len(leases))
					for i, l := range leases {
						if l.ID() == "a" {
							answers[i] = c.answer
						}
					}
					return answers, nil
				}), r, leaseLength, silent())

				during(t, h.run, func(context.Context) {
					time.Sleep(leaseLength / 3)
					synctest.Wait()
				})

				wantCause(t, a.ctx, c.cause)
				wantCause(t, b.ctx, nil)
			})
		})
	}
}

// A handler may go on exactly as long as nobody else can have its task: until the lease's length after the last request
// that was granted, not until some beat after it.
func TestAHandlerEndsWithItsProvableLease(t *testing.T) {
	t.Parallel()
	refused := func(context.Context, keys.Queue, []*store.Lease) ([]error, error) {
		return nil, errors.New("connection refused")
	}
	cases := map[string]struct {
		outage extendFunc
		after  time.Duration // of the beginning, Redis is gone
		ends   time.Duration
	}{
		"when Redis hangs from the first beat on":    {unreachable, 0, 30 * time.Second},
		"when Redis hangs after the first beat":      {unreachable, 11 * time.Second, 39 * time.Second},
		"when Redis refuses connections":             {refused, 0, 30 * time.Second},
		"when Redis refuses them after three beats":  {refused, 31 * time.Second, 57 * time.Second},
		"when Redis hangs after a very long time up": {unreachable, time.Hour + time.Second, time.Hour + 30*time.Second},
	}
	for sentence, c := range cases {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				r := newRegistry(silent())
				a := held(r, "a", nil)
				h := newHeartbeat(extendFunc(func(ctx context.Context, q keys.Queue, leases []*store.Lease) ([]error, error) {
					if time.Since(begun) > c.after {
						return c.outage(ctx, q, leases)
					}
					return extendAll(ctx, q, leases)
				}), r, leaseLength, silent())

				during(t, h.run, func(context.Context) { <-a.ctx.Done() })

				if lived := time.Since(begun); lived != c.ends {
					t.Errorf("the handler went on for %v, want %v", lived, c.ends)
				}
				wantCause(t, a.ctx, seri.ErrLeaseLost)
			})
		})
	}
}

func TestHeartbeatSurvivesTwoLostCalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		r := newRegistry(silent())
		a := held(r, "a", nil)
		h := newHeartbeat(extendFunc(func(ctx context.Context, q keys.Queue, leases []*store.Lease) ([]error, error) {
			if calls++; calls%3 != 0 {
				return nil, errors.New("connection reset")
			}
			// The answer comes late, but the lease counts from the request.
			return extendAll(ctx, q, leases)
		}), r, leaseLength+time.Millisecond, silent())

		during(t, h.run, func(context.Context) { time.Sleep(leaseLength - time.Millisecond) })

		wantCause(t, a.ctx, nil)
	})
}

// A lease that was awaited is old when it comes, and may come right after a beat.
func TestAnOldLeaseSurvivesTwoLostCallsToo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		r := newRegistry(silent())
		h := newHeartbeat(extendFunc(func(ctx context.Context, q keys.Queue, leases []*store.Lease) ([]error, error) {
			if calls++; calls < 3 {
				return nil, errors.New("connection reset")
			}
			return extendAll(ctx, q, leases)
		}), r, leaseLength, silent())

		during(t, h.run, func(context.Context) {
			asked := time.Now().Add(9*time.Second + time.Millisecond - leaseLength/6)
			time.Sleep(9*time.Second + time.Millisecond)
			a := take(r, leaseOf("q", "a"), nil, asked, leaseLength)
			h.received(asked)
			time.Sleep(40 * time.Second)

			wantCause(t, a.ctx, nil)
		})
	})
}

func TestLeasesOfASlowDequeueAreExtendedAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry(silent())
		h := newHeartbeat(extendFunc(extendAll), r, leaseLength, silent())

		during(t, h.run, func(context.Context) {
			time.Sleep(time.Second) // the next beat is nine seconds away
			asked := time.Now()
			time.Sleep(28 * time.Second)
			h.beat(t.Context()) // whatever the beat's phase
			a := take(r, leaseOf("q", "a"), nil, asked, leaseLength)
			h.received(asked)
			time.Sleep(20 * time.Second)

			wantCause(t, a.ctx, nil)
		})
	})
}

func TestAQueueOutOfReachDoesNotCostTheOthersTheirLeases(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry(silent())
		var lost []*attempt
		for _, q := range []keys.Queue{"x", "y", "z"} {
			lost = append(lost, heldIn(r, q, "a", nil))
		}
		fine := heldIn(r, "fine", "a", nil)
		h := newHeartbeat(extendFunc(func(ctx context.Context, q keys.Queue, leases []*store.Lease) ([]error, error) {
			if q != "fine" {
				return unreachable(ctx, q, leases)
			}
			return extendAll(ctx, q, leases)
		}), r, leaseLength, silent())

		during(t, h.run, func(context.Context) { time.Sleep(10 * leaseLength) })

		wantCause(t, fine.ctx, nil)
		for _, a := range lost {
			wantCause(t, a.ctx, seri.ErrLeaseLost)
		}
	})
}

// Extended once more, the lease would keep the task from the worker that is to run it, for as long as the handler that was
// given up ignores its context.
func TestALostLeaseIsNotExtendedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		var outage atomic.Bool
		outage.Store(true)
		var extended []time.Duration
		r := newRegistry(silent())
		a := held(r, "a", nil)
		h := newHeartbeat(extendFunc(func(ctx context.Context, q keys.Queue, leases []*store.Lease) ([]error, error) {
			if outage.Load() {
				return nil, errors.New("connection refused")
			}
			extended = append(extended, time.Since(begun))
			return extendAll(ctx, q, leases)
		}), r, leaseLength, silent())

		during(t, h.run, func(context.Context) {
			<-a.ctx.Done()
			outage.Store(false) // Redis is back, and the lease has not been taken yet
			time.Sleep(2 * leaseLength)
		})

		if len(extended) > 0 {
			t.Errorf("the lost lease was extended at %v", extended)
		}
	})
}

func TestAHintOnTheCancelChannel(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		answers []error
		err     error
		cause   error
	}{
		"of a revoked task ends it as revoked":           {[]error{seri.ErrRevoked}, nil, seri.ErrRevoked},
		"of a task that is not revoked ends the attempt": {[]error{nil}, nil, errCancelled},
		"that cannot be looked up ends the attempt":      {nil, errors.New("connection reset"), errCancelled},
		"of a task that is another's ends it as lost":    {[]error{&seri.FencedError{}}, nil, seri.ErrLeaseLost},
	}
	for sentence, c := range cases {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRegistry(silent())
				a := held(r, "a", nil)
				h := newHeartbeat(extendFunc(func(context.Context, keys.Queue, []*store.Lease) ([]error, error) {
					return c.answers, c.err
				}), r, leaseLength, silent())

				during(t, h.run, func(context.Context) {
					h.check <- r.withID("a")
					<-a.ctx.Done()
				})

				wantCause(t, a.ctx, c.cause)
			})
		})
	}
}

func TestTheRegistryForgetsOnlyTheAttemptItIsToldOf(t *testing.T) {
	t.Parallel()
	r := newRegistry(silent())
	first := held(r, "a", nil)
	second := held(r, "a", nil) // the same task, leased again after the first was taken for dead

	r.remove(first)

	if found := r.withID("a"); len(found) != 1 || found[0] != second {
		t.Errorf("found %v, want the second attempt only", found)
	}
	r.remove(second)
	if left := len(r.byQueue()) + len(r.withID("a")); left != 0 {
		t.Errorf("%d entries are left", left)
	}
}

// What watches over the process must not restart it because Redis is away, and must notice when the loop stands still.
func TestTheHeartbeatShowsThatItTurnsAlsoWhileRedisIsAway(t *testing.T) {
	t.Parallel()
	for sentence, lease := range map[string]time.Duration{"with the usual lease": leaseLength, "with a long one": time.Hour} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRegistry(silent())
				held(r, "a", nil)
				// A call is given up after 5 s, as the client does, or with the call's own deadline.
				h := newHeartbeat(extendFunc(func(ctx context.Context, q keys.Queue, leases []*store.Lease) ([]error, error) {
					ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
					defer cancel()
					return unreachable(ctx, q, leases)
				}), r, lease, silent())
				last, longest := time.Now(), time.Duration(0)
				h.alive = func() {
					longest = max(longest, time.Since(last))
					last = time.Now()
				}

				during(t, h.run, func(context.Context) { time.Sleep(2 * time.Hour) })

				if longest > 10*time.Second || time.Since(last) > 10*time.Second {
					t.Errorf("the loop did not turn for %v, and at last for %v", longest, time.Since(last))
				}
			})
		})
	}
}
