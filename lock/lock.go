package lock

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
)

// Facts about a lock that a caller may ask for with [errors.Is].
var (
	// ErrHeld: another has the lock, or waits for it and is next.
	ErrHeld = errors.New("lock is held")
	// ErrTimeout: the lock did not become free before the deadline of the context.
	ErrTimeout = errors.New("timed out waiting for the lock")
	// ErrLost: the lease could no longer be proven to be alive. It is in the cause with which the context of [Locks.Do]
	// ends, together with a [*seri.FencedError] if another is known to hold the lock.
	ErrLost = errors.New("lock lost")
)

const (
	minTTL  = 10 * time.Millisecond
	maxName = 256 // bytes
)

// Locks gives locks on one Redis. It is safe for concurrent use.
type Locks struct {
	rdb redis.UniversalClient
}

// New returns the locks on rdb, which must be a [*redis.Client], also behind Sentinel, or a [*redis.ClusterClient].
// Set its option ContextTimeoutEnabled: otherwise calls end with a context's deadline only when Redis answers, or after
// the client's ReadTimeout.
func New(rdb redis.UniversalClient) *Locks { return &Locks{rdb: rdb} }

// Lock is a held lock. It is not renewed by itself, other than in [Locks.Do]. It is safe for concurrent use.
type Lock struct {
	locks  *Locks
	name   string
	nonce  string
	ttl    time.Duration
	token  uint64
	proven atomic.Pointer[time.Time]
}

// Token returns the fencing token: greater than that of every earlier holder, below 2⁵³.
func (l *Lock) Token() uint64 { return l.token }

// ProvenUntil returns until when nobody else can have the lock: the lease that Redis confirmed last, counted on the
// monotonic clock of this process from before it was asked, less a tenth of it.
func (l *Lock) ProvenUntil() time.Time { return *l.proven.Load() }

// prove notes that a lease of l.ttl began no earlier than asked.
func (l *Lock) prove(asked time.Time) {
	until := asked.Add(l.ttl - l.ttl/10)
	l.proven.Store(&until)
}

// Try takes the named lock for ttl, or returns [ErrHeld] at once. A name has 1 to 256 bytes and no braces; ttl is at
// least 10 ms.
func (s *Locks) Try(ctx context.Context, name string, ttl time.Duration) (*Lock, error) {
	l, err := s.newLock(name, ttl)
	if err != nil {
		return nil, err
	}
	if _, err := l.take(ctx, 0); err != nil {
		if !errors.Is(err, ErrHeld) {
			l.leave(ctx)
		}
		return nil, err
	}
	return l, nil
}

// newLock returns a lock that is not held yet.
func (s *Locks) newLock(name string, ttl time.Duration) (*Lock, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	if ttl < minTTL {
		return nil, fmt.Errorf("acquire lock %s: ttl is %v, must be at least %v", name, ttl, minTTL)
	}
	return &Lock{locks: s, name: name, nonce: rand.Text(), ttl: ttl}, nil
}

// checkName keeps all keys of a name in one slot of a cluster.
func checkName(name string) error {
	if name == "" || len(name) > maxName || strings.ContainsAny(name, "{}") {
		return fmt.Errorf("lock %q: a name has 1 to %d bytes and no braces", name, maxName)
	}
	return nil
}

// take asks for the lock. With [ErrHeld] it says after which time to look again; presence says for how long the caller
// counts as one who waits, 0: not at all.
func (l *Lock) take(ctx context.Context, presence time.Duration) (again time.Duration, err error) {
	a, err := l.ask(ctx, acquire, l.nonce, l.ttl.Microseconds(), presence.Microseconds())
	switch {
	case err != nil:
		return 0, fmt.Errorf("acquire lock %s: %w", l.name, err)
	case a.verdict == 0:
		return time.Duration(a.number) * time.Microsecond, fmt.Errorf("acquire lock %s: %w", l.name, ErrHeld)
	case a.verdict < 0:
		return 0, fmt.Errorf("acquire lock %s: given up before", l.name)
	}
	l.token = a.number
	l.prove(a.asked)
	return 0, nil
}

// leave gives up a place in the queue, and the lock if a call took it whose reply was lost. It takes a second at most.
func (l *Lock) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_, _ = l.ask(ctx, leave, l.nonce) // otherwise presence and lease end by themselves
}

// Extend begins the lease anew, for the ttl that the lock was taken with. If the lock is another's by now it returns an
// error that is [ErrLost], and a [*seri.FencedError] with the other's token; then nothing has changed. A lease that has
// run out, but that nobody has taken since, is still the caller's.
func (l *Lock) Extend(ctx context.Context) error {
	a, err := l.ask(ctx, extend, l.nonce, l.ttl.Microseconds())
	switch {
	case err != nil:
		return fmt.Errorf("extend lock %s: %w", l.name, err)
	case a.verdict == 0:
		return l.lost("extend", a.number)
	}
	l.prove(a.asked)
	return nil
}

// Release gives the lock up and wakes who has waited longest. Repeated, it answers the same, as long as no more than 31
// others have released the lock since. If the lock was another's before, it returns an error that is [ErrLost] and a [*seri.FencedError]; then nothing has changed.
func (l *Lock) Release(ctx context.Context) error {
	a, err := l.ask(ctx, release, l.nonce)
	switch {
	case err != nil:
		return fmt.Errorf("release lock %s: %w", l.name, err)
	case a.verdict == 0:
		return l.lost("release", a.number)
	}
	return nil
}

func (l *Lock) lost(doing string, seen uint64) error {
	return fmt.Errorf("%s: %w: %w", doing, ErrLost, &seri.FencedError{Resource: "lock " + l.name, Held: l.token, Seen: seen})
}

// ask runs a script on the lock.
func (l *Lock) ask(ctx context.Context, script *redis.Script, args ...any) (answer, error) {
	return ask(ctx, l.locks.rdb, script, []string{
		keys.Lock(l.name), keys.LockFence(l.name), keys.LockQueue(l.name), keys.LockPresence(l.name), keys.LockBells(l.name),
	}, args...)
}
