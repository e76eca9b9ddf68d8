package timetable

import (
	"context"
	"errors"
	"fmt"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/schedule"
	"github.com/seri-queue/seri/internal/store"
)

// Condition says which revision a change is for. The zero value: any, and it may make the schedule.
type Condition struct {
	Revision string // the one that has been seen; empty: any
	New      bool   // there must be no such schedule yet
}

func (c Condition) holds(e Entry) bool {
	return !(c.New && e.ID != "") && (c.Revision == "" || c.Revision == e.Revision)
}

// Change gives a schedule of a queue, empty: of whichever it is in, the definition that change makes of the one on record,
// which is nil if there is none. It is asked again when the record is another by then. made tells that there was none.
//
// A schedule stays in its queue. Errors: that of change, [ErrFile], [ErrRevision], [ErrBusy], [*ElsewhereError], and
// [*DeniedError] for a new one.
func (t *Timetable) Change(ctx context.Context, queue, id string, only Condition, change func(definition []byte) (schedule.Schedule, error)) (e Entry, made bool, err error) {
	for range attempts {
		e, err = t.Find(ctx, queue, id)
		if err != nil && !errors.Is(err, seri.ErrNotFound) {
			return e, false, err
		}
		made = e.ID == ""
		switch {
		case e.Origin == store.OriginFile:
			return e, false, fmt.Errorf("change schedule %s: %w", id, ErrFile)
		case !only.holds(e):
			return e, false, fmt.Errorf("change schedule %s: %w", id, ErrRevision)
		}
		s, err := change(e.Definition)
		if err != nil {
			return e, false, err
		}
		if made {
			if err := t.alone(ctx, s); err != nil {
				return e, false, err
			}
			denied, err := t.denied(ctx)
			if err == nil && denied(keys.Queue(s.Task.Queue), "") {
				err = &DeniedError{keys.Queue(s.Task.Queue)}
			}
			if err != nil {
				return e, false, err
			}
			e.Queue = keys.Queue(s.Task.Queue)
		} else if s.Task.Queue != string(e.Queue) {
			return e, false, &ElsewhereError{id, []keys.Queue{e.Queue}}
		}
		definition, err := s.MarshalJSON()
		if err != nil {
			return e, false, err
		}
		p := store.Plan{
			Schedule: id, Was: e.ScheduleRecord, Revision: schedule.Digest(definition), Timing: s.Timing(), Origin: store.OriginAPI, Definition: definition,
		}
		if p.Revision == e.Revision && e.Fault == "" { // a damaged record has the revision of what it was
			return e, false, nil
		}
		now, err := t.now(ctx)
		if err != nil {
			return e, false, err
		}
		p.Next = FirstTick(s, p.Timing, now, e.ScheduleRecord)
		written, err := t.store.Plan(ctx, e.Queue, store.Leader{}, []store.Plan{p})
		if err != nil {
			return e, false, err
		}
		if written[0] {
			e, err = t.Find(ctx, string(e.Queue), id)
			return e, made, err
		}
	}
	return e, false, fmt.Errorf("change schedule %s: %w", id, ErrBusy)
}

// alone refuses a new schedule whose ID is taken in another queue.
func (t *Timetable) alone(ctx context.Context, s schedule.Schedule) error {
	queues, err := t.store.ScheduleQueues(ctx, s.ID)
	if err == nil && len(queues) > 0 && queues[0] != keys.Queue(s.Task.Queue) {
		err = &ElsewhereError{s.ID, queues}
	}
	return err
}

// Remove takes a schedule off the timetable, with its history. Its tasks stay. Errors: as of [Timetable.Change], and
// [seri.ErrNotFound].
func (t *Timetable) Remove(ctx context.Context, queue, id string, only Condition) error {
	for range attempts {
		e, err := t.Find(ctx, queue, id)
		switch {
		case err != nil:
			return err
		case e.Origin == store.OriginFile:
			return fmt.Errorf("remove schedule %s: %w", id, ErrFile)
		case !only.holds(e):
			return fmt.Errorf("remove schedule %s: %w", id, ErrRevision)
		}
		written, err := t.store.Plan(ctx, e.Queue, store.Leader{}, []store.Plan{{Schedule: id, Was: e.ScheduleRecord}})
		if err != nil || written[0] {
			return err
		}
	}
	return fmt.Errorf("remove schedule %s: %w", id, ErrBusy)
}
