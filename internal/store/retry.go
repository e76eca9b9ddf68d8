package store

import (
	"context"
	_ "embed"
	"time"

	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/wire"
)

//go:embed retry.lua
var retrySource string

var retry = draining("retry", retrySource)

// Retry is an attempt that failed and is to be repeated.
type Retry struct {
	Lease *Lease
	After time.Duration
	Error string
}

// Retry ends attempts of one queue that are to be repeated. An element of the answer is nil or a [*seri.FencedError].
func (s *Store) Retry(ctx context.Context, q keys.Queue, retries []Retry) ([]error, error) {
	names := make([]string, 0, 9+len(retries))
	names = append(names, q.Active(), q.Lease(), q.Retry(), q.Due(), q.Archived(), q.Events(), q.Processed(), q.Failed(), q.Wake())
	args := make([]any, 0, 2+6*len(retries))
	args = append(args, q.TaskPrefix(), s.config.MaxEvents)
	for _, r := range retries {
		message := r.Lease.Message
		message.Retried++
		message.LastError = r.Error
		names = append(names, q.Task(r.Lease.ID()))
		args = append(args, r.Lease.token(), r.Lease.Nonce, r.After.Milliseconds(), message.Encode(), r.Lease.about(),
			wire.FailedAttempt(r.Lease.Attempt(), r.Error))
	}
	reply, err := s.run(ctx, retry, q, names, args...)
	if err != nil {
		return nil, err
	}
	return s.verdicts(retry, q, reply, len(retries), func(i int) *Lease { return retries[i].Lease })
}
