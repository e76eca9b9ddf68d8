package engine

import (
	"context"
	"errors"
	"time"

	"github.com/seri-queue/seri/internal/pause"
)

// surplusAfter is how long tasks that were fetched ahead may wait without one of them getting a slot: much longer than the
// work of [aheadTime] that is fetched, so that something else has come than the tasks before.
const surplusAfter = 100 * time.Millisecond

// errSurplus is why a task is handed back that was fetched ahead.
var errSurplus = errors.New("the slots are busy for longer than was to be expected")

// surplus hands back what was fetched ahead of slots that turn out to be busy: the next tasks are not as fast as those
// before, and another worker may have a free slot now. Nothing is fetched ahead then until tasks are fast again.
func (s *slots) surplus(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.kept:
		}
		for wait := surplusAfter; wait > 0; wait = s.dropSurplus(time.Now()) {
			if !pause.For(ctx, wait) {
				return nil
			}
		}
	}
}

// dropSurplus hands back what waits if it has for too long; otherwise it returns how long that may yet be, 0 if nothing waits.
func (s *slots) dropSurplus(now time.Time) time.Duration {
	s.mu.Lock()
	if len(s.waiting) == 0 {
		s.mu.Unlock()
		return 0
	}
	if left := surplusAfter - now.Sub(s.moved); left > 0 {
		s.mu.Unlock()
		return left
	}
	surplus := s.waiting
	s.waiting = nil
	s.taken -= len(surplus)
	s.pace.average = slowTask
	s.mu.Unlock()
	for _, a := range surplus {
		s.send(outcome{attempt: a, kind: handedBack, err: errSurplus})
	}
	return 0
}
