package lock_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/lock"
)

// waiter is an Acquire in the background.
type waiter struct {
	lock   *lock.Lock
	err    error
	cancel context.CancelCauseFunc
	done   chan struct{}
}

// wait starts an Acquire and returns when it stands in the queue.
func wait(t *testing.T, rdb redis.UniversalClient, name string, ttl time.Duration) *waiter {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	w := &waiter{cancel: cancel, done: make(chan struct{})}
	before := rdb.ZCard(t.Context(), keys.LockQueue(name)).Val()
	go func() {
		defer close(w.done)
		w.lock, w.err = lock.New(rdb).Acquire(ctx, name, ttl)
	}()
	t.Cleanup(func() { cancel(nil); <-w.done })
	eventually(t, "the waiter is in the queue", func() bool {
		return rdb.ZCard(context.WithoutCancel(t.Context()), keys.LockQueue(name)).Val() > before
	})
	return w
}

// ghost puts a waiter into the queue that died right after it came.
func ghost(t *testing.T, rdb redis.UniversalClient, name string, presence time.Duration) {
	t.Helper()
	now, err := rdb.Time(t.Context()).Result()
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(
		rdb.ZAdd(t.Context(), keys.LockQueue(name), redis.Z{Score: float64(now.UnixMicro()), Member: "ghost"}).Err(),
		rdb.ZAdd(t.Context(), keys.LockPresence(name), redis.Z{Score: float64(now.Add(presence).UnixMicro()), Member: "ghost"}).Err(),
	)
	if err != nil {
		t.Fatal(err)
	}
}

// Fifteen waiters of two clients, each of which holds the lock for a moment.
func TestWaitersAreServedInTheOrderOfTheirArrival(t *testing.T) {
	t.Parallel()
	redistest.EachWithEmbedded(t, func(t *testing.T, rdb redis.UniversalClient) {
		const n = 15
		name := redistest.Queue(t)
		clients := []redis.UniversalClient{rdb, another(t, rdb)}
		held := try(t, lock.New(rdb), name, time.Minute)
		var mu sync.Mutex
		var order []int
		var served sync.WaitGroup
		for i := range n {
			w := wait(t, clients[i%2], name, time.Minute)
			served.Go(func() {
				<-w.done
				if w.err != nil {
					t.Errorf("waiter %d: %v", i, w.err)
					return
				}
				mu.Lock()
				order = append(order, i)
				mu.Unlock()
				if err := w.lock.Release(t.Context()); err != nil {
					t.Errorf("waiter %d: %v", i, err)
				}
			})
		}

		release(t, held)
		served.Wait()

		if !slices.IsSorted(order) || len(order) != n {
			t.Errorf("served in the order %v", order)
		}
	})
}

// By itself a waiter looks again after 2 s, so ten handovers without a bell would take about 20.
func TestAReleaseWakesWhoWaits(t *testing.T) {
	t.Parallel()
	redistest.EachWithEmbedded(t, func(t *testing.T, rdb redis.UniversalClient) {
		name := redistest.Queue(t)
		held := try(t, lock.New(rdb), name, time.Hour)
		const handovers = 10
		var sum time.Duration
		for range handovers {
			w := wait(t, rdb, name, time.Hour)
			released := time.Now()
			release(t, held)
			<-w.done
			sum += time.Since(released)
			if w.err != nil {
				t.Fatal(w.err)
			}
			held = w.lock
		}

		t.Logf("a handover took %v on average", sum/handovers)
		if sum > 5*time.Second {
			t.Errorf("%d handovers took %v", handovers, sum)
		}
	})
}

func TestADeadHolderIsSucceededWhenItsLeaseEnds(t *testing.T) {
	t.Parallel()
	redistest.EachWithEmbedded(t, func(t *testing.T, rdb redis.UniversalClient) {
		name := redistest.Queue(t)
		const ttl = 400 * time.Millisecond
		begun := time.Now()
		dead := try(t, lock.New(rdb), name, ttl)

		first, second := wait(t, rdb, name, ttl), wait(t, rdb, name, ttl) // of whom the first one dies in its turn
		<-first.done
		<-second.done

		if err := errors.Join(first.err, second.err); err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(begun); waited < 2*ttl || waited > 2*ttl+1500*time.Millisecond {
			t.Errorf("two leases of %v after each other ended after %v", ttl, waited)
		}
		if first.lock.Token() <= dead.Token() || second.lock.Token() <= first.lock.Token() {
			t.Errorf("tokens %d, %d, %d do not rise", dead.Token(), first.lock.Token(), second.lock.Token())
		}
	})
}

func TestADeadWaiterHoldsTheOthersUpForItsPresenceOnly(t *testing.T) {
	t.Parallel()
	redistest.EachWithEmbedded(t, func(t *testing.T, rdb redis.UniversalClient) {
		name := redistest.Queue(t)
		held := try(t, lock.New(rdb), name, time.Hour)
		ghost(t, rdb, name, time.Second)
		alive := wait(t, rdb, name, time.Hour)
		released := time.Now()

		release(t, held)
		<-alive.done

		if waited := time.Since(released); alive.err != nil || waited > 10*time.Second {
			t.Errorf("after %v: %v", waited, alive.err)
		}
	})
}

// The lock's holder and the first waiter die, and Redis' clock goes back by an hour: both seem to be there for an hour.
func TestAClockThatWentBackKeepsNobodyOut(t *testing.T) {
	t.Parallel()
	redistest.EachWithEmbedded(t, func(t *testing.T, rdb redis.UniversalClient) {
		name := redistest.Queue(t)
		dead := try(t, lock.New(rdb), name, 300*time.Millisecond)
		later := time.Now().Add(time.Hour).UnixMicro()
		if err := rdb.HSet(t.Context(), keys.Lock(name), "until", later).Err(); err != nil {
			t.Fatal(err)
		}
		ghost(t, rdb, name, time.Hour)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()

		l, err := lock.New(rdb).Acquire(ctx, name, time.Minute)

		if err != nil || l.Token() <= dead.Token() {
			t.Errorf("%v", err)
		}
	})
}

func TestTryOvertakesNobody(t *testing.T) {
	t.Parallel()
	redistest.EachWithEmbedded(t, func(t *testing.T, rdb redis.UniversalClient) {
		locks, name := lock.New(rdb), redistest.Queue(t)
		held := try(t, locks, name, time.Minute)
		ghost(t, rdb, name, 30*time.Second)
		release(t, held)

		if _, err := locks.Try(t.Context(), name, time.Minute); !errors.Is(err, lock.ErrHeld) {
			t.Errorf("Try: %v, want ErrHeld", err)
		}
	})
}

func TestALockIsNotReentrant(t *testing.T) {
	t.Parallel()
	redistest.EachWithEmbedded(t, func(t *testing.T, rdb redis.UniversalClient) {
		locks, name := lock.New(rdb), redistest.Queue(t)
		err := locks.Do(t.Context(), name, time.Minute, func(ctx context.Context, _ uint64) error {
			short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
			defer cancel()
			return locks.Do(short, name, time.Minute, func(context.Context, uint64) error {
				t.Error("the holder has the lock twice")
				return nil
			})
		})

		if !errors.Is(err, lock.ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Do within Do: %v, want ErrTimeout", err)
		}
		if n := rdb.ZCard(t.Context(), keys.LockQueue(name)).Val(); n != 0 {
			t.Errorf("%d waiters are left in the queue", n)
		}
	})
}

func TestAWaiterThatGoesPassesItsTurnOn(t *testing.T) {
	t.Parallel()
	redistest.EachWithEmbedded(t, func(t *testing.T, rdb redis.UniversalClient) {
		name := redistest.Queue(t)
		held := try(t, lock.New(rdb), name, time.Hour)
		first, second := wait(t, rdb, name, time.Hour), wait(t, rdb, name, time.Hour)
		gone := errors.New("somebody said so")

		first.cancel(gone)
		<-first.done
		released := time.Now()
		release(t, held)
		<-second.done

		if !errors.Is(first.err, gone) || errors.Is(first.err, lock.ErrTimeout) {
			t.Errorf("the first waiter: %v, want the cause of its context", first.err)
		}
		if waited := time.Since(released); second.err != nil || waited > 1900*time.Millisecond {
			t.Errorf("the second waiter, %v after the release: %v", waited, second.err)
		}
	})
}

func TestAcquireEndsInTimeWhileRedisIsSilent(t *testing.T) {
	t.Parallel()
	server := redistest.Exclusive(t)
	rdb := server.Client()
	try(t, lock.New(rdb), "l", time.Minute)
	w := wait(t, rdb, "l", time.Minute)

	server.Pause()
	defer server.Resume()
	paused := time.Now()
	w.cancel(context.DeadlineExceeded)
	<-w.done

	// A second is spent on an attempt to leave the queue.
	if took := time.Since(paused); w.err == nil || took > 4*time.Second {
		t.Errorf("Acquire ended with %v, %v after its context", w.err, took)
	}
}

// Not parallel: other tests' goroutines would be seen.
func TestNothingIsLeftBehind(t *testing.T) {
	rdb := redistest.New(t)
	locks, name := lock.New(rdb), redistest.Queue(t)
	err := locks.Do(t.Context(), name, time.Minute, func(ctx context.Context, _ uint64) error {
		short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		defer cancel()
		_, err := locks.Acquire(short, name, time.Minute)
		return err
	})
	if !errors.Is(err, lock.ErrTimeout) {
		t.Fatal(err)
	}

	var left string
	eventually(t, "no goroutine of the package is left", func() bool {
		stacks := make([]byte, 1<<20)
		left = string(stacks[:runtime.Stack(stacks, true)])
		return !strings.Contains(left, "seri/lock.(*") && !strings.Contains(left, "BLPop")
	})
}
