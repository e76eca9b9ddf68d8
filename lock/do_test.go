package lock_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/lock"
)

func TestDoExcludesOthersAndNumbersThem(t *testing.T) {
	t.Parallel()
	redistest.EachWithEmbedded(t, func(t *testing.T, rdb redis.UniversalClient) {
		locks, name := lock.New(rdb), redistest.Queue(t)
		var inside atomic.Int32
		var mu sync.Mutex
		var tokens []uint64
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				err := locks.Do(t.Context(), name, 30*time.Second, func(_ context.Context, token uint64) error {
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
	redistest.EachWithEmbedded(t, func(t *testing.T, rdb redis.UniversalClient) {
		locks, name := lock.New(rdb), redistest.Queue(t)
		const ttl = 6 * time.Second // is renewed after a third

		err := locks.Do(t.Context(), name, ttl, func(ctx context.Context, token uint64) error {
			begun := rdb.HGet(ctx, keys.Lock(name), "until").Val()
			eventually(t, "the lease was renewed", func() bool {
				until := rdb.HGet(ctx, keys.Lock(name), "until").Val()
				return until > begun || ctx.Err() != nil
			})
			if now := rdb.HGet(ctx, keys.Lock(name), "token").Val(); now != strconv.FormatUint(token, 10) {
				t.Errorf("the renewed lock has the token %s, its holder %d", now, token)
			}
			return context.Cause(ctx)
		})

		if err != nil {
			t.Fatal(err)
		}
	})
}

func TestDoReleasesWhateverBecomesOfItsWork(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	for how, work := range map[string]func(context.Context, uint64) error{
		"it returns":     func(context.Context, uint64) error { return nil },
		"it fails":       func(context.Context, uint64) error { return boom },
		"it panics":      func(context.Context, uint64) error { panic(boom) },
		"its ctx is out": func(ctx context.Context, _ uint64) error { <-ctx.Done(); return context.Cause(ctx) },
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			rdb := redistest.New(t)
			locks := lock.New(rdb)
			ctx, cancel := context.WithTimeoutCause(t.Context(), 200*time.Millisecond, boom)
			defer cancel()
			err := func() (err error) {
				defer func() {
					if p := recover(); p != nil {
						err = p.(error)
					}
				}()
				return locks.Do(ctx, "l", time.Hour, work)
			}()

			if how == "it returns" && err != nil || how != "it returns" && !errors.Is(err, boom) {
				t.Errorf("Do: %v", err)
			}
			try(t, locks, "l", time.Hour)
		})
	}
}

func TestTheContextEndsWhenTheLeaseCannotBeProven(t *testing.T) {
	t.Parallel()
	untilLost := func(ctx context.Context, _ uint64) error {
		<-ctx.Done()
		return context.Cause(ctx)
	}

	t.Run("because Redis' clock has jumped and another has the lock", func(t *testing.T) {
		t.Parallel()
		redistest.EachWithEmbedded(t, func(t *testing.T, rdb redis.UniversalClient) {
			name := redistest.Queue(t)
			var second *lock.Lock
			err := lock.New(rdb).Do(t.Context(), name, 3*time.Second, func(ctx context.Context, token uint64) error {
				if err := rdb.HSet(ctx, keys.Lock(name), "until", "1").Err(); err != nil {
					return err
				}
				second = try(t, lock.New(another(t, rdb)), name, time.Minute)
				return untilLost(ctx, token)
			})

			fenced, ok := errors.AsType[*seri.FencedError](err)
			if !errors.Is(err, lock.ErrLost) || !ok || fenced.Seen != second.Token() {
				t.Errorf("Do: %v, want ErrLost and a FencedError with %d", err, second.Token())
			}
			if err := second.Release(t.Context()); err != nil {
				t.Errorf("the second holder: %v", err)
			}
		})
	})

	t.Run("because Redis is silent, before the lease can end", func(t *testing.T) {
		t.Parallel()
		server := redistest.Exclusive(t)
		const ttl = 5 * time.Second
		var lived time.Duration
		err := lock.New(server.Client()).Do(t.Context(), "l", ttl, func(ctx context.Context, token uint64) error {
			server.Pause()
			defer server.Resume()
			paused := time.Now()
			defer func() { lived = time.Since(paused) }()
			return untilLost(ctx, token)
		})

		if !errors.Is(err, lock.ErrLost) {
			t.Errorf("Do: %v, want ErrLost", err)
		}
		if lived >= ttl {
			t.Errorf("the context ended %v after the last renewal, and the lease is %v", lived, ttl)
		}
	})

	t.Run("and Do tells, though the work does not", func(t *testing.T) {
		t.Parallel()
		rdb := redistest.New(t)
		err := lock.New(rdb).Do(t.Context(), "l", 300*time.Millisecond, func(ctx context.Context, _ uint64) error {
			rdb.HSet(ctx, keys.Lock("l"), "nonce", "somebody else's")
			<-ctx.Done()
			return nil
		})
		if !errors.Is(err, lock.ErrLost) {
			t.Errorf("Do: %v, want ErrLost", err)
		}
	})
}
