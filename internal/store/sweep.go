package store

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/seri-queue/seri/internal/keys"
)

//go:embed sweep.lua
var sweepSource string

var sweep = draining("sweep", sweepSource)

// Swept is what [Store.Sweep] has repaired.
type Swept struct {
	Leased int // active tasks without a lease, which were given one that will run out
	Ghosts int // IDs without a task, which were removed
}

// Sweep looks at every member of q's containers but the pending list (whose ghosts a dequeue drops) and repairs what
// cannot be. length is the lease for an active task that has none.
func (s *Store) Sweep(ctx context.Context, q keys.Queue, length time.Duration) (Swept, error) {
	names := []string{q.Active(), q.Lease(), q.Scheduled(), q.Retry(), q.Archived(), q.Completed()}
	var total Swept
	for offset := 0; ; {
		reply, err := s.run(ctx, sweep, q, names, q.TaskPrefix(), length.Seconds(), MaxBatch, offset)
		if err != nil {
			return total, err
		}
		values, ok := reply.([]any)
		if !ok || len(values) != 3 {
			return total, fmt.Errorf("sweep queue %q: unexpected reply %v", q, reply)
		}
		leased, _ := values[0].(int64)
		ghosts, _ := values[1].(int64)
		total.Leased += int(leased)
		total.Ghosts += int(ghosts)
		if values[2] == int64(0) {
			return total, nil
		}
		// What was removed has moved the rest down. Looking at some members twice does no harm.
		offset = max(offset+MaxBatch-int(ghosts), 0)
	}
}
