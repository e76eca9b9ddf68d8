package lock_test

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/internal/redisurl"
	"github.com/seri-queue/seri/lock"
)

// another returns a second client on the same Redis, as another process has.
func another(t *testing.T, rdb redis.UniversalClient) redis.UniversalClient {
	t.Helper()
	other, err := redisurl.Open(redistest.URL(rdb))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Close() })
	return other
}

// try takes a lock that is free.
func try(t *testing.T, locks *lock.Locks, name string, ttl time.Duration) *lock.Lock {
	t.Helper()
	l, err := locks.Try(t.Context(), name, ttl)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func release(t *testing.T, l *lock.Lock) {
	t.Helper()
	if err := l.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// wantLost asserts that a call was refused because another, or nobody (0), holds the lock.
func wantLost(t *testing.T, what string, err error, held, seen uint64) {
	t.Helper()
	fenced, ok := errors.AsType[*seri.FencedError](err)
	if !errors.Is(err, lock.ErrLost) || !ok || fenced.Held != held || fenced.Seen != seen {
		t.Errorf("%s: %v, want ErrLost and a FencedError for %d with %d on record", what, err, held, seen)
	}
}

func TestAHeldLockIsRefused(t *testing.T) {
	t.Parallel()
	redistest.EachWithEmbedded(t, func(t *testing.T, rdb redis.UniversalClient) {
		locks, name := lock.New(rdb), redistest.Queue(t)

		held := try(t, locks, name, time.Minute)
		for _, other := range []*lock.Locks{locks, lock.New(another(t, rdb))} {
			if _, err := other.Try(t.Context(), name, time.Minute); !errors.Is(err, lock.ErrHeld) {
				t.Fatalf("second Try: %v, want ErrHeld", err)
			}
		}
		release(t, held)

		try(t, locks, name, time.Minute)
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
				l := try(t, locks, name, time.Minute)
				if l.Token() <= last {
					t.Errorf("%s: token %d after %d", what, l.Token(), last)
				}
				if before > uint64(time.Now().UnixMicro()) && l.Token() != last+1 {
					t.Errorf("%s: token %d after %d, want the next number exactly", what, l.Token(), last)
				}
				last = l.Token()
				release(t, l)
			}
		}
	})
}

// The replica has the fence and the lock as they were before the primary's last grants, and is promoted.
func TestTokensRiseOverAFailoverThatLosesGrants(t *testing.T) {
	t.Parallel()
	primary, replica := redistest.Exclusive(t, "--repl-diskless-sync-delay", "0"), redistest.Exclusive(t)
	before, after := primary.Client(), replica.Client()
	host, port, _ := strings.Cut(primary.Addr(), ":")
	if err := after.ReplicaOf(t.Context(), host, port).Err(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the replica is in step", func() bool {
		return strings.Contains(after.Info(t.Context(), "replication").Val(), "master_link_status:up")
	})
	locks := lock.New(before)
	release(t, try(t, locks, "l", time.Minute))
	if n := before.Wait(t.Context(), 1, 10*time.Second).Val(); n != 1 {
		t.Fatalf("%d replicas have the first grant", n)
	}
	if err := after.ReplicaOf(t.Context(), "NO", "ONE").Err(); err != nil { // what follows it has never seen
		t.Fatal(err)
	}
	var zombie *lock.Lock
	for range 10 {
		zombie = try(t, locks, "l", time.Minute)
		if err := before.Del(t.Context(), keys.Lock("l")).Err(); err != nil { // as if its lease had ended
			t.Fatal(err)
		}
	}
	if old := after.Get(t.Context(), keys.LockFence("l")).Val(); old == "" || old >= strconv.FormatUint(zombie.Token(), 10) {
		t.Fatalf("the promoted server has the fence %q; nothing was lost", old)
	}

	l := try(t, lock.New(after), "l", time.Minute)

	if l.Token() <= zombie.Token() {
		t.Errorf("token %d after %d", l.Token(), zombie.Token())
	}
}

func TestTokensRiseThoughTheFenceWasDeleted(t *testing.T) {
	t.Parallel()
	redistest.EachWithEmbedded(t, func(t *testing.T, rdb redis.UniversalClient) {
		locks, name := lock.New(rdb), redistest.Queue(t)
		first := try(t, locks, name, time.Minute)
		if err := rdb.Del(t.Context(), keys.LockFence(name), keys.Lock(name)).Err(); err != nil {
			t.Fatal(err)
		}

		if second := try(t, locks, name, time.Minute); second.Token() <= first.Token() {
			t.Errorf("token %d after %d", second.Token(), first.Token())
		}
	})
}

// A holder sleeps through its lease, another takes the lock, the first one wakes up.
func TestWhoLostTheLockChangesNothing(t *testing.T) {
	t.Parallel()
	redistest.EachWithEmbedded(t, func(t *testing.T, rdb redis.UniversalClient) {
		name := redistest.Queue(t)
		guard, err := lock.NewGuard(rdb, name)
		if err != nil {
			t.Fatal(err)
		}
		first := try(t, lock.New(rdb), name, 10*time.Millisecond)
		second, err := lock.New(another(t, rdb)).Acquire(t.Context(), name, time.Minute) // once the first lease has run out
		if err != nil {
			t.Fatal(err)
		}
		before := rdb.HGetAll(t.Context(), keys.Lock(name)).Val()

		wantLost(t, "Extend", first.Extend(t.Context()), first.Token(), second.Token())
		wantLost(t, "Release", first.Release(t.Context()), first.Token(), second.Token())
		wantLost(t, "Release again", first.Release(t.Context()), first.Token(), second.Token())
		written := guard.Set(t.Context(), first.Token(), []byte("the first one's")) // before the second one has written

		if fenced, ok := errors.AsType[*seri.FencedError](written); !ok || fenced.Seen != second.Token() {
			t.Errorf("Set: %v, want a FencedError", written)
		}
		after := rdb.HGetAll(t.Context(), keys.Lock(name)).Val()
		if len(after) != len(before) || after["nonce"] != before["nonce"] || after["until"] != before["until"] {
			t.Errorf("the second holder's lock changed from %v to %v", before, after)
		}
		if second.Token() <= first.Token() {
			t.Errorf("second token %d, first %d", second.Token(), first.Token())
		}
		if err := errors.Join(second.Extend(t.Context()), guard.Set(t.Context(), second.Token(), nil), second.Release(t.Context())); err != nil {
			t.Errorf("the holder: %v", err)
		}
		wantLost(t, "Extend after the second one", first.Extend(t.Context()), first.Token(), 0)
	})
}

func TestALeaseThatNobodyHasTakenIsExtended(t *testing.T) {
	t.Parallel()
	redistest.EachWithEmbedded(t, func(t *testing.T, rdb redis.UniversalClient) {
		name := redistest.Queue(t)
		l := try(t, lock.New(rdb), name, time.Minute)
		if err := rdb.HSet(t.Context(), keys.Lock(name), "until", "1").Err(); err != nil { // Redis' clock has jumped ahead
			t.Fatal(err)
		}
		before := l.ProvenUntil()

		if err := l.Extend(t.Context()); err != nil {
			t.Fatal(err)
		}

		if !l.ProvenUntil().After(before) {
			t.Errorf("proven until %v, before until %v", l.ProvenUntil(), before)
		}
		if _, err := lock.New(rdb).Try(t.Context(), name, time.Minute); !errors.Is(err, lock.ErrHeld) {
			t.Errorf("Try: %v, want ErrHeld", err)
		}
	})
}

// A step of the wall clock must move neither way how long a holder believes itself safe: time.Until then counts on the
// monotonic reading, which is in the text of a time that has one.
func TestALeaseIsMeasuredOnTheMonotonicClock(t *testing.T) {
	t.Parallel()
	l := try(t, lock.New(redistest.New(t)), redistest.Queue(t), time.Minute)
	asked := time.Now()
	if err := l.Extend(t.Context()); err != nil {
		t.Fatal(err)
	}

	until := l.ProvenUntil()

	if !strings.Contains(until.String(), " m=+") {
		t.Errorf("proven until %v, a time of the wall clock", until)
	}
	if length := until.Sub(asked); length > 56*time.Second || length < 50*time.Second {
		t.Errorf("a lease of 1m counts as proven for %v, want a tenth less", length)
	}
}

func TestAFullRedisLosesNoLock(t *testing.T) {
	t.Parallel()
	rdb := redistest.Exclusive(t).Client()
	locks := lock.New(rdb)
	held := try(t, locks, "l", time.Minute)
	for name, value := range map[string]string{"maxmemory-policy": "noeviction", "maxmemory": "1"} {
		if err := rdb.ConfigSet(t.Context(), name, value).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if err := rdb.Set(t.Context(), "k", "v", 0).Err(); err == nil {
		t.Fatal("Redis is not full")
	}

	if err := held.Extend(t.Context()); err != nil {
		t.Errorf("Extend: %v", err)
	}
	waited := make(chan error, 1)
	go func() {
		l, err := locks.Acquire(t.Context(), "l", time.Minute)
		if err == nil {
			err = l.Release(t.Context())
		}
		waited <- err
	}()
	eventually(t, "the other waits", func() bool { return rdb.ZCard(t.Context(), keys.LockQueue("l")).Val() == 1 })
	if err := held.Release(t.Context()); err != nil {
		t.Errorf("Release: %v", err)
	}
	if err := <-waited; err != nil {
		t.Errorf("Acquire and Release: %v", err)
	}
}

func TestNamesAndLeasesThatCannotBe(t *testing.T) {
	t.Parallel()
	locks := lock.New(nil)
	for want, call := range map[string]func() error{
		`lock "": a name has 1 to 256 bytes and no braces`:            func() error { _, err := locks.Try(t.Context(), "", time.Minute); return err },
		`lock "}a": a name has 1 to 256 bytes and no braces`:          func() error { _, err := locks.Acquire(t.Context(), "}a", time.Minute); return err },
		`guard of lock "{a": a name has 1 to 256 bytes and no braces`: func() error { _, err := lock.NewGuard(nil, "{a"); return err },
		"acquire lock a: ttl is 1ms, must be at least 10ms":           func() error { return locks.Do(t.Context(), "a", time.Millisecond, nil) },
	} {
		if err := call(); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// eventually waits for what has no event to wait for: the state of Redis.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); !is(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("not so after 20 s: %s", what)
		}
	}
}
