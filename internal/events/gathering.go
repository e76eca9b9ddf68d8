package events

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/wire"
)

// Gather begins a subscription to nothing yet: [Subscription.Add] says to what. However many things it is about, it is
// one stream with one cursor, and an event that meets several of them comes once.
func (h *Hub) Gather(ctx context.Context) (*Subscription, error) {
	s, err := h.gathering(ctx)
	if err != nil {
		return nil, err
	}
	at, _, err := h.join(s)
	if err != nil {
		return nil, err
	}
	if len(at.places) > MaxCursorQueues {
		h.leave(s)
		return nil, ErrTooManyQueues
	}
	s.cursor, s.starting = at, true
	return s, nil
}

// GatherAfter continues a gathering after a cursor of an earlier one, also one of another hub. What it is about is given
// by name, as by [Subscription.Add], and without snapshots: the first frame is the first event after the cursor.
func (h *Hub) GatherAfter(ctx context.Context, after Cursor, filters map[string]Filter) (*Subscription, error) {
	s, err := h.gathering(ctx)
	if err != nil {
		return nil, err
	}
	for name, f := range filters {
		if h.cfg.Partitions.Find(keys.Queue(f.Queue)).Partition > 0 {
			return nil, ErrPartition
		}
		s.interests = append(s.interests, &interest{s: s, name: name, filter: f})
	}
	s.cursor, s.within, s.lagging = after, s.reach(), new(lag)
	return s, nil
}

func (h *Hub) gathering(ctx context.Context) (*Subscription, error) {
	if err := h.await(ctx); err != nil {
		return nil, err
	}
	h.hurry()
	return &Subscription{hub: h, form: spanning, called: make(chan struct{}, 1)}, nil
}

// Add makes a gathering be about one more thing, under a name that none of the others has. The next frames that
// [Subscription.Next] returns are a snapshot of it. It returns [seri.ErrNotFound] if the filter's task does not exist;
// after an error, nothing has been added.
func (s *Subscription) Add(ctx context.Context, name string, f Filter) error {
	if s.hub.cfg.Partitions.Find(keys.Queue(f.Queue)).Partition > 0 {
		return ErrPartition
	}
	i := &interest{s: s, name: name, filter: f}
	covered := s.covers
	if len(s.interests) == 0 {
		covered = func(string) bool { return false }
	}
	at, err := s.hub.include(i)
	if err != nil {
		return err
	}
	// Of streams that it did not cover before, what came before is of no concern.
	s.cursor = s.cursor.latest(at.only(func(queue string) bool { return !covered(queue) }))
	s.hub.confine(s, s.reach())

	tasks, truncated, err := s.readSnapshot(ctx, f)
	if err == nil && f.Task != "" && len(tasks) == 0 {
		err = fmt.Errorf("watch task %q: %w", f.Task, seri.ErrNotFound)
	}
	if err == nil {
		s.renew()
		s.starting = true
		err = s.show(ctx, i, tasks, truncated)
	}
	if err != nil {
		s.hub.exclude(i)
		s.hub.confine(s, s.reach())
	}
	return err
}

// Remove makes a gathering be no longer about a thing; nothing that is only about it comes any more. It reports whether
// there was one of that name.
func (s *Subscription) Remove(name string) bool {
	n := slices.IndexFunc(s.interests, func(i *interest) bool { return i.name == name })
	if n < 0 {
		return false
	}
	s.hub.exclude(s.interests[n])
	s.hub.confine(s, s.reach())
	return true
}

// Call makes [Subscription.Next], if it waits or when it next would, return without frames. It may be called at any time.
func (s *Subscription) Call() {
	select {
	case s.called <- struct{}{}:
	default:
	}
}

// Alive returns a frame that says nothing but how far the gathering has come.
func (s *Subscription) Alive() (Frame, error) {
	return frameOf(wire.TypeAlive, "alive/"+rand.Text(), "", struct{}{}, s.Cursor())
}

// renew makes room for frames that the next call of Next is to return first.
func (s *Subscription) renew() {
	if !s.unread {
		clear(s.frames)
		s.frames = s.frames[:0]
	}
	s.unread = true
}

// reach returns the streams that the interests confine a gathering to; none: all.
func (s *Subscription) reach() []string {
	var within []string
	for _, i := range s.interests {
		if i.filter.Queue == "" {
			return nil
		}
		for _, q := range s.hub.cfg.Partitions.Of(i.filter.Queue) {
			if !slices.Contains(within, string(q)) {
				within = append(within, string(q))
			}
		}
	}
	return within
}
