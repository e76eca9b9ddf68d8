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

// claimDepth is how many active tasks a claim looks at, at most. What other workers took meanwhile stands before the lost ones.
const claimDepth = 10_000

// NewNonce returns what a worker names one dequeue by: 65 random bits.
func NewNonce() string { return rand.Text()[:13] }

// Unheard are dequeues whose replies were lost.
type Unheard struct {
	Nonces []string
	Tasks  int           // that they asked for, in all
	Ago    time.Duration // since the first of them was asked for, and until a claim may reach Redis
}

// Claim returns the leases of such dequeues, and lets them run for length from now on. None of a nonce: the dequeue found no
// task, or Redis has not carried it out, which it may do even later, as long as the call is in the buffer of a connection
// that it has not yet found to be broken. A claim may miss one if Redis' clock was put forward since.
func (s *Store) Claim(ctx context.Context, q keys.Queue, of Unheard, length time.Duration) (Batch, error) {
	args := make([]any, 0, 5+len(of.Nonces))
	args = append(args, q.TaskPrefix(), length.Seconds(), claimDepth, of.Ago.Seconds(), of.Tasks)
	for _, nonce := range of.Nonces {
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
