package store

import (
	"context"
	_ "embed"
	"time"

	"github.com/seri-queue/seri/internal/keys"
)

//go:embed turn.lua
var turnSource string

var turn = draining("turn", turnSource)

// Turn reports whether it is the caller's turn to look over q, which costs Redis a time that grows with the queue: of any
// number of workers one has the turn for length, in whole seconds. A turn whose reply is lost goes by unused.
func (s *Store) Turn(ctx context.Context, q keys.Queue, worker string, length time.Duration) (bool, error) {
	reply, err := s.run(ctx, turn, q, []string{q.Turn()}, worker, int64(length/time.Second))
	return reply == int64(1), err
}
