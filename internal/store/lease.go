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

// verdicts reads the answer of a script about leases: for each task that was not changed its place in the call, a status
// and the token on record. An element of the result is nil if the task was changed, now or by the same holder before,
// or else what refused says of the status.
func (s *Store) verdicts(sc *script, q keys.Queue, reply any, n int, lease func(i int) *Lease) ([]error, error) {
	values, ok := reply.([]any)
	if !ok || len(values)%3 != 0 {
		return nil, fmt.Errorf("%s queue %q: unexpected reply %v", sc.name, q, reply)
	}
	errs := make([]error, n)
	for ; len(values) > 0; values = values[3:] {
		i, _ := values[0].(int64)
		if i < 1 || i > int64(n) {
			return nil, fmt.Errorf("%s queue %q: unexpected reply about task %v of %d", sc.name, q, values[0], n)
		}
		switch values[1] {
		case lost:
			errs[i-1] = fenced(lease(int(i-1)), values[2])
		case marked:
			errs[i-1] = seri.ErrRevoked
		}
	}
	return errs, nil
}

// The statuses of a task that a script has not changed; beside them, that its holder had ended the lease before.
const (
	lost   = int64(0)
	marked = int64(3)
)

func fenced(l *Lease, onRecord any) error {
	text, _ := onRecord.(string)
	seen, _ := strconv.ParseUint(text, 10, 64) // '0' or absent: nobody
	return &seri.FencedError{TaskID: l.ID(), Held: l.Token, Seen: seen}
}
