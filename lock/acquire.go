package lock

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/pause"
	"github.com/seri-queue/seri/internal/redisurl"
)

const (
	// present is for how long a waiter keeps its place without a sign of life. One that died holds up the others so long.
	present = 3 * time.Second
	// lookAgain is when a waiter gives a sign of life.
	lookAgain = 2 * time.Second
)

// Acquire takes the named lock for ttl, waiting until it is free or ctx ends: [ErrTimeout] if ctx has a deadline and it
// has passed, otherwise the cause with which ctx was cancelled. Those who wait get the lock in the order in which they
// came. While it waits, a call holds one connection of its own to Redis. A name has 1 to 256 bytes and no braces; ttl is
// at least 10 ms.
func (s *Locks) Acquire(ctx context.Context, name string, ttl time.Duration) (*Lock, error) {
	l, err := s.newLock(name, ttl)
	if err != nil {
		return nil, err
	}
	again, err := l.take(ctx, present)
	if errors.Is(err, ErrHeld) {
		err = l.await(ctx, again)
	}
	if err == nil {
		return l, nil
	}
	l.leave(ctx)
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, fmt.Errorf("acquire lock %s: %w: %w", name, ErrTimeout, context.Cause(ctx))
	case ctx.Err() != nil:
		return nil, fmt.Errorf("acquire lock %s: %w", name, context.Cause(ctx))
	}
	return nil, err
}

// await takes the lock when it is the caller's turn. It looks when its bell rings and, because nobody rings for the
// dead, when it was told to look again.
func (l *Lock) await(ctx context.Context, again time.Duration) error {
	bell, err := listen(l.locks.rdb, keys.LockBells(l.name)+l.nonce)
	if err != nil {
		return fmt.Errorf("acquire lock %s: %w", l.name, err)
	}
	defer bell.close()
	listening := false
	for {
		if !listening {
			bell.wanted <- struct{}{}
			listening = true
		}
		timer := time.NewTimer(max(min(again, lookAgain), time.Millisecond))
		select {
		case <-bell.rung:
			listening = false
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if again, err = l.take(ctx, present); !errors.Is(err, ErrHeld) {
			return err
		}
	}
}

// bell is a blocked read of one key, on a connection of its own that is closed to end it. It reads only when that is
// wanted: who has been woken mostly has the lock, and go-redis complains of a connection that is closed while it is read.
type bell struct {
	rdb    redis.UniversalClient
	wanted chan struct{} // holds at most one
	rung   chan struct{} // holds at most one, for each wanted
	stop   context.CancelFunc
	ended  chan struct{}
}

// blocked limits one blocked call, so that a connection that died silently is noticed.
const blocked = 5 * time.Second

func listen(rdb redis.UniversalClient, key string) (*bell, error) {
	own, err := redisurl.Clone(rdb, 1, 0)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	b := &bell{
		rdb: own, wanted: make(chan struct{}, 1), rung: make(chan struct{}, 1), stop: stop, ended: make(chan struct{}),
	}
	go b.run(ctx, key)
	return b, nil
}

func (b *bell) run(ctx context.Context, key string) {
	defer close(b.ended)
	for {
		select {
		case <-b.wanted:
		case <-ctx.Done():
			return
		}
		for {
			err := b.rdb.BLPop(ctx, blocked, key).Err()
			if err == nil {
				b.rung <- struct{}{}
				break
			}
			if !errors.Is(err, redis.Nil) {
				pause.For(ctx, 2*backoff) // whoever waits looks by itself meanwhile
			}
			if ctx.Err() != nil {
				return
			}
		}
	}
}

func (b *bell) close() {
	b.stop()
	_ = b.rdb.Close() // nothing is lost with it
	<-b.ended
}
