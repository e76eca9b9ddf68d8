package store

import (
	"context"
	_ "embed"

	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/wire"
)

//go:embed requeue.lua
var requeueSource string

var requeue = draining("requeue", requeueSource)

// Requeue hands unfinished tasks of one queue back, to be the next to start. It does not count as an attempt.
// An element of the answer is nil or a [*seri.FencedError].
func (s *Store) Requeue(ctx context.Context, q keys.Queue, leases []*Lease) ([]error, error) {
	names := make([]string, 0, 4+len(leases))
	names = append(names, q.Active(), q.Lease(), q.Pending(), q.Events())
	args := make([]any, 0, 2+3*len(leases))
	args = append(args, q.TaskPrefix(), s.config.MaxEvents)
	for _, l := range leases {
		names = append(names, q.Task(l.ID()))
		args = append(args, l.token(), l.Nonce, wire.HandedBackEvent(l.about()))
	}
	reply, err := s.run(ctx, requeue, q, names, args...)
	if err != nil {
		return nil, err
	}
	return s.verdicts(requeue, q, reply, len(leases), func(i int) *Lease { return leases[i] })
}
