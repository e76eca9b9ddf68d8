package events

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"time"

	"github.com/seri-queue/seri"
)

const (
	// catchUpEntries bounds the entries that are read from a stream at once. Each may hold 1,000 events.
	catchUpEntries = 64
	// stride bounds the reads until a subscription shows that it is alive, and where it is: if it is cut, it goes on there.
	stride = 16
	// inLine bounds the wait for a turn to read, for the same reason.
	inLine = time.Second
	// inSilence bounds the waits after which a snapshot is owed, so no sign of life can be given. A reader who is told to come
	// back is better off than one whose connection is taken for dead, which is after a minute.
	inSilence = 30 * time.Second
)

// errStride is why catchUp returns without frames, though there may be some soon.
var errStride = errors.New("time for a sign of life")

// errBusy is why a subscription ends that would have had to wait for too long.
var errBusy = errors.New("too many read from Redis at once")

// lag is the state of a subscription that is behind the hub:
//
//  1. See in each queue whether what follows the cursor is still there.
//  2. Read each queue to its end: from what the hub keeps in memory, as far as that reaches back, otherwise from the
//     stream. This may take long, and nothing is buffered meanwhile.
//  3. Join the hub, whose buffer holds from now on what comes after the hub's positions.
//  4. Read up to those positions, which is little, and no further: the buffer may have let go of old progress among what
//     follows, and says so with what it kept. What of the buffer was read in step 2 is recognised by its position.
type lag struct {
	begun     bool
	losses    int // how often the hub had lost events when the queues were checked
	joined    bool
	goal      Cursor   // where the hub was when it was joined
	unchecked []string // queues of which it is not known yet whether what follows the cursor is there
	todo      []string // queues still to be read
}

// catchUp takes the next steps, until there are frames, or the subscription lives off the hub, or, with errStride, for a while.
func (s *Subscription) catchUp(ctx context.Context) error {
	l := s.lagging
	if !l.begun {
		at, losses := s.hub.position()
		if l.todo = s.scope(at); len(l.todo) > MaxCursorQueues {
			return ErrTooManyQueues
		}
		l.begun, l.losses, l.unchecked = true, losses, l.todo
	}
	for reads := 0; len(s.frames) == 0; {
		if len(l.unchecked) > 0 {
			if err := s.check(ctx); err != nil {
				return err
			}
			continue
		}
		if len(l.todo) > 0 {
			if reads++; reads > stride {
				return errStride
			}
			queue := l.todo[0]
			more, err := s.read(ctx, queue)
			if err != nil {
				return err
			}
			if !more || l.joined && s.cursor.At(queue).Compare(l.goal.At(queue)) >= 0 {
				l.todo = l.todo[1:]
			}
			continue
		}
		if l.joined {
			s.lagging, s.starting = nil, true
			return nil
		}
		at, losses, err := s.hub.join(s)
		if err != nil {
			return err
		}
		l.joined, l.goal = true, at.only(s.covers)
		if losses != l.losses { // what was read before may have been lost since, of which the hub will not tell again
			l.unchecked = s.scope(at)
		}
		for _, p := range l.goal.places {
			if s.cursor.At(p.queue).Compare(p.at) < 0 {
				l.todo = append(l.todo, p.queue)
			}
		}
	}
	return nil
}

// scope returns the queues that the subscription covers. at is where the hub is.
func (s *Subscription) scope(at Cursor) []string {
	switch {
	case len(s.within) > 0:
		return slices.Clone(s.within)
	case s.form == single && s.queues != nil:
		return slices.Clone(s.queues)
	default:
		return s.cursor.latest(at).queues()
	}
}

// check announces what is missing after the cursor, if anything is, and shows one snapshot for all of it. With errStride,
// nothing was missing in the queues that it has come to.
func (s *Subscription) check(ctx context.Context) error {
	var missing []string
	waiting, cancel := context.WithTimeoutCause(ctx, inLine, errStride)
	defer cancel()
	silent, cancelSilent := context.WithTimeoutCause(ctx, inSilence, errBusy)
	defer cancelSilent()
	for l := s.lagging; len(l.unchecked) > 0; l.unchecked = l.unchecked[1:] {
		queue := l.unchecked[0]
		gap, err := s.checkQueue(ctx, waiting, queue)
		if err != nil {
			return err
		}
		if gap { // to be said together with a snapshot
			waiting = silent
		}
		if gap {
			missing = append(missing, queue)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return s.snapshot(ctx, missing...)
}

// checkQueue reports whether anything is missing in a queue. waiting bounds the wait for a turn to ask.
func (s *Subscription) checkQueue(ctx, waiting context.Context, queue string) (gap bool, err error) {
	if _, kept := s.hub.recent.after(queue, s.cursor.At(queue)); kept != none {
		return false, nil
	}
	done, err := s.hub.enter(waiting)
	if err != nil {
		return false, err
	}
	defer done()
	return s.look(ctx, queue)
}

// look asks Redis whether anything is missing after the cursor.
func (s *Subscription) look(ctx context.Context, queue string) (gap bool, err error) {
	at := s.cursor.At(queue)
	v, err := s.hub.streams.Look(ctx, queue, at.ID)
	if err != nil {
		return false, err
	}
	switch l := (loss{after: at}); judge(at.ID, -1, v) {
	case trimmed:
		if v.first == (EntryID{}) {
			return true, s.gap(queue, l, endOf(v.last))
		}
		l.before = &Position{v.first, 0}
		return true, s.gap(queue, l, Position{v.first, -1})
	case lost:
		l.reset = true
		return true, s.gap(queue, l, endOf(v.last))
	default:
		return false, nil
	}
}

// enter waits until the subscription may read streams by itself; done lets the next one.
func (h *Hub) enter(ctx context.Context) (done func(), err error) {
	select {
	case h.catching <- struct{}{}:
		return func() { <-h.catching }, nil
	case <-h.stopped:
		return nil, ErrStopped
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// read makes frames of what comes next in a queue; more is false if there was nothing further.
func (s *Subscription) read(ctx context.Context, queue string) (more bool, err error) {
	runs, kept := s.hub.recent.after(queue, s.cursor.At(queue))
	if kept == none {
		return s.fetch(ctx, queue)
	}
	read, err := s.readRuns(queue, runs)
	return kept == some || !read, err
}

// fetch is read for what is not kept in memory. One reads a stream at a time: the others find then what he has read.
func (s *Subscription) fetch(ctx context.Context, queue string) (more bool, err error) {
	waiting, cancel := context.WithTimeoutCause(ctx, inLine, errStride)
	defer cancel()
	passOn, err := s.hub.turns.take(waiting, queue)
	if err != nil {
		return false, err
	}
	defer passOn()
	at := s.cursor.At(queue)
	if runs, kept := s.hub.recent.after(queue, at); kept != none {
		read, err := s.readRuns(queue, runs)
		return kept == some || !read, err
	}
	done, err := s.hub.enter(waiting)
	if err != nil {
		return false, err
	}
	defer done()

	shelf := s.hub.recent.shelf(queue)
	entries, err := s.hub.streams.Range(ctx, queue, at.ID, catchUpEntries)
	if err != nil {
		return false, err
	}
	// The entry at the cursor is read again: its being there proves that nothing after it was trimmed meanwhile.
	if at.ID != (EntryID{}) && (len(entries) == 0 || entries[0].id != at.ID) {
		gap, err := s.look(ctx, queue)
		if err != nil {
			return false, err
		}
		if gap {
			return true, s.snapshot(ctx, queue)
		}
		return len(entries) > 0, nil
	}
	read, err := s.readRuns(queue, []run{s.hub.recent.keep(queue, shelf, entries)})
	return len(entries) == catchUpEntries || !read, err
}

// readRuns makes frames of kept entries' events, but for those that the cursor is past, and those that the buffer stands for.
// It is false if it has not come to their end, because there are enough frames for now.
func (s *Subscription) readRuns(queue string, runs []run) (read bool, err error) {
	at := s.cursor.At(queue)
	defer func() { s.cursor = s.cursor.With(queue, at) }()
	goal := Position{EntryID{math.MaxUint64, math.MaxUint64}, MaxIndex}
	if s.lagging.joined {
		goal = s.lagging.goal.At(queue)
	}
	tasks := s.tasks()
	for _, r := range runs {
		for next, e := range s.hub.events(queue, r, tasks) {
			switch {
			case next.Compare(at) <= 0:
				continue
			case next.Compare(goal) > 0:
				if at.Compare(goal) < 0 {
					at = goal
				}
				return true, nil
			case len(s.frames) >= framesAtOnce:
				return false, nil
			}
			at = next
			if err := s.frame(queue, at, e); err != nil {
				return false, err
			}
		}
		if len(r.records) == 0 {
			continue
		}
		end := r.records[len(r.records)-1].end(s.hub, queue)
		upTo := end
		if end.Compare(goal) > 0 {
			upTo = goal
		}
		if at.Compare(upTo) < 0 {
			at = upTo
		}
		at = s.hub.recent.join(queue, at, end)
	}
	return true, nil
}

// events returns the events of a run in order; of a page that does not change any more only those of tasks, if there are any.
func (h *Hub) events(queue string, r run, tasks []string) iter.Seq2[Position, *seri.Event] {
	return func(yield func(Position, *seri.Event) bool) {
		if r.closed && tasks != nil {
			for _, spot := range r.page.spots(h, queue, tasks) {
				rec := r.page.records[spot.record]
				if !yield(Position{rec.id, int(spot.event)}, &rec.events[spot.event]) {
					return
				}
			}
			return
		}
		for _, rec := range r.records {
			events := rec.read(h, queue)
			for i := range events {
				if !yield(Position{rec.id, i}, &events[i]) {
					return
				}
			}
		}
	}
}

// tasks returns the tasks that the subscription is about, if it is about tasks and nothing else.
func (s *Subscription) tasks() []string {
	tasks := make([]string, 0, len(s.interests))
	for _, i := range s.interests {
		if i.filter.Task == "" {
			return nil
		}
		tasks = append(tasks, i.filter.Task)
	}
	return tasks
}

// frame makes the frame of an event that was read, if it is one that the subscriber wants.
func (s *Subscription) frame(queue string, at Position, e *seri.Event) error {
	if !s.wants(queue, at, e) {
		return nil
	}
	it := item{queue: queue, at: at, event: *e}
	if err := it.encode(); err != nil {
		return fmt.Errorf("encode event %s of queue %q: %w", at, queue, err)
	}
	s.cursor = s.cursor.With(queue, at)
	s.frames = append(s.frames, sealFrame(it.typ, it.json, s.Cursor()))
	return nil
}
