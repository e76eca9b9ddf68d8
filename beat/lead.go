package beat

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redisfault"
	"github.com/seri-queue/seri/internal/store"
)

// makeUpWithin is the age up to which a missed tick is made up for.
const makeUpWithin = time.Hour

// resync is how often Redis' clock is asked at least; between, this machine's clock measures only the time since.
const resync = 10 * time.Second

// ticks is what a leader needs of the store.
type ticks interface {
	Plan(ctx context.Context, q keys.Queue, schedule, revision string, next time.Time, token uint64) (time.Time, error)
	Fire(ctx context.Context, q keys.Queue, tick store.Tick) (store.Fired, error)
}

// planned is a schedule with its next tick.
type planned struct {
	Schedule
	queue    keys.Queue
	revision string
	next     time.Time // zero: never
}

// lead serves the schedules until ctx ends, or an error makes another try under a new token necessary.
func (b *Beat) lead(ctx context.Context, token uint64) error {
	now, err := b.now(ctx)
	if err != nil {
		return fmt.Errorf("ask Redis for the time: %w", redisfault.Mark(err))
	}
	plans := make([]*planned, len(b.schedules))
	for i, s := range b.schedules {
		plans[i] = &planned{Schedule: s, queue: keys.Queue(s.Task.Queue), revision: revision(s)}
		if err := b.plan(ctx, plans[i], now, token); err != nil {
			return err
		}
	}
	for {
		now, err := b.now(ctx)
		if err != nil {
			return fmt.Errorf("ask Redis for the time: %w", redisfault.Mark(err))
		}
		wait := resync
		for _, p := range plans {
			if p.next.IsZero() {
				continue
			}
			if !p.next.After(now) {
				if err := b.fire(ctx, p, now, token); err != nil {
					return err
				}
			}
			if !p.next.IsZero() {
				wait = min(wait, p.next.Sub(now))
			}
		}
		if !pause(ctx, max(wait, time.Millisecond)) {
			return context.Cause(ctx)
		}
	}
}

// plan learns a schedule's next tick.
func (b *Beat) plan(ctx context.Context, p *planned, now time.Time, token uint64) (err error) {
	first := p.Spec.Next(now)
	if first.IsZero() {
		p.next = first
		return nil
	}
	p.next, err = b.ticks.Plan(ctx, p.queue, p.ID, p.revision, first, token)
	return err
}

// fire enqueues the latest tick that is due and moves the schedule on past now.
func (b *Beat) fire(ctx context.Context, p *planned, now time.Time, token uint64) error {
	due, missed := p.latest(now)
	tick := store.Tick{
		Schedule: p.ID, Revision: p.revision, Expected: p.next, Next: p.Spec.Next(now), Token: token,
		Skip: now.Sub(due) > makeUpWithin,
	}
	logger := b.config.Logger.With("schedule", p.ID, "queue", p.queue, "tick", due)
	if tick.Next.IsZero() {
		tick.Next = due.AddDate(1000, 0, 0) // the last one
	}
	var err error
	if tick.Task, err = p.Message(due); err != nil {
		return err
	}
	fired, err := b.ticks.Fire(ctx, p.queue, tick)
	if err != nil {
		return err
	}
	switch {
	case fired == store.TickMoved:
		return b.plan(ctx, p, now, token)
	case tick.Skip:
		logger.WarnContext(ctx, "tick skipped: missed for too long", "late", now.Sub(due))
	case fired == store.TickExists:
		logger.WarnContext(ctx, "tick was enqueued before", "task_id", tick.Task.ID)
	default:
		logger.InfoContext(ctx, "tick enqueued", "task_id", tick.Task.ID, "late", now.Sub(due), "missed", missed)
	}
	p.next = tick.Next
	return nil
}

// latest returns the newest tick that is due, and the number of those between it and the next one on record.
func (p *planned) latest(now time.Time) (due time.Time, missed int) {
	due = p.next
	if recent := p.Spec.Next(now.Add(-makeUpWithin)); recent.After(due) && !recent.After(now) {
		due = recent
		missed++ // at least; what lies further back is not counted
	}
	for {
		next := p.Spec.Next(due)
		if next.IsZero() || next.After(now) {
			return due, missed
		}
		due = next
		missed++
	}
}

// revision digests when a schedule ticks and where its tasks go. A change of it makes the next tick be computed anew.
func revision(s Schedule) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%s\n%s", s.Spec, s.Spec.Zone(), s.Task.Queue))
	return hex.EncodeToString(sum[:8])
}

// pause waits for d; false if ctx has ended.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
