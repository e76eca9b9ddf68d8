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

// Claim returns the leases of a dequeue of this nonce whose reply was lost, and lets them run for length from now on. None:
// the dequeue found no task, or Redis has not carried it out, which it may do even later, as long as the call is in the
// buffer of a connection that it has not yet found to be broken.
func (s *Store) Claim(ctx context.Context, q keys.Queue, nonce string, length time.Duration) (Batch, error) {
	reply, err := s.run(ctx, claim, q, []string{q.Active(), q.Lease()}, q.TaskPrefix(), nonce, length.Seconds(), claimDepth)
	if err != nil {
		return Batch{}, err
	}
	values, ok := reply.([]any)
	if !ok || len(values)%4 != 0 {
		return Batch{}, fmt.Errorf("claim queue %q: unexpected reply of %d values", q, len(values))
	}
	var b Batch
	err = b.read(q, nonce, values)
	return b, err
}
