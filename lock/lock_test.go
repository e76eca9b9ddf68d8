package lock_test

import (
	"context"
	"errors"
	"math"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/lock"
)

func TestAHeldLockIsRefused(t *testing.T) {
	t.Parallel()
	redistest.EachWithEmbedded(t, func(t *testing.T, rdb redis.UniversalClient) {
		locks, name := lock.New(rdb), redistest.Queue(t)

		held, err := locks.Try(t.Context(), name, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := locks.Try(t.Context(), name, time.Minute); !errors.Is(err, lock.ErrHeld) {
			t.Fatalf("second Try: %v, want ErrHeld", err)
		}
		if err := held.Release(t.Context()); err != nil {
			t.Fatal(err)
		}

		if _, err := locks.Try(t.Context(), name, time.Minute); err != nil {
			t.Fatalf("Try after the release: %v", err)
		}
	})
}

func TestTokensRise(t *testing.T) {
	t.Parallel()
	redistest.EachWithEmbedded(t, func(t *testing.T, rdb redis.UniversalClient) {
		locks := lock.New(rdb)
		for what, before := range map[string]uint64{
			"from nothing":                           0,
			"from a past clock, with sixteen digits": 1763800000000001,
			"from a clock that ran ahead":            uint64(time.Now().Add(time.Hour).UnixMicro()),
			"from the last number that is exact":     math.MaxUint32 << 20,
		} {
			name := redistest.Queue(t)
			if err := rdb.Set(t.Context(), keys.LockFence(name), strconv.FormatUint(before, 10), 0).Err(); err != nil {
				t.Fatal(err)
			}
			last := before
			for range 3 {
				l, err := locks.Try(t.Context(), name, time.Minute)
				if err != nil {
					t.Fatal(err)
				}
				if l.Token() <= last {
					t.Errorf("%s: token %d after %d", what, l.Token(), last)
				}
				if before > uint64(time.Now().UnixMicro()) && l.Token() != last+1 {
					t.Errorf("%s: token %d after %d, want the next number exactly", what, l.Token(), last)
				}
				last = l.Token()
				if err := l.Release(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

func TestWhoLostTheLockChangesNothing(t *testing.T) {
	t.Parallel()
	redistest.EachWithEmbedded(t, func(t *testing.T, rdb redis.UniversalClient) {
		locks, name := lock.New(rdb), redistest.Queue(t)
		first, err := locks.Try(t.Context(), name, 10*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		second, err := locks.Acquire(t.Context(), name, time.Minute) // once the first lease has run out
		if err != nil {
			t.Fatal(err)
		}
		before := rdb.HGetAll(t.Context(), keys.Lock(name)).Val()

		err = first.Release(t.Context())

		if !errors.Is(err, lock.ErrLost) {
			t.Errorf("Release of a lost lock: %v, want ErrLost", err)
		}
		if after := rdb.HGetAll(t.Context(), keys.Lock(name)).Val(); len(after) == 0 || after["nonce"] != before["nonce"] {
			t.Errorf("the second holder's lock changed from %v to %v", before, after)
		}
		if second.Token() <= first.Token() {
			t.Errorf("second token %d, first %d", second.Token(), first.Token())
		}
	})
}

func TestDoExcludesOthersAndNumbersThem(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, rdb redis.UniversalClient) {
		locks, name := lock.New(rdb), redistest.Queue(t)
		var inside atomic.Int32
		var mu sync.Mutex
		var tokens []uint64
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				err := locks.Do(t.Context(), name, 100*time.Millisecond, func(_ context.Context, token uint64) error {
					if inside.Add(1) != 1 {
						t.Error("two holders at once")
					}
					mu.Lock()
					tokens = append(tokens, token)
					mu.Unlock()
					inside.Add(-1)
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()

		for i := 1; i < len(tokens); i++ {
			if tokens[i] <= tokens[i-1] {
				t.Errorf("tokens %v do not rise", tokens)
			}
		}
	})
}

func TestDoRenewsItsLease(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t)
	locks, name := lock.New(rdb), redistest.Queue(t)
	const ttl = 150 * time.Millisecond

	err := locks.Do(t.Context(), name, ttl, func(ctx context.Context, _ uint64) error {
		outlived := time.After(3 * ttl)
		for {
			select {
			case <-outlived:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			default:
				if _, err := locks.Try(ctx, name, ttl); !errors.Is(err, lock.ErrHeld) {
					return errors.New("another could take the lock")
				}
			}
		}
	})

	if err != nil {
		t.Fatal(err)
	}
}

func TestDoEndsItsContextWhenTheLeaseCannotBeProven(t *testing.T) {
	t.Parallel()
	t.Run("because another has the lock", func(t *testing.T) {
		t.Parallel()
		rdb := redistest.New(t)
		name := redistest.Queue(t)
		err := lock.New(rdb).Do(t.Context(), name, 200*time.Millisecond, func(ctx context.Context, _ uint64) error {
			rdb.HSet(ctx, keys.Lock(name), "nonce", "somebody else's")
			<-ctx.Done()
			return context.Cause(ctx)
		})
		if !errors.Is(err, lock.ErrLost) {
			t.Fatalf("Do: %v, want ErrLost", err)
		}
	})
	t.Run("because Redis is silent", func(t *testing.T) {
		t.Parallel()
		server := redistest.Exclusive(t)
		const ttl = 500 * time.Millisecond
		var late time.Duration
		err := lock.New(server.Client()).Do(t.Context(), "l", ttl, func(ctx context.Context, _ uint64) error {
			server.Pause()
			defer server.Resume()
			paused := time.Now()
			<-ctx.Done()
			late = time.Since(paused) - ttl
			return context.Cause(ctx)
		})
		if !errors.Is(err, lock.ErrLost) {
			t.Fatalf("Do: %v, want ErrLost", err)
		}
		if late > ttl {
			t.Errorf("the context ended %v after the lease", late)
		}
	})
}

func TestAcquireEndsWithItsContext(t *testing.T) {
	t.Parallel()
	locks, name := lock.New(redistest.New(t)), redistest.Queue(t)
	if _, err := locks.Try(t.Context(), name, time.Minute); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()

	_, err := locks.Acquire(ctx, name, time.Minute)

	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Acquire: %v, want the context's error", err)
	}
}
