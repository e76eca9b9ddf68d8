package lock

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Do takes the named lock, waiting for it as [Locks.Acquire] does, and calls work while it renews the lease each third
// of ttl. The context of work ends with ctx, or with a cause that is [ErrLost] as soon as the lease can no longer be
// proven to be alive, of which Do tells too. When work has returned, or panicked, the lock is released; if Redis does not
// answer then, its lease runs out by itself.
func (s *Locks) Do(ctx context.Context, name string, ttl time.Duration, work func(ctx context.Context, token uint64) error) error {
	l, err := s.Acquire(ctx, name, ttl)
	if err != nil {
		return err
	}
	return l.during(ctx, work)
}

// during calls work, renews meanwhile, and releases.
func (l *Lock) during(ctx context.Context, work func(ctx context.Context, token uint64) error) (err error) {
	held, cancel := context.WithCancelCause(ctx)
	renewed := make(chan struct{})
	go func() {
		defer close(renewed)
		l.keep(held, cancel)
	}()
	defer func() {
		cancel(nil)
		<-renewed
		farewell, done := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer done()
		lost := context.Cause(held)
		if !errors.Is(lost, ErrLost) {
			lost = l.Release(farewell) // an error other than ErrLost means that the lease has to run out
		} else {
			_ = l.Release(farewell) // it may be ours still; if so, others need not wait
		}
		if errors.Is(lost, ErrLost) && !errors.Is(err, ErrLost) { // work may have overlapped with that of the next holder
			err = errors.Join(err, lost)
		}
	}()
	return work(held, l.token)
}

// keep renews the lease until ctx ends, and ends ctx at the very moment at which the lease may be another's.
func (l *Lock) keep(ctx context.Context, cancel context.CancelCauseFunc) {
	expiry := time.AfterFunc(time.Until(l.ProvenUntil()), func() {
		cancel(fmt.Errorf("lock %s: %w: it could not be renewed in time", l.name, ErrLost))
	})
	defer expiry.Stop()
	renew := time.NewTicker(l.ttl / 3)
	defer renew.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-renew.C:
		}
		call, done := context.WithTimeout(ctx, l.ttl/3) // so that there is another try before the lease ends
		err := l.Extend(call)
		done()
		switch {
		case errors.Is(err, ErrLost):
			cancel(err)
			return
		case err == nil:
			expiry.Reset(time.Until(l.ProvenUntil()))
		}
	}
}
