package engine

import (
	"context"
	"errors"
	"io"
	"net"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/store"
)

// ledger is a store that grants a lease to the first question after its time has come.
type ledger struct {
	grant time.Time // zero: never
	fail  error
	asked []time.Time
	of    store.Unheard // of the last question
}

func (l *ledger) Claim(_ context.Context, _ keys.Queue, of store.Unheard, _ time.Duration) (b store.Batch, err error) {
	now := time.Now()
	l.asked, l.of = append(l.asked, now), of
	if l.fail != nil {
		return b, l.fail
	}
	if !l.grant.IsZero() && !now.Before(l.grant) {
		lease := leaseOf("q", "t1")
		lease.Nonce = of.Nonces[0]
		b.Leases, l.grant = append(b.Leases, lease), time.Time{}
	}
	return b, nil
}

// lost is a call for one task whose reply is lost.
func lost() store.Wanted { return store.Wanted{Tasks: 1, Nonce: "lost"} }

// newTestClaims returns claims on l whose attempts are run by slots with a handler that says which task it has.
func newTestClaims(l *ledger, slots *slots, r *registry) (*claims, chan string) {
	ran := make(chan string, 10)
	take := func(b store.Batch, asked time.Time) (attempts []*attempt) {
		for _, lease := range b.Leases {
			attempts = append(attempts, heldIn(r, lease.Queue, lease.ID(), func(context.Context, []byte) ([]byte, error) {
				ran <- lease.ID()
				return nil, nil
			}))
		}
		return attempts
	}
	return newClaims(l, leaseLength, take, slots, silent()), ran
}

func TestLeasesOfALostReplyAreClaimed(t *testing.T) {
	t.Parallel()
	for name, after := range map[string]time.Duration{"soon": 0, "when Redis has come to the call at last": leaseLength / 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := &ledger{grant: time.Now().Add(after)}
				slots, r, _ := newTestSlots(1, time.Second)
				slots.acquire(t.Context()) // there is no room, and the task is run all the same
				c, ran := newTestClaims(l, slots, r)
				during(t, c.run, func(context.Context) {
					c.doubt("q", lost(), time.Now(), io.EOF)
					if id := <-ran; id != "t1" {
						t.Errorf("task %s was run", id)
					}
					time.Sleep(2 * leaseLength)
				})
				if n := len(l.asked); len(c.doubts) != 0 || n > 10 {
					t.Errorf("asked %d times, %d queues in doubt in the end", n, len(c.doubts))
				}
			})
		})
	}
}

func TestQuestionsBecomeRarerAndEndWithTheLease(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]error{"when there is nothing to claim": nil, "when Redis is away": errors.New("connection refused")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := &ledger{fail: fail}
				slots, r, _ := newTestSlots(1, time.Second)
				c, _ := newTestClaims(l, slots, r)
				begun := time.Now()
				during(t, c.run, func(context.Context) {
					c.doubt("q", lost(), time.Now(), context.DeadlineExceeded)
					time.Sleep(10 * leaseLength)
				})
				if n := len(l.asked); n < 2 || n > 10 {
					t.Errorf("asked %d times", n)
				}
				for i := 2; i < len(l.asked); i++ {
					if l.asked[i].Sub(l.asked[i-1]) <= l.asked[i-1].Sub(l.asked[i-2])/2 {
						t.Errorf("asked at %v", l.asked)
					}
				}
				if last := l.asked[len(l.asked)-1].Sub(begun); last > leaseLength {
					t.Errorf("asked even %v after the call, whose leases last %v", last, leaseLength)
				}
			})
		})
	}
}

func TestACallThatWasNeverSentIsNotInDoubt(t *testing.T) {
	t.Parallel()
	c, _ := newTestClaims(&ledger{}, nil, nil)
	for _, err := range []error{
		&net.OpError{Op: "dial", Err: errors.New("connection refused")}, redis.ErrPoolTimeout, redis.Nil,
	} {
		if c.doubt("q", lost(), time.Now(), err); len(c.doubts) != 0 {
			t.Errorf("in doubt after %v", err)
		}
	}
}

func TestAWorkerThatStopsHandsBackWhatItHasNotHeardOf(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slots, r, outcomes := newTestSlots(1, time.Second)
		c, ran := newTestClaims(&ledger{grant: time.Now()}, slots, r)
		during(t, c.run, func(context.Context) { c.doubt("q", lost(), time.Now(), io.EOF) })

		if len(outcomes) != 1 || len(ran) != 0 {
			t.Fatalf("%d outcomes, %d runs", len(outcomes), len(ran))
		}
		if o := <-outcomes; o.kind != handedBack || o.attempt.lease.ID() != "t1" {
			t.Errorf("outcome %+v", o)
		}
	})
}

// What a claim looks at is bounded by what may have been leased, and since when.
func TestAClaimSaysHowLittleMayHaveBeenLeased(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slots, r, _ := newTestSlots(1, time.Second)
		l := &ledger{}
		c, _ := newTestClaims(l, slots, r)
		during(t, c.run, func(context.Context) {
			asked := time.Now()
			time.Sleep(time.Second) // it has blocked
			c.doubt("q", store.Wanted{Tasks: 10, Nonce: "a"}, asked, io.EOF)
			c.doubt("q", store.Wanted{Tasks: 3, Nonce: "b"}, time.Now(), io.EOF)
		})

		want := store.Unheard{Nonces: []string{"a", "b"}, Tasks: 13, Ago: time.Second + claimTimeout + claimSlack}
		if !reflect.DeepEqual(l.of, want) || len(l.asked) != 1 {
			t.Errorf("asked %d times, the last time about %+v, want %+v", len(l.asked), l.of, want)
		}
	})
}
