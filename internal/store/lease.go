package store

import (
	"fmt"
	"strconv"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/wire"
)

// Lease is a worker's right to a task, for a time.
type Lease struct {
	Queue   keys.Queue
	Message wire.Message
	Owner   string
	Token   uint64 // fencing token
	Nonce   string // what only this lease's holder knows
}

// ID returns the task's ID.
func (l *Lease) ID() string { return l.Message.ID }

// Attempt returns the number of this attempt: 1 for the first.
func (l *Lease) Attempt() int { return l.Message.Retried + 1 }

func (l *Lease) token() string { return strconv.FormatUint(l.Token, 10) }

func (l *Lease) about() string { return wire.About(l.Message.ID, l.Message.Type, l.Owner) }

// verdicts reads the answers of a script that ends leases: per task a status and the token on record. An element is nil
// if the task was changed, now or by the same holder before, or a [*seri.FencedError].
func verdicts(reply any, n int, lease func(i int) *Lease) ([]error, error) {
	values, ok := reply.([]any)
	if !ok || len(values) != 2*n {
		return nil, fmt.Errorf("unexpected reply %v", reply)
	}
	errs := make([]error, n)
	for i := range n {
		if values[2*i] == int64(0) {
			errs[i] = fenced(lease(i), values[2*i+1])
		}
	}
	return errs, nil
}

func fenced(l *Lease, onRecord any) error {
	text, _ := onRecord.(string)
	seen, _ := strconv.ParseUint(text, 10, 64) // '0' or absent: nobody
	return &seri.FencedError{TaskID: l.ID(), Held: l.Token, Seen: seen}
}

func (s *Store) verdicts(sc *script, q keys.Queue, reply any, n int, lease func(i int) *Lease) ([]error, error) {
	errs, err := verdicts(reply, n, lease)
	if err != nil {
		return nil, fmt.Errorf("%s queue %q: %w", sc.name, q, err)
	}
	return errs, nil
}
