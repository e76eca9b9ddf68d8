package events

import "github.com/seri-queue/seri"

// index finds the subscriptions that an event may concern. Each stands in one set only, that of its most selective
// criterion, so that no event meets it twice.
type index struct {
	byTask  map[string]*set
	byOwner map[string]*set
	byType  map[string]*set
	byQueue map[string]*set
	all     set
	size    int
}

// set is a list of subscriptions in no order; each knows its place in it.
type set struct{ members []*Subscription }

func newIndex() index {
	return index{
		byTask: make(map[string]*set), byOwner: make(map[string]*set),
		byType: make(map[string]*set), byQueue: make(map[string]*set),
	}
}

// home returns the map and key of the set for a filter; a nil map: the set of all.
func (x *index) home(f *Filter) (sets map[string]*set, key string) {
	switch {
	case f.Task != "":
		return x.byTask, f.Task
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

func (x *index) add(s *Subscription) {
	sets, key := x.home(&s.filter)
	in := &x.all
	if sets != nil {
		if in = sets[key]; in == nil {
			in = new(set)
			sets[key] = in
		}
	}
	s.slot = len(in.members)
	in.members = append(in.members, s)
	x.size++
}

func (x *index) remove(s *Subscription) {
	sets, key := x.home(&s.filter)
	in := &x.all
	if sets != nil {
		in = sets[key]
	}
	last := len(in.members) - 1
	in.members[s.slot] = in.members[last]
	in.members[s.slot].slot = s.slot
	in.members[last] = nil
	in.members = in.members[:last]
	x.size--
	if sets != nil && last == 0 {
		delete(sets, key)
	}
}

// concerned returns the sets in which an event's subscriptions stand; some may be nil.
func (x *index) concerned(e *seri.Event) [5]*set {
	return [5]*set{x.byTask[e.Task], x.byOwner[e.Owner], x.byType[e.Type], x.byQueue[e.Queue], &x.all}
}

// each yields all subscriptions.
func (x *index) each(yield func(*Subscription) bool) {
	for _, sets := range []map[string]*set{x.byTask, x.byOwner, x.byType, x.byQueue, {"": &x.all}} {
		for _, in := range sets {
			for i := len(in.members) - 1; i >= 0; i-- { // backwards: the loop's body may remove the one it got
				if !yield(in.members[i]) {
					return
				}
			}
		}
	}
}
