// Package timetable is what people and programs do to schedules: look at them, change them, pause them, run them by hand.
// Beats serve what is on record; nothing here waits for one.
//
// [New] takes a Redis; [Timetable.List] and [Timetable.Find] read, [Timetable.Change] and [Timetable.Remove] write,
// [Timetable.Trigger] and [Timetable.Backfill] enqueue tasks of ticks that somebody asks for.
//
// # Guarantees
//
// A change is compared and set: of two at once the second sees what the first has written, and a schedule that fires
// meanwhile loses no tick and repeats none. What a file of schedules has made can be looked at, paused and run, but not
// changed: the file would change it back. A task that is asked for has the ID of its tick, so asking twice does no harm.
//
// Not promised: that an ID is in one queue only. Two who make a schedule of the same ID in two queues at the same instant
// both may; then its queue has to be named.
package timetable

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/permit"
	"github.com/seri-queue/seri/internal/redisfault"
	"github.com/seri-queue/seri/internal/schedule"
	"github.com/seri-queue/seri/internal/store"
)

// Timetable is the schedules of all queues of one Redis. Make it with [New].
type Timetable struct {
	store *store.Store
	now   func(context.Context) (time.Time, error)
}

// New returns the timetable of a Redis. rdb needs the option MaxRetries: -1.
func New(rdb redis.UniversalClient, config store.Config) *Timetable {
	return &Timetable{
		store: store.New(rdb, config),
		now: func(ctx context.Context) (time.Time, error) { // by which beats fire
			now, err := rdb.Time(ctx).Result()
			if err != nil {
				return now, fmt.Errorf("ask Redis for the time: %w", redisfault.Mark(err))
			}
			return now, nil
		},
	}
}

// Entry is a schedule as it is on record.
type Entry struct {
	store.ScheduleRecord
	Queue keys.Queue
	// LastState is the state of the task of the last tick; empty if there is none, or no longer.
	LastState seri.State
	// Denied: no leading beat serves the schedule, because its Redis user may not write to the queue. False if that is not known.
	Denied bool
	// Fault is what is wrong with the definition on record, for which this version does not take it, and its beats do not serve
	// it: another version has stored it, or somebody has damaged it. Empty: nothing is.
	Fault string
}

// Schedule returns what the schedule's definition says, or a [*FaultError].
func (e *Entry) Schedule() (s schedule.Schedule, err error) {
	if err := json.Unmarshal(e.Definition, &s); err != nil {
		return s, &FaultError{e.ID, faultsIn(err)}
	}
	return s, nil
}

// faultsIn is all that is wrong with a definition, in a line.
func faultsIn(err error) string {
	all := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		all = joined.Unwrap()
	}
	texts := make([]string, len(all))
	for i, err := range all {
		texts[i] = err.Error()
		if fault, ok := errors.AsType[*schedule.Fault](err); ok { // without the ID, which whoever asks has
			texts[i] = fault.Err.Error()
		}
	}
	return strings.Join(texts, "; ")
}

// FaultError refuses to use the definition of a schedule on record. A new definition mends it.
type FaultError struct{ ID, Fault string }

func (e *FaultError) Error() string {
	return fmt.Sprintf("the definition of schedule %s on record is not usable: %s", e.ID, e.Fault)
}

var (
	// ErrFile refuses a change of a schedule that a file has made.
	ErrFile = errors.New("the schedule comes from a file, which would change it back")
	// ErrRevision refuses a change for somebody who has seen another revision than that on record.
	ErrRevision = errors.New("the schedule has another revision")
	// ErrBusy: others have changed the schedule again and again between the look at it and the change.
	ErrBusy = errors.New("the schedule is being changed by others")
)

// DeniedError refuses a new schedule in a queue that no beat can serve.
type DeniedError struct{ Queue keys.Queue }

func (e *DeniedError) Error() string {
	return fmt.Sprintf("no beat can serve the queue %s: Redis denies it to their user; give them the rules of deploy/ecs/acl/beat.acl for it", e.Queue)
}

// denied tells whether none of the beats that lead may write to a queue, of those that serve schedules of a lock, empty: of any.
func (t *Timetable) denied(ctx context.Context) (func(q keys.Queue, lock string) bool, error) {
	served, err := t.store.Served(ctx)
	if permit.Denied(err) { // this user has rules of before there was such a thing
		err = nil
	}
	return func(q keys.Queue, lock string) bool {
		asked := 0
		for of, s := range served {
			if lock != "" && of != lock {
				continue
			}
			if !slices.Contains(s.Denied, q) {
				return false
			}
			asked++
		}
		return asked > 0
	}, err
}

// ElsewhereError tells that schedules of an ID are in other queues than the one that is meant, or in several.
type ElsewhereError struct {
	ID     string
	Queues []keys.Queue
}

func (e *ElsewhereError) Error() string {
	names := make([]string, len(e.Queues))
	for i, q := range e.Queues {
		names[i] = string(q)
	}
	if len(names) == 1 {
		return fmt.Sprintf("schedule %s is in the queue %s", e.ID, names[0])
	}
	return fmt.Sprintf("schedules with the id %s are in the queues %s", e.ID, strings.Join(names, " and "))
}

// List returns up to limit schedules of a queue, empty: of all queues, by queue and ID, and where to go on; empty: that was
// all. after is where an earlier call ended. Schedules that come and go meanwhile shift nothing.
func (t *Timetable) List(ctx context.Context, queue, after string, limit int) (entries []Entry, next string, err error) {
	queues := []keys.Queue{keys.Queue(queue)}
	if queue == "" {
		if queues, err = t.store.Queues(ctx); err != nil {
			return nil, "", err
		}
	}
	fromQueue, fromID, resumes := strings.Cut(after, "\n")
	last := after
	for _, q := range queues {
		if resumes && string(q) < fromQueue {
			continue
		}
		ids, err := t.store.ScheduleIDs(ctx, q)
		if err != nil {
			return nil, "", err
		}
		slices.Sort(ids)
		if resumes && string(q) == fromQueue {
			place, found := slices.BinarySearch(ids, fromID)
			if found {
				place++
			}
			ids = ids[place:]
		}
		wanted := ids[:min(len(ids), limit-len(entries))]
		read, err := t.read(ctx, q, wanted)
		if err != nil {
			return nil, "", err
		}
		entries = append(entries, read...)
		if len(wanted) > 0 {
			last = string(q) + "\n" + wanted[len(wanted)-1]
		}
		if len(wanted) < len(ids) {
			return entries, last, nil
		}
	}
	return entries, "", nil
}

// read returns those of the schedules of a queue that are there.
func (t *Timetable) read(ctx context.Context, q keys.Queue, ids []string) ([]Entry, error) {
	records, err := t.store.ScheduleRecords(ctx, q, ids, nil)
	if err != nil {
		return nil, err
	}
	var entries []Entry
	var tasks []string
	for _, r := range records {
		if r.ID != "" {
			entries, tasks = append(entries, Entry{ScheduleRecord: r, Queue: q}), append(tasks, r.LastTask)
		}
	}
	states, err := t.store.States(ctx, q, tasks)
	if err != nil || len(entries) == 0 {
		return nil, err
	}
	denied, err := t.denied(ctx)
	if err != nil {
		return nil, err
	}
	for i := range entries {
		e := &entries[i]
		e.LastState, e.Denied = states[i], denied(q, e.Lock)
		_, err := e.Schedule()
		if fault, ok := errors.AsType[*FaultError](err); ok {
			e.Fault = fault.Fault
		}
	}
	return entries, nil
}

// Find returns the schedule of an ID in a queue, empty: in whichever it is. Errors: [seri.ErrNotFound], [*ElsewhereError]
// if it is in several.
func (t *Timetable) Find(ctx context.Context, queue, id string) (Entry, error) {
	queues := []keys.Queue{keys.Queue(queue)}
	if queue == "" {
		var err error
		if queues, err = t.store.ScheduleQueues(ctx, id); err != nil {
			return Entry{}, err
		}
		if len(queues) > 1 {
			return Entry{}, &ElsewhereError{id, queues}
		}
	}
	for _, q := range queues {
		entries, err := t.read(ctx, q, []string{id})
		if err != nil {
			return Entry{}, err
		}
		for _, e := range entries {
			return e, nil
		}
	}
	return Entry{}, fmt.Errorf("schedule %s: %w", id, seri.ErrNotFound)
}

// Pause stops a schedule's ticks, with a note that says why. Pausing a paused schedule changes nothing, not even the note.
func (t *Timetable) Pause(ctx context.Context, queue, id, note string) (Entry, error) {
	e, err := t.Find(ctx, queue, id)
	if err != nil {
		return e, err
	}
	if err := t.store.PauseSchedule(ctx, e.Queue, id, note); err != nil {
		return e, err
	}
	return t.Find(ctx, string(e.Queue), id)
}

// Resume lets a paused schedule tick again, from now on. Resuming one that ticks changes nothing.
func (t *Timetable) Resume(ctx context.Context, queue, id string) (Entry, error) {
	for range attempts {
		e, err := t.Find(ctx, queue, id)
		if err != nil || !e.Paused {
			return e, err
		}
		s, err := e.Schedule()
		if err != nil {
			return e, err
		}
		now, err := t.now(ctx)
		if err != nil {
			return e, err
		}
		err = t.store.ResumeSchedule(ctx, e.Queue, id, e.Revision, FirstTick(s, s.Timing(), now, e.ScheduleRecord))
		if err == nil {
			return t.Find(ctx, string(e.Queue), id)
		}
		if !errors.Is(err, store.ErrScheduleChanged) {
			return e, err
		}
	}
	return Entry{}, fmt.Errorf("resume schedule %s: %w", id, ErrBusy)
}

// attempts is how often a change is tried that finds the record to be another by then.
const attempts = 20

// FirstTick returns the next tick of a schedule that gets a new definition: the one on record while its timing is the same;
// otherwise, and after a pause, the first after now, and after what was fired already. One that has come to its limit has
// none. was are its records, the zero one if it is new; a schedule that has moved has that of the queue it has left, too.
func FirstTick(s schedule.Schedule, timing string, now time.Time, was ...store.ScheduleRecord) time.Time {
	if !s.Enabled {
		return time.Time{}
	}
	for _, record := range was {
		if s.Limit > 0 && record.Runs >= int64(s.Limit) {
			return time.Time{}
		}
		if record.ID != "" && record.Timing == timing && !record.Next.IsZero() && !record.Paused {
			return record.Next
		}
		if record.Last.After(now) {
			now = record.Last
		}
	}
	return s.Next(now)
}
