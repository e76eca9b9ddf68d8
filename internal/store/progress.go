package store

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
)

//go:embed progress.lua
var progressSource string

var progress = draining("progress", progressSource)

// Report is how far one running task has come.
type Report struct {
	Lease    *Lease
	Progress seri.ProgressInfo
}

// Progress records reports about tasks of one queue. An element of the answer is nil or a [*seri.FencedError].
func (s *Store) Progress(ctx context.Context, q keys.Queue, reports []Report) ([]error, error) {
	names := make([]string, 1, 1+len(reports))
	names[0] = q.Events()
	args := make([]any, 1, 1+4*len(reports))
	args[0] = s.config.MaxEvents
	for _, r := range reports {
		encoded, err := json.Marshal(r.Progress)
		if err != nil {
			return nil, fmt.Errorf("encode progress of task %s: %w", r.Lease.ID(), err)
		}
		names = append(names, q.Task(r.Lease.ID()))
		args = append(args, r.Lease.token(), r.Lease.Nonce, r.Lease.about(), encoded)
	}
	reply, err := s.run(ctx, progress, q, names, args...)
	if err != nil {
		return nil, err
	}
	return s.verdicts(progress, q, reply, len(reports), func(i int) *Lease { return reports[i].Lease })
}
