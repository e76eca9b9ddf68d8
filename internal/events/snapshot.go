package events

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
)

// known is what a snapshot has shown of an interest: of these tasks, events up to these numbers need not be handed out, as
// long as they come from before the snapshot. (Later, an id may begin a new life, whose numbers begin anew.) Snapshots do not show
// schedules, so events about them are always handed out.
type known struct {
	seqs  []shownTask // ordered; mostly one
	until Cursor      // the ends of the tasks' streams just after the snapshot was read
}

type shownTask struct {
	taskKey
	seq uint64
}

type taskKey struct{ queue, id string }

func (k taskKey) compare(other taskKey) int {
	return cmp.Or(cmp.Compare(k.id, other.id), cmp.Compare(k.queue, other.queue))
}

// streamOf names the stream that has a task's events: that of its queue, or of the partition that has it.
func streamOf(t *seri.Info) string { return string(keys.Queue(t.Queue).Partition(t.Partition)) }

// shows reports whether the snapshot has shown an event already.
func (k *known) shows(queue string, at Position, e *seri.Event) bool {
	if k == nil || e.Data.Schedule != nil || at.Compare(k.until.At(queue)) > 0 {
		return false
	}
	return e.Seq <= k.shown(queue, e.Task)
}

// shown returns the number that the snapshot has shown of a task; 0: none.
func (k *known) shown(queue, task string) uint64 {
	n, ok := slices.BinarySearchFunc(k.seqs, taskKey{queue, task}, func(t shownTask, key taskKey) int { return t.compare(key) })
	if !ok {
		return 0
	}
	return k.seqs[n].seq
}

// unshown returns how many of the n events just before an event of the same task, which were let go of, no snapshot has
// shown. Their numbers are those before the event's.
func (s *Subscription) unshown(it *item, n int) (most int) {
	if !s.fresh {
		return n
	}
	for _, i := range s.interests {
		if !i.filter.Matches(&it.event) {
			continue
		}
		left := n
		if k := i.known; k != nil && it.event.Data.Schedule == nil {
			if shown := k.shown(it.queue, it.event.Task); shown < it.event.Seq { // or it is of a new life
				left = min(n, int(it.event.Seq-shown)-1)
			}
		}
		most = max(most, left)
	}
	return most
}

// unless returns k, or nil if a subscription that has come to the cursor does not need it any more.
func (k *known) unless(at Cursor) *known {
	if k == nil || at.covers(k.until) {
		return nil
	}
	return k
}

// wants reports whether an event is one that the subscriber asks for and has not been shown by a snapshot.
func (s *Subscription) wants(queue string, at Position, e *seri.Event) bool {
	for _, i := range s.interests {
		if i.filter.Matches(e) && !i.known.shows(queue, at, e) {
			return true
		}
	}
	return false
}

// outgrow lets go of what snapshots have shown and the cursor is past.
func (s *Subscription) outgrow() {
	if !s.fresh {
		return
	}
	s.fresh = false
	for _, i := range s.interests {
		i.known = i.known.unless(s.cursor)
		s.fresh = s.fresh || i.known != nil
	}
}

// readSnapshots asks for the present state of interests, all at once; there may be others who ask.
func (s *Subscription) readSnapshots(ctx context.Context, interests []*interest) ([]Snapshot, error) {
	filters := make([]Filter, len(interests))
	for n, i := range interests {
		filters[n] = i.filter
	}
	if queue, ok := shareable(filters); ok {
		return s.hub.readings.share(ctx, queue, filters, s.hub.readSnapshots)
	}
	return s.hub.readSnapshots(ctx, filters)
}

// readSnapshots reads when it is its turn.
func (h *Hub) readSnapshots(ctx context.Context, filters []Filter) ([]Snapshot, error) {
	waiting, cancel := context.WithTimeoutCause(ctx, inSilence, errBusy)
	defer cancel()
	select {
	case h.reading <- struct{}{}:
		defer func() { <-h.reading }()
	case <-waiting.Done():
		return nil, fmt.Errorf("wait to read a snapshot: %w", context.Cause(waiting))
	}
	shown, err := h.snapshots.Snapshots(ctx, filters)
	if err != nil {
		return nil, fmt.Errorf("read a snapshot: %w", err)
	}
	return shown, nil
}

// snapshot reads one of every interest in the course of a subscription, after a gap in one of the streams. Of a task that
// is gone it is one of nothing.
func (s *Subscription) snapshot(ctx context.Context, streams ...string) error {
	s.starting = true // to read it takes time, which is not the reader's fault
	var met []*interest
	for _, i := range s.interests {
		if s.hub.meets(i.filter, streams) {
			met = append(met, i)
		}
	}
	if len(met) == 0 {
		return nil
	}
	shown, err := s.readSnapshots(ctx, met)
	if err != nil {
		return err
	}
	return s.show(ctx, met, shown)
}

// meets reports whether events in any of the streams can be those that a filter asks for.
func (h *Hub) meets(f Filter, streams []string) bool {
	return f.Queue == "" || slices.ContainsFunc(h.cfg.Partitions.Of(f.Queue), func(q keys.Queue) bool { return slices.Contains(streams, string(q)) })
}

// show makes the frames of interests' snapshots and takes note of what they show. The ends of the streams are read after
// the snapshots, so whatever these show is before them.
func (s *Subscription) show(ctx context.Context, interests []*interest, shown []Snapshot) error {
	var ends Cursor
	looked := make(map[string]bool)
	for n, i := range interests {
		k := new(known)
		for _, t := range shown[n].Tasks {
			stream := streamOf(&t)
			if t.Seq == 0 || !s.covers(stream) {
				continue
			}
			k.seqs = append(k.seqs, shownTask{taskKey{stream, t.ID}, t.Seq})
			if !looked[stream] {
				looked[stream] = true
				end, err := s.hub.end(ctx, stream)
				if err != nil {
					return err
				}
				ends = ends.With(stream, endOf(end))
			}
			k.until = k.until.With(stream, ends.At(stream))
		}
		slices.SortFunc(k.seqs, func(a, b shownTask) int { return a.compare(b.taskKey) })
		i.known, s.fresh = k.unless(s.cursor), true
		frame, err := snapshotFrame(i, shown[n].Tasks, shown[n].Truncated, s.Cursor())
		if err != nil {
			return err
		}
		s.frames = append(s.frames, frame)
	}
	return nil
}

// gap announces that events of a queue are missing, and goes on after them. A snapshot has to follow. The frame's
// cursor is from before the gap, so that who resumes at it does not miss the snapshot.
func (s *Subscription) gap(queue string, l loss, next Position) error {
	if seen := s.cursor.At(queue); l.after.Compare(seen) < 0 {
		l.after = seen
	}
	frame, err := gapFrame(queue, l, s.Cursor())
	if err != nil {
		return err
	}
	s.frames = append(s.frames, frame)
	s.cursor = s.cursor.With(queue, next)
	s.level = false
	return nil
}
