package store

import (
	"context"
	_ "embed"
	"time"

	"github.com/seri-queue/seri/internal/keys"
)

//go:embed extend.lua
var extendSource string

var extend = draining("extend", extendSource)

// Extend moves leases of one queue forward, to length from now, and the uniqueness locks of their tasks at least as far. An element of the answer is nil if the lease was
// extended, [ErrRevoked](seri.ErrRevoked) if it was but the task is to stop, or a [*seri.FencedError] if the lease is lost.
func (s *Store) Extend(ctx context.Context, q keys.Queue, leases []*Lease, length time.Duration) ([]error, error) {
	names := make([]string, 1, 1+len(leases))
	names[0] = q.Lease()
	args := make([]any, 2, 2+2*len(leases))
	args[0], args[1] = q.TaskPrefix(), length.Seconds()
	for _, l := range leases {
		names = append(names, q.Task(l.ID()))
		args = append(args, l.token(), l.Nonce)
	}
	reply, err := s.run(ctx, extend, q, names, args...)
	if err != nil {
		return nil, err
	}
	return s.verdicts(extend, q, reply, len(leases), func(i int) *Lease { return leases[i] })
}
