package store

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/seri-queue/seri/internal/keys"
)

var (
	//go:embed repair.lua
	repairSource string
	//go:embed sweep.lua
	sweepSource string
)

var sweep = draining("sweep", repairSource+sweepSource)

// Swept is what [Store.Sweep] has repaired. The queue's totals since ever are in [QueueInfo.Repairs].
type Swept struct {
	Leased      int // active tasks without a lease, which were given one that will run out
	Ghosts      int // IDs without a task, which were removed
	TwoPlaces   int // IDs that stood in a container other than their state's, too, and were removed there
	Restated    int // tasks whose state was set to that of the one container that holds them
	Reactivated int // leased tasks that were missing among the active ones, and were put back
	StaleLeases int // leases of what was not active, which were removed
	StaleTimes  int // exact times of what did not wait for them, which were removed
}

// sweepPage is how many members of each container one call looks at: a few milliseconds of Redis' time.
const sweepPage = 250

// Sweep looks at every member of q's containers, of the pending list at the next ones to start, and repairs what cannot
// be. length is the lease for an active task that has none.
func (s *Store) Sweep(ctx context.Context, q keys.Queue, length time.Duration) (Swept, error) {
	var total Swept
	for offset := 0; ; {
		reply, err := s.run(ctx, sweep, q, repairKeys(q), q.TaskPrefix(), s.config.MaxEvents, length.Seconds(), sweepPage, offset)
		if err != nil {
			return total, err
		}
		values, ok := counts(reply, 9)
		if !ok {
			return total, fmt.Errorf("sweep queue %q: unexpected reply %v", q, reply)
		}
		for i, n := range []*int{
			&total.Leased, &total.Ghosts, &total.TwoPlaces, &total.Restated, &total.Reactivated, &total.StaleLeases, &total.StaleTimes,
		} {
			*n += values[2+i]
		}
		if more, removed := values[0], values[1]; more == 0 {
			return total, nil
		} else { // what was removed has moved the rest down; looking at some members twice does no harm
			offset = max(offset+sweepPage-removed, 0)
		}
	}
}

// repairKeys are the keys of sweep and adopt.
func repairKeys(q keys.Queue) []string {
	return []string{
		q.Pending(), q.Active(), q.Lease(), q.Scheduled(), q.Retry(), q.Archived(), q.Completed(), q.Due(), q.Events(), q.Repairs(),
	}
}

// counts reads a reply of n numbers.
func counts(reply any, n int) ([]int, bool) {
	values, ok := reply.([]any)
	if !ok || len(values) != n {
		return nil, false
	}
	numbers := make([]int, n)
	for i, v := range values {
		number, _ := v.(int64)
		numbers[i] = int(number)
	}
	return numbers, true
}
