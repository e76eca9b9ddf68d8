package store

import (
	"context"
	_ "embed"

	"github.com/seri-queue/seri/internal/keys"
)

//go:embed pause.lua
var pauseSource string

var pause = draining("pause", pauseSource)

// Pause stops workers from taking tasks out of q; those that run go on. Pausing twice is no error.
// [seri.ErrNotFound] if there is no such queue.
func (s *Store) Pause(ctx context.Context, q keys.Queue) error {
	if err := s.exists(ctx, q); err != nil {
		return err
	}
	_, err := s.run(ctx, pause, q, []string{q.Paused()})
	return err
}
