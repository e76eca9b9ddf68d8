package lock_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/lock"
)

func newGuard(t *testing.T, rdb redis.UniversalClient, name string) *lock.Guard {
	t.Helper()
	g, err := lock.NewGuard(rdb, name)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func wantValue(t *testing.T, g *lock.Guard, value string, token uint64) {
	t.Helper()
	if got, by, err := g.Get(t.Context()); err != nil || string(got) != value || by != token {
		t.Errorf("Get: %q by %d, %v; want %q by %d", got, by, err, value, token)
	}
}

func TestAGuardRefusesLowerTokens(t *testing.T) {
	t.Parallel()
	redistest.EachWithEmbedded(t, func(t *testing.T, rdb redis.UniversalClient) {
		g := newGuard(t, rdb, redistest.Queue(t))
		wantValue(t, g, "", 0)
		const token = 1763800000000001 // its last digit is lost in a float that is printed

		for _, step := range []struct {
			token uint64
			value string
			fits  bool
		}{
			{token, "a", true},
			{token, "b\x00\xff", true}, // one holder may write often
			{token - 1, "c", false},
			{token + 1, "d", true},
			{token, "e", false},
			{2, "f", false},
			{1<<53 - 1, "", true},
		} {
			before, by, err := g.Get(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			err = g.Set(t.Context(), step.token, []byte(step.value))
			if step.fits {
				if err != nil {
					t.Errorf("Set with %d: %v", step.token, err)
				}
				wantValue(t, g, step.value, step.token)
				continue
			}
			if fenced, ok := errors.AsType[*seri.FencedError](err); !ok || fenced.Held != step.token || fenced.Seen != by {
				t.Errorf("Set with %d: %v, want a FencedError with %d", step.token, err, by)
			}
			wantValue(t, g, string(before), by)
		}
	})
}

func TestAGuardKnowsTheLockOfItsName(t *testing.T) {
	t.Parallel()
	redistest.EachWithEmbedded(t, func(t *testing.T, rdb redis.UniversalClient) {
		locks, name := lock.New(rdb), redistest.Queue(t)
		g := newGuard(t, rdb, name)
		first := try(t, locks, name, time.Minute)
		if err := g.Set(t.Context(), first.Token(), []byte("first")); err != nil {
			t.Fatal(err)
		}
		release(t, first)
		if err := g.Set(t.Context(), first.Token(), []byte("still the last")); err != nil {
			t.Errorf("after the release, but before another has the lock: %v", err)
		}

		second := try(t, locks, name, time.Minute) // has written nothing yet
		err := g.Set(t.Context(), first.Token(), []byte("too late"))

		if fenced, ok := errors.AsType[*seri.FencedError](err); !ok || fenced.Seen != second.Token() {
			t.Errorf("Set: %v, want a FencedError with %d", err, second.Token())
		}
		wantValue(t, g, "still the last", first.Token())
	})
}

func TestTokensThatCannotBe(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t)
	g := newGuard(t, rdb, "g")
	for _, token := range []uint64{0, 1 << 53, 1<<64 - 1} {
		if err := g.Set(t.Context(), token, nil); err == nil || !strings.Contains(err.Error(), "must be one that was handed out") {
			t.Errorf("Set with %d: %v", token, err)
		}
	}
	if n := rdb.Exists(t.Context(), keys.LockGuard("g")).Val(); n != 0 {
		t.Error("something was written")
	}
}

func TestAGuardTellsAFaultOfRedis(t *testing.T) {
	t.Parallel()
	s := redistest.Exclusive(t)
	g := newGuard(t, s.Client(), "g")
	s.Stop()

	_, _, err := g.Get(t.Context())

	if !errors.Is(err, seri.ErrUnavailable) {
		t.Errorf("Get: %v, want %v", err, seri.ErrUnavailable)
	}
	if err := g.Set(t.Context(), 1, nil); !errors.Is(err, seri.ErrUnavailable) {
		t.Errorf("Set: %v, want %v", err, seri.ErrUnavailable)
	}
}
