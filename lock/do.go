package lock

import (
	"context"
	"errors"
	"time"
)

// Do takes the named lock, waiting for it, and calls work while it renews the lease each third of ttl. The context of
// work ends with the cause [ErrLost] as soon as the lease can no longer be proven to be alive, or with ctx. When work has
// returned, the lock is released.
func (s *Locks) Do(ctx context.Context, name string, ttl time.Duration, work func(ctx context.Context, token uint64) error) error {
	l, err := s.Acquire(ctx, name, ttl)
	if err != nil {
		return err
	}
	held, cancel := context.WithCancelCause(ctx)
	renewed := make(chan struct{})
	go func() {
		defer close(renewed)
		l.keep(held, cancel)
	}()

	err = work(held, l.token)

	lost := errors.Is(context.Cause(held), ErrLost)
	cancel(nil)
	<-renewed
	if lost {
		return errors.Join(err, ErrLost)
	}
	farewell, done := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer done()
	if released := l.Release(farewell); err == nil && errors.Is(released, ErrLost) {
		return released // work may have overlapped with that of the next holder
	}
	return err
}

// keep renews the lease until ctx ends, and ends ctx at the very moment at which the lease may be another's.
func (l *Lock) keep(ctx context.Context, cancel context.CancelCauseFunc) {
	expiry := time.AfterFunc(time.Until(l.until), func() { cancel(ErrLost) })
	defer expiry.Stop()
	renew := time.NewTicker(l.ttl / 3)
	defer renew.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-renew.C:
		}
		call, done := context.WithDeadline(ctx, l.until)
		err := l.extend(call)
		done()
		switch {
		case errors.Is(err, ErrLost):
			cancel(ErrLost)
			return
		case err == nil:
			expiry.Reset(time.Until(l.until))
		} // otherwise Redis was not reached: there is another try before the lease ends
	}
}
