package store

import (
	"context"
	_ "embed"
	"strings"

	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/wire"
)

//go:embed complete.lua
var completeSource string

var complete = draining("complete", completeSource)

// Completion is an attempt that succeeded.
type Completion struct {
	Lease  *Lease
	Result []byte // JSON, or empty
}

// Complete ends attempts of one queue that succeeded. An element of the answer is nil or a [*seri.FencedError].
// A task without retention is deleted, so a repeated call finds nobody holding it: a caller that repeats a call whose
// reply was lost while its lease was certainly alive may take that for a yes.
func (s *Store) Complete(ctx context.Context, q keys.Queue, completions []Completion) ([]error, error) {
	names := make([]string, 0, 5+len(completions))
	names = append(names, q.Active(), q.Lease(), q.Completed(), q.Events(), q.Processed())
	args := make([]any, 0, 4+7*len(completions))
	args = append(args, q.TaskPrefix(), s.config.MaxEvents, len(completions), wire.MaxEventResult)
	for _, c := range completions {
		names = append(names, q.Task(c.Lease.ID()))
	}
	for _, c := range completions {
		lock := 0
		// A foreign program's message may name any key: one of another slot would have the whole batch refused.
		if strings.HasPrefix(c.Lease.Message.UniqueKey, q.UniquePrefix()) {
			names = append(names, c.Lease.Message.UniqueKey)
			lock = len(names)
		}
		owned := 0
		if c.Lease.Owner != "" && c.Lease.Message.Retention == 0 {
			names = append(names, q.Owner(c.Lease.Owner))
			owned = len(names)
		}
		args = append(args, c.Lease.token(), c.Lease.Nonce, c.Lease.Message.Retention, c.Result, lock, owned,
			wire.SucceededEvent(c.Lease.about(), c.Lease.Attempt(), len(c.Result)))
	}
	reply, err := s.run(ctx, complete, q, names, args...)
	if err != nil {
		return nil, err
	}
	return s.verdicts(complete, q, reply, len(completions), func(i int) *Lease { return completions[i].Lease })
}
