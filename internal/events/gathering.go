package events

import (
	"context"
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
	return &Subscription{hub: h, form: spanning}, nil
}

// Wanted is one thing that a gathering is to be about, under a name that none of the others has.
type Wanted struct {
	Name   string
	Filter Filter
}

// Add makes a gathering be about more things. The next frames that [Subscription.Next] returns are a snapshot of each.
// refused says, for each of them, why it was not added: [seri.ErrNotFound], if its task does not exist, or [ErrPartition].
// After an err, none was.
func (s *Subscription) Add(ctx context.Context, wanted ...Wanted) (refused []error, err error) {
	refused = make([]error, len(wanted))
	added := make([]*interest, 0, len(wanted))
	places := make([]int, 0, len(wanted))
	for n, w := range wanted {
		if s.hub.cfg.Partitions.Find(keys.Queue(w.Filter.Queue)).Partition > 0 {
			refused[n] = ErrPartition
			continue
		}
		i := &interest{s: s, name: w.Name, filter: w.Filter}
		if err := s.include(i); err != nil {
			s.exclude(added...)
			return nil, err
		}
		added, places = append(added, i), append(places, n)
	}
	if len(added) == 0 {
		return refused, nil
	}
	shown, err := s.readSnapshots(ctx, added)
	if err != nil {
		s.exclude(added...)
		return nil, err
	}
	var found []*interest
	var tasks []Snapshot
	for n, i := range added {
		if i.filter.Task != "" && len(shown[n].Tasks) == 0 {
			refused[places[n]] = fmt.Errorf("watch task %q: %w", i.filter.Task, seri.ErrNotFound)
			s.exclude(i)
			continue
		}
		found, tasks = append(found, i), append(tasks, shown[n])
	}
	s.renew()
	s.starting = true
	if err := s.show(ctx, found, tasks); err != nil {
		s.exclude(found...)
		return nil, err
	}
	return refused, nil
}

// include adds an interest, whose events come from now on.
func (s *Subscription) include(i *interest) error {
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
	return nil
}

// exclude takes interests away.
func (s *Subscription) exclude(interests ...*interest) {
	for _, i := range interests {
		s.hub.exclude(i)
	}
	s.hub.confine(s, s.reach())
}

// Remove makes a gathering be no longer about a thing; nothing that is only about it comes any more. It reports whether
// there was one of that name.
func (s *Subscription) Remove(name string) bool {
	n := slices.IndexFunc(s.interests, func(i *interest) bool { return i.name == name })
	if n < 0 {
		return false
	}
	s.exclude(s.interests[n])
	return true
}

// Filter returns what the interest of that name is about; false if there is none.
func (s *Subscription) Filter(name string) (Filter, bool) {
	for _, i := range s.interests {
		if i.name == name {
			return i.filter, true
		}
	}
	return Filter{}, false
}

// Filters returns what a gathering is about, by name.
func (s *Subscription) Filters() map[string]Filter {
	filters := make(map[string]Filter, len(s.interests))
	for _, i := range s.interests {
		filters[i.name] = i.filter
	}
	return filters
}

// Len is how many things the subscription is about.
func (s *Subscription) Len() int { return len(s.interests) }

// Alive returns a frame that says nothing but how far the gathering has come.
func (s *Subscription) Alive() (Frame, error) {
	return frameOf(wire.TypeAlive, newID("alive"), "", struct{}{}, s.Cursor())
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
