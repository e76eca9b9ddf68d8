package store

import (
	"context"
	"fmt"

	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/permit"
)

// Duty is what a role does to its queues, as the scripts that it takes.
type Duty struct {
	scripts   []*script
	schedules bool // they write schedules, too
}

// The duties. A worker does not enqueue, a beat does not run.
var (
	Working = Duty{[]*script{
		adopt, announce, archive, claim, complete, dequeue, enlist, extend, forward, logScript, progress, purge, recoverExpired, requeue, retry, sweep, turn,
	}, false}
	Producing = Duty{[]*script{enqueue, fire, hold, pause, plan, put, revoke}, true} // also schedules at run time
	Ticking   = Duty{[]*script{fire, plan, revoke}, true}
)

// Permit returns a [*permit.DeniedError] if the Redis user may not do all that a duty takes on the keys of q. Another error
// means that it is not known.
func (s *Store) Permit(ctx context.Context, q keys.Queue, duty Duty) error {
	need := permit.Need{Channel: keys.Cancel, Keys: []string{
		q.Task("0"), q.Pending(), q.Active(), q.Lease(), q.Scheduled(), q.Retry(), q.Archived(), q.Completed(), q.Processed(), q.Failed(),
		q.UniquePrefix() + "0", q.Fence(), q.Due(), q.Wake(), q.Events(), q.Log("0"), q.OwnerPrefix() + "0",
	}}
	if duty.schedules {
		need.Keys = append(need.Keys, q.Beat(), q.Schedules(), q.Schedule("0"), q.History("0"), q.Edited())
	}
	for _, sc := range duty.scripts {
		need.Scripts = append(need.Scripts, sc.source)
	}
	if s.carrier.Publishes() {
		need.Keys = append(need.Keys, q.Published())
	}
	if err := permit.Check(ctx, s.rdb, need); err != nil {
		return fmt.Errorf("queue %q: %w", q, err)
	}
	return s.announces(ctx, q)
}
