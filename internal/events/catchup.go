package events

import (
	"context"
	"fmt"
	"slices"
)

// catchUpEntries bounds the entries that a subscription reads at once by itself. Each may hold 1,000 events.
const catchUpEntries = 32

// lag is the state of a subscription that is behind the hub and reads the streams by itself:
//
//  1. See in each queue whether what follows the cursor is still there.
//  2. Read each queue to its end. This may take long, and nothing is buffered meanwhile.
//  3. Join the hub, whose buffer holds from now on what comes after the hub's positions.
//  4. Read up to those positions, which is little, and no further: the buffer may have let go of old progress among what
//     follows, and says so with what it kept. What of the buffer was read in step 2 is recognised by its position.
type lag struct {
	checked bool
	losses  int // how often the hub had lost events when the queues were checked
	joined  bool
	goal    Cursor   // where the hub was when it was joined
	todo    []string // queues still to be read
}

// catchUp takes the next steps, until there are frames or the subscription lives off the hub.
func (s *Subscription) catchUp(ctx context.Context) error {
	select {
	case s.hub.catching <- struct{}{}:
		defer func() { <-s.hub.catching }()
	case <-s.hub.stopped:
		return ErrStopped
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	l := s.lagging
	if !l.checked {
		at, losses := s.hub.position()
		if l.todo = s.scope(at); len(l.todo) > MaxCursorQueues {
			return ErrTooManyQueues
		}
		if err := s.check(ctx, l.todo); err != nil {
			return err
		}
		l.checked, l.losses = true, losses
	}
	for len(s.frames) == 0 {
		if len(l.todo) > 0 {
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
			if err := s.check(ctx, s.scope(at)); err != nil {
				return err
			}
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

// check announces what is missing after the cursor, if anything is, and shows one snapshot for all of it.
func (s *Subscription) check(ctx context.Context, queues []string) error {
	var missing []string
	for _, queue := range queues {
		gap, err := s.checkQueue(ctx, queue)
		if err != nil {
			return err
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

func (s *Subscription) checkQueue(ctx context.Context, queue string) (gap bool, err error) {
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

// read makes frames of a queue's next entries; more is false if there were no further ones.
func (s *Subscription) read(ctx context.Context, queue string) (more bool, err error) {
	from := s.cursor.At(queue).ID
	entries, err := s.hub.streams.Range(ctx, queue, from, catchUpEntries)
	if err != nil {
		return false, err
	}
	// The entry at the cursor is read again: its being there proves that nothing after it was trimmed meanwhile.
	if from != (EntryID{}) && (len(entries) == 0 || entries[0].id != from) {
		gap, err := s.checkQueue(ctx, queue)
		if err != nil {
			return false, err
		}
		if gap {
			return true, s.snapshot(ctx, queue)
		}
		return len(entries) > 0, nil
	}
	for _, e := range entries {
		if err := s.readEntry(queue, e); err != nil {
			return false, err
		}
	}
	return len(entries) == catchUpEntries, nil
}

// readEntry makes frames of one entry's events, but for those that the cursor is past.
func (s *Subscription) readEntry(queue string, e entry) error {
	at := s.cursor.At(queue)
	events := s.hub.decode(queue, e)
	if len(events) == 0 && at.Compare(endOf(e.id)) < 0 {
		at = endOf(e.id)
	}
	for i := range events {
		it := item{queue: queue, at: Position{e.id, i}, event: events[i]}
		if it.at.Compare(at) <= 0 {
			continue
		}
		if goal := s.lagging.goal.At(queue); s.lagging.joined && it.at.Compare(goal) > 0 {
			at = goal
			break
		}
		at = it.at
		if !s.wants(queue, at, &it.event) {
			continue
		}
		if err := it.encode(); err != nil {
			return fmt.Errorf("encode event %s of queue %q: %w", at, queue, err)
		}
		s.cursor = s.cursor.With(queue, at)
		s.frames = append(s.frames, sealFrame(it.typ, it.json, s.Cursor()))
	}
	s.cursor = s.cursor.With(queue, at)
	return nil
}
