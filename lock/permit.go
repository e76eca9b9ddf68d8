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
