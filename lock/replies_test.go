package lock_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/lock"
)

// dropper loses the replies of scripts: Redis has run them, and the caller sees a broken connection.
type dropper struct {
	next atomic.Int64 // how many to lose
	lost atomic.Int64 // how many were lost
}

func (d *dropper) DialHook(next redis.DialHook) redis.DialHook { return next }

func (d *dropper) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (d *dropper) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if err != nil || !strings.HasPrefix(cmd.Name(), "eval") || d.next.Add(-1) < 0 {
			return err
		}
		d.lost.Add(1)
		cmd.SetErr(io.EOF)
		return io.EOF
	}
}

// eachDropping runs a test on clients that lose replies.
func eachDropping(t *testing.T, test func(t *testing.T, rdb redis.UniversalClient, d *dropper)) {
	redistest.EachWithEmbedded(t, func(t *testing.T, rdb redis.UniversalClient) {
		d := &dropper{}
		lossy := another(t, rdb)
		lossy.AddHook(d)
		test(t, lossy, d)
	})
}

func TestACallWhoseReplyIsLostCountsOnce(t *testing.T) {
	t.Parallel()
	eachDropping(t, func(t *testing.T, rdb redis.UniversalClient, d *dropper) {
		locks, name := lock.New(rdb), redistest.Queue(t)

		d.next.Store(2)
		l := try(t, locks, name, time.Minute)
		if fence := rdb.Get(t.Context(), keys.LockFence(name)).Val(); fence != rdb.HGet(t.Context(), keys.Lock(name), "token").Val() {
			t.Errorf("the last token is %s, the holder's is %d: one was handed out twice", fence, l.Token())
		}
		d.next.Store(2)
		if err := l.Extend(t.Context()); err != nil {
			t.Errorf("Extend: %v", err)
		}
		d.next.Store(2)
		if err := l.Release(t.Context()); err != nil {
			t.Errorf("Release: %v", err)
		}

		if d.lost.Load() != 6 {
			t.Errorf("%d replies were lost, want 6", d.lost.Load())
		}
		second := try(t, locks, name, time.Minute)
		if err := l.Release(t.Context()); err != nil { // though another has it by now
			t.Errorf("Release, repeated: %v", err)
		}
		release(t, second)
	})
}

func TestAWaiterWhoseRepliesAreLostHoldsOneLock(t *testing.T) {
	t.Parallel()
	eachDropping(t, func(t *testing.T, rdb redis.UniversalClient, d *dropper) {
		name := redistest.Queue(t)
		held := try(t, lock.New(rdb), name, time.Minute)
		w := wait(t, rdb, name, time.Minute)

		d.next.Store(2) // that of the release, and that of the call that takes the lock
		release(t, held)
		<-w.done

		if w.err != nil || d.lost.Load() != 2 {
			t.Fatalf("%v, %d replies lost", w.err, d.lost.Load())
		}
		release(t, w.lock)
		try(t, lock.New(rdb), name, time.Minute)
	})
}

// The lock was taken, but all that the caller sees is broken connections. Nobody may be kept waiting by that.
func TestALockIsNotLeftToNobody(t *testing.T) {
	t.Parallel()
	eachDropping(t, func(t *testing.T, rdb redis.UniversalClient, d *dropper) {
		locks, name := lock.New(rdb), redistest.Queue(t)
		for what, call := range map[string]func() error{
			"Try":     func() error { _, err := locks.Try(t.Context(), name, time.Hour); return err },
			"Acquire": func() error { _, err := locks.Acquire(t.Context(), name, time.Hour); return err },
		} {
			d.next.Store(3)
			if err := call(); !errors.Is(err, io.EOF) {
				t.Errorf("%s: %v, want the connection's error", what, err)
			}
			d.next.Store(0)
			release(t, try(t, locks, name, time.Hour))
		}
	})
}

// A call that was under way for long arrives after its caller has given up and gone.
func TestALateCallTakesNothing(t *testing.T) {
	t.Parallel()
	redistest.EachWithEmbedded(t, func(t *testing.T, rdb redis.UniversalClient) {
		name := redistest.Queue(t)
		var late []any
		recorder := another(t, rdb)
		recorder.AddHook(recording{&late})
		release(t, try(t, lock.New(recorder), name, time.Hour))

		err := rdb.Do(t.Context(), late...).Err()

		if err != nil || rdb.HExists(t.Context(), keys.Lock(name), "nonce").Val() {
			t.Errorf("a repeated acquire after the release: %v; the lock is %v", err, rdb.HGetAll(t.Context(), keys.Lock(name)).Val())
		}
		try(t, lock.New(rdb), name, time.Hour)
	})
}

// recording keeps the first script call that is not refused.
type recording struct{ first *[]any }

func (r recording) DialHook(next redis.DialHook) redis.DialHook { return next }

func (r recording) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (r recording) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if err == nil && *r.first == nil && strings.HasPrefix(cmd.Name(), "eval") {
			*r.first = cmd.Args()
		}
		return err
	}
}
