package lock

import (
	"context"
	"fmt"

	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/permit"
)

// Permitted returns an error that says what is missing if the Redis user may not do all that a lock of this name takes. It
// writes nothing. A Redis that refuses a part of a script has done what comes before it, so programs that run under rules of
// their own had better ask before they begin; beats do.
func (s *Locks) Permitted(ctx context.Context, name string) error {
	err := permit.Check(ctx, s.rdb, permit.Need{
		Scripts:  []string{prelude, acquireSource, extendSource, releaseSource, leaveSource},
		Keys:     []string{keys.Lock(name), keys.LockFence(name), keys.LockQueue(name), keys.LockPresence(name), keys.LockBells(name) + "0"},
		Commands: [][]string{{"BLPOP", keys.LockBells(name) + "0", "1"}},
	})
	if err != nil {
		return fmt.Errorf("lock %q: %w", name, err)
	}
	return nil
}

// Permitted returns an error that says what is missing if the Redis user may not read and write the guard, as
// [Locks.Permitted] does for a lock. It writes nothing.
func (g *Guard) Permitted(ctx context.Context) error {
	err := permit.Check(ctx, g.rdb, permit.Need{
		Scripts:  []string{guardSource},
		Keys:     []string{keys.LockGuard(g.name)},
		Commands: [][]string{{"GET", keys.LockFence(g.name)}, {"HMGET", keys.LockGuard(g.name), "token", "value"}},
	})
	if err != nil {
		return fmt.Errorf("guard %q: %w", g.name, err)
	}
	return nil
}
