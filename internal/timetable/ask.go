package timetable

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/schedule"
	"github.com/seri-queue/seri/internal/store"
)

// MaxBackfill is how many ticks one [Timetable.Backfill] makes up for.
const MaxBackfill = 1000

// batch is how many ticks are fired in one call, so that Redis serves others in between.
const batch = 100

// Run is a task that somebody has asked for.
type Run struct {
	Queue   string
	Tick    time.Time
	Task    string // its ID
	Outcome store.Outcome
}

// Trigger runs a schedule now: it enqueues the task of a tick of this second, whether the schedule is paused, has ended, or
// has a tick at that time or not. What the schedule says about overlap holds; allow runs the task beside earlier ones all
// the same. The outcome is [store.TickEnqueued], [store.TickExists] (this second has its task), [store.TickWaits] or
// [store.TickLeftOut].
func (t *Timetable) Trigger(ctx context.Context, queue, id string, allow bool) (Run, error) {
	for range attempts {
		e, err := t.Find(ctx, queue, id)
		if err != nil {
			return Run{}, err
		}
		now, err := t.now(ctx)
		if err != nil {
			return Run{}, err
		}
		runs, err := t.ask(ctx, &e, []time.Time{now.Truncate(time.Second)}, now, allow)
		if err != nil || len(runs) == 1 {
			return slices.Concat(runs, []Run{{}})[0], err
		}
	}
	return Run{}, fmt.Errorf("run schedule %s: %w", id, ErrBusy)
}

// SpanError tells what is wrong with the span of time of a backfill.
type SpanError struct{ Field, Problem string }

func (e *SpanError) Error() string { return e.Field + " " + e.Problem }

// Backfill enqueues the tasks of the ticks that a schedule has, or would have had, from one time to another, both included
// and not in the future: at most [MaxBackfill], the oldest first. What the schedule says about overlap holds for each of
// them; allow starts them all at once. Repeating it is harmless while the tasks of the first time exist. Errors:
// [*SpanError].
func (t *Timetable) Backfill(ctx context.Context, queue, id string, from, to time.Time, allow bool) (runs []Run, err error) {
	for range attempts {
		e, err := t.Find(ctx, queue, id)
		if err != nil {
			return nil, err
		}
		now, err := t.now(ctx)
		if err != nil {
			return nil, err
		}
		ticks, err := span(&e, from, to, now)
		if err != nil {
			return nil, err
		}
		runs, err = t.ask(ctx, &e, ticks, now, allow) // a repeat finds what has been done
		if err != nil || len(runs) == len(ticks) {
			return runs, err
		}
	}
	return runs, fmt.Errorf("backfill schedule %s: %w", id, ErrBusy)
}

func span(e *Entry, from, to, now time.Time) (ticks []time.Time, err error) {
	s, err := e.Schedule()
	switch {
	case err != nil:
		return nil, err
	case from.IsZero():
		return nil, &SpanError{"from", "is missing"}
	case to.IsZero():
		return nil, &SpanError{"to", "is missing"}
	case to.Before(from):
		return nil, &SpanError{"to", "is before from"}
	case to.After(now):
		return nil, &SpanError{"to", "is in the future; those ticks come by themselves"}
	}
	for tick := s.Next(from.Add(-1)); !tick.IsZero() && !tick.After(to); tick = s.Next(tick) {
		if len(ticks) == MaxBackfill {
			return nil, &SpanError{"to", fmt.Sprintf("is more than %d ticks after from, of which the last is %s; go on from there in another call",
				MaxBackfill, ticks[len(ticks)-1].UTC().Format(time.RFC3339))}
		}
		ticks = append(ticks, tick)
	}
	return ticks, nil
}

// ask enqueues tasks of ticks. There are fewer runs than ticks if the definition is another by now.
func (t *Timetable) ask(ctx context.Context, e *Entry, ticks []time.Time, now time.Time, allow bool) (runs []Run, err error) {
	s, err := e.Schedule()
	if err != nil {
		return nil, err
	}
	overlap := s.Overlap
	if allow || overlap == "" {
		overlap = schedule.OverlapAllow
	}
	for some := range slices.Chunk(ticks, batch) {
		asked := make([]store.Tick, len(some))
		for i, at := range some {
			m, err := s.Message(at)
			if err != nil {
				return runs, err
			}
			if !m.Expires.IsZero() { // as long after now as it would have been after its tick
				m.Expires = m.Expires.Add(now.Sub(at))
			}
			asked[i] = store.Tick{
				Schedule: e.ID, Revision: e.Revision, Asked: true, Tick: at, Due: at, Task: m,
				Overlap: string(overlap), Limit: s.Limit, PauseAfter: s.PauseAfter,
			}
		}
		fired, err := t.store.Fire(ctx, e.Queue, store.Leader{}, asked)
		if err != nil {
			return runs, err
		}
		for i, f := range fired {
			if f.Outcome == store.TickMoved || f.Outcome == store.TickEarly {
				return runs, nil
			}
			runs = append(runs, Run{string(e.Queue), some[i], asked[i].Task.ID, f.Outcome})
		}
	}
	return runs, nil
}

// Past is what became of a tick, with the state of its task.
type Past struct {
	store.Past
	Task  string     // its ID; empty of ticks that were missed
	State seri.State // empty: the task is not there any more
}

// History returns what became of a schedule's newest ticks, the newest first, at most limit.
func (t *Timetable) History(ctx context.Context, queue, id string, limit int) ([]Past, Entry, error) {
	e, err := t.Find(ctx, queue, id)
	if err != nil {
		return nil, e, err
	}
	read, err := t.store.History(ctx, e.Queue, id, limit)
	if err != nil {
		return nil, e, err
	}
	past, tasks := make([]Past, len(read)), make([]string, len(read))
	for i, p := range read {
		if p.Missed == 0 {
			tasks[i] = schedule.TaskID(id, p.Tick)
		}
		past[i] = Past{Past: p, Task: tasks[i]}
	}
	states, err := t.store.States(ctx, e.Queue, tasks)
	if err != nil {
		return nil, e, err
	}
	for i := range past {
		past[i].State = states[i]
	}
	return past, e, nil
}
