package store

import (
	"context"
	"crypto/rand"
	_ "embed"
	"fmt"
	"time"

	"github.com/seri-queue/seri/internal/keys"
)

//go:embed claim.lua
var claimSource string

var claim = draining("claim", claimSource)

// claimDepth is how many active tasks a claim looks at. What other workers took meanwhile stands before the lost ones.
const claimDepth = 10_000

// NewNonce returns what a worker names one dequeue by: 65 random bits.
func NewNonce() string { return rand.Text()[:13] }

// Claim returns the leases of dequeues of these nonces whose replies were lost, and lets them run for length from now on.
// None of a nonce: the dequeue found no task, or Redis has not carried it out, which it may do even later, as long as the
// call is in the buffer of a connection that it has not yet found to be broken.
func (s *Store) Claim(ctx context.Context, q keys.Queue, nonces []string, length time.Duration) (Batch, error) {
	args := make([]any, 0, 3+len(nonces))
	args = append(args, q.TaskPrefix(), length.Seconds(), claimDepth)
	for _, nonce := range nonces {
		args = append(args, nonce)
	}
	reply, err := s.run(ctx, claim, q, []string{q.Active(), q.Lease()}, args...)
	if err != nil {
		return Batch{}, err
	}
	values, ok := reply.([]any)
	if !ok || len(values)%5 != 0 {
		return Batch{}, fmt.Errorf("claim queue %q: unexpected reply of %d values", q, len(values))
	}
	var b Batch
	for ; len(values) > 0; values = values[5:] {
		nonce, _ := values[4].(string)
		if err := b.add(q, nonce, values[:4]); err != nil {
			return Batch{}, err
		}
	}
	return b, nil
}
