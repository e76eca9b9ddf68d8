package store

import (
	"context"
	_ "embed"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/wire"
)

//go:embed archive.lua
var archiveSource string

var archive = draining("archive", archiveSource)

// Ending is an attempt after which its task will not be tried again.
type Ending struct {
	Lease  *Lease
	Reason seri.Reason // [seri.ReasonRevoked] makes the task revoked, any other one failed
	Error  string
}

// Archive ends attempts of one queue for good. An element of the answer is nil or a [*seri.FencedError].
func (s *Store) Archive(ctx context.Context, q keys.Queue, endings []Ending) ([]error, error) {
	names := make([]string, 0, 6+len(endings))
	names = append(names, q.Active(), q.Lease(), q.Archived(), q.Events(), q.Processed(), q.Failed())
	args := make([]any, 0, 2+6*len(endings))
	args = append(args, q.TaskPrefix(), s.config.MaxEvents)
	for _, e := range endings {
		message := e.Lease.Message
		message.LastError = e.Error
		kind := seri.EventFailed
		if e.Reason == seri.ReasonRevoked {
			kind = seri.EventRevoked
		}
		names = append(names, q.Task(e.Lease.ID()))
		args = append(args, e.Lease.token(), e.Lease.Nonce, string(e.Reason), e.Lease.Attempt(), message.Encode(),
			wire.EndedEvent(kind, e.Lease.about(), e.Lease.Attempt(), e.Reason, e.Error))
	}
	reply, err := s.run(ctx, archive, q, names, args...)
	if err != nil {
		return nil, err
	}
	return s.verdicts(archive, q, reply, len(endings), func(i int) *Lease { return endings[i].Lease })
}
