package events

import "github.com/seri-queue/seri"

// interest is one thing that a subscription is about.
type interest struct {
	s      *Subscription
	name   string // by which the subscription's reader knows it; empty: it is the only one
	filter Filter
	known  *known // what the snapshot has shown; nil: nothing of it can come any more
	slot   int    // in its set of the index; the hub's, under its lock
}

// index finds the interests that an event may meet. Each stands in one set only, that of its most selective criterion,
// so that no event meets it twice.
type index struct {
	byTask     map[string]*set
	byOwner    map[string]*set
	byType     map[string]*set
	byQueue    map[string]*set
	bySchedule map[string]*set
	all        set
	// subscriptions whose interests are in the index.
	subscriptions map[*Subscription]struct{}
}

// set is a list of interests in no order; each knows its place in it. Where their filters agree with the first
// member's, they share its texts: an event that thousands want is compared with one text, which is near, rather than with one of
// each.
type set struct{ members []*interest }

func newIndex() index {
	return index{
		byTask: make(map[string]*set), byOwner: make(map[string]*set), byType: make(map[string]*set),
		byQueue: make(map[string]*set), bySchedule: make(map[string]*set), subscriptions: make(map[*Subscription]struct{}),
	}
}

// home returns the map and key of the set for a filter; a nil map: the set of all.
func (x *index) home(f *Filter) (sets map[string]*set, key string) {
	switch {
	case f.Task != "":
		return x.byTask, f.Task
	case f.Schedule != "":
		return x.bySchedule, f.Schedule
	case f.Owner != "":
		return x.byOwner, f.Owner
	case f.Type != "":
		return x.byType, f.Type
	case f.Queue != "":
		return x.byQueue, f.Queue
	default:
		return nil, ""
	}
}

func (x *index) add(i *interest) {
	sets, key := x.home(&i.filter)
	in := &x.all
	if sets != nil {
		if in = sets[key]; in == nil {
			in = new(set)
			sets[key] = in
		}
	}
	if len(in.members) > 0 {
		i.filter.share(&in.members[0].filter)
	}
	i.slot = len(in.members)
	in.members = append(in.members, i)
}

func (x *index) remove(i *interest) {
	sets, key := x.home(&i.filter)
	in := &x.all
	if sets != nil {
		in = sets[key]
	}
	last := len(in.members) - 1
	in.members[i.slot] = in.members[last]
	in.members[i.slot].slot = i.slot
	in.members[last] = nil
	in.members = in.members[:last]
	if sets != nil && last == 0 {
		delete(sets, key)
	}
}

// concerned returns the sets in which an event's interests stand; some may be nil.
func (x *index) concerned(e *seri.Event) [6]*set {
	schedule := ""
	if e.Data.Schedule != nil {
		schedule = e.Data.Schedule.ID
	}
	return [6]*set{x.byTask[e.Task], x.bySchedule[schedule], x.byOwner[e.Owner], x.byType[e.Type], x.byQueue[e.Queue], &x.all}
}
