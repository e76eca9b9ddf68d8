package lock

import (
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redisfault"
)

// Facts about a lock that a caller may ask for with [errors.Is].
var (
	// ErrHeld: another has the lock.
	ErrHeld = errors.New("lock is held")
	// ErrLost: the lease could no longer be proven to be alive. It is the cause with which the context of [Locks.Do] ends.
	ErrLost = errors.New("lock lost")
)

var (
	//go:embed acquire.lua
	acquireSource string
	//go:embed extend.lua
	extendSource string
	//go:embed release.lua
	releaseSource string

	acquire = redis.NewScript(acquireSource)
	extend  = redis.NewScript(extendSource)
	release = redis.NewScript(releaseSource)
)

// Locks gives locks on one Redis. It is safe for concurrent use.
type Locks struct {
	rdb redis.UniversalClient
}

// New returns the locks on rdb, which needs the option MaxRetries: -1.
func New(rdb redis.UniversalClient) *Locks { return &Locks{rdb: rdb} }

// Lock is a held lock.
type Lock struct {
	locks *Locks
	name  string
	nonce string
	ttl   time.Duration
	token uint64
	until time.Time // until when the lease is certainly alive, by this process's monotonic clock
}

// Token returns the fencing token. Below 2⁵³.
func (l *Lock) Token() uint64 { return l.token }

// Try takes the named lock for ttl, or returns [ErrHeld] at once.
func (s *Locks) Try(ctx context.Context, name string, ttl time.Duration) (*Lock, error) {
	l, _, err := s.try(ctx, name, ttl)
	return l, err
}

// Acquire takes the named lock for ttl, waiting until it is free or ctx ends.
func (s *Locks) Acquire(ctx context.Context, name string, ttl time.Duration) (*Lock, error) {
	for {
		l, left, err := s.try(ctx, name, ttl)
		if !errors.Is(err, ErrHeld) {
			return l, err
		}
		// A holder that ends well gives no sign, so look again before its lease would end; spread, for others wait too.
		wait := time.NewTimer(min(left, ttl/3)/2 + mathrand.N(min(left, ttl/3)+time.Millisecond))
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return nil, fmt.Errorf("acquire lock %s: %w", name, context.Cause(ctx))
		}
	}
}

func (s *Locks) try(ctx context.Context, name string, ttl time.Duration) (l *Lock, left time.Duration, err error) {
	if name == "" || ttl < 10*time.Millisecond {
		return nil, 0, fmt.Errorf("acquire lock %q for %v: needs a name and at least 10ms", name, ttl)
	}
	l = &Lock{locks: s, name: name, nonce: rand.Text(), ttl: ttl}
	asked := time.Now()
	reply, err := acquire.Run(ctx, s.rdb, []string{keys.Lock(name), keys.LockFence(name)}, l.nonce, ttl.Microseconds()).Slice()
	if err != nil {
		return nil, 0, fmt.Errorf("acquire lock %s: %w", name, redisfault.Mark(err))
	}
	if len(reply) != 2 {
		return nil, 0, fmt.Errorf("acquire lock %s: unexpected reply %v", name, reply)
	}
	text, _ := reply[1].(string)
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return nil, 0, fmt.Errorf("acquire lock %s: unexpected reply %v", name, reply)
	}
	if reply[0] == int64(0) {
		return nil, time.Duration(n) * time.Microsecond, fmt.Errorf("acquire lock %s: %w", name, ErrHeld)
	}
	l.token, l.until = n, asked.Add(ttl)
	return l, 0, nil
}

// extend moves the lease forward. [ErrLost] if the lock is another's by now.
func (l *Lock) extend(ctx context.Context) error {
	asked := time.Now()
	n, err := extend.Run(ctx, l.locks.rdb, []string{keys.Lock(l.name)}, l.nonce, l.ttl.Microseconds()).Int()
	if err != nil {
		return fmt.Errorf("extend lock %s: %w", l.name, redisfault.Mark(err))
	}
	if n == 0 {
		return fmt.Errorf("extend lock %s: %w", l.name, ErrLost)
	}
	l.until = asked.Add(l.ttl)
	return nil
}

// Release gives the lock up. [ErrLost] if it is another's by now; nothing has changed then.
func (l *Lock) Release(ctx context.Context) error {
	n, err := release.Run(ctx, l.locks.rdb, []string{keys.Lock(l.name)}, l.nonce).Int()
	if err != nil {
		return fmt.Errorf("release lock %s: %w", l.name, redisfault.Mark(err))
	}
	if n == 0 {
		return fmt.Errorf("release lock %s: %w", l.name, ErrLost)
	}
	return nil
}
