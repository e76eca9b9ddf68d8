package store

import (
	"context"
	_ "embed"
	"fmt"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
)

//go:embed revoke.lua
var revokeSource string

var revoke = draining("revoke", revokeSource)

// Revoke withdraws a task. running tells that a worker holds it and has been asked to stop; whatever becomes of that
// attempt, the task is not started again. Errors: [seri.ErrNotFound], [seri.ErrNotRevocable] if the task has ended.
func (s *Store) Revoke(ctx context.Context, q keys.Queue, id string) (running bool, err error) {
	names := []string{q.Task(id), q.Pending(), q.Scheduled(), q.Retry(), q.Due(), q.Archived(), q.Events()}
	reply, err := s.run(ctx, revoke, q, names, id, s.config.MaxEvents, keys.Cancel)
	if err != nil {
		return false, err
	}
	switch reply {
	case int64(0):
		err = seri.ErrNotFound
	case int64(1):
		return false, nil
	case int64(2):
		return true, nil
	case int64(3):
		err = seri.ErrNotRevocable
	default:
		err = fmt.Errorf("unexpected reply %v", reply)
	}
	return false, fmt.Errorf("revoke task %s in queue %q: %w", id, q, err)
}
