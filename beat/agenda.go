package beat

import (
	"container/heap"
	"time"

	"github.com/seri-queue/seri/internal/store"
)

// entry is a schedule that the leader serves.
type entry struct {
	*Schedule
	ref
	record *store.ScheduleRecord // without the definition
	due    time.Time             // when the task of the next tick may start; zero: there is none
	place  int                   // in the agenda; -1: not in it
	asked  time.Time             // the tick for which earlier ticks' tasks were asked to stop
	ready  *ready                // the next tick, if it is made ready
}

// turn returns the tick whose turn it is when an earlier task has ended: the first that waits; in a pause, the first that
// somebody has asked for.
func (e *entry) turn() (w store.Waiting, waits bool) {
	for _, w := range e.record.Waiting {
		if w.Asked || !e.record.Paused {
			return w, true
		}
	}
	return w, false
}

// agenda is a heap of entries by when they are due, so that nobody has to look at all of them.
type agenda []*entry

// put gives an entry its place by the next tick on record.
func (a *agenda) put(e *entry) {
	e.due = time.Time{}
	if !e.record.Next.IsZero() && !e.record.Paused && e.Enabled {
		e.due = e.Due(e.record.Next)
	}
	a.at(e, e.due)
}

// at gives an entry its place by a time; zero: none.
func (a *agenda) at(e *entry, due time.Time) {
	e.due = due
	switch {
	case due.IsZero() && e.place >= 0:
		heap.Remove(a, e.place)
	case due.IsZero():
	case e.place >= 0:
		heap.Fix(a, e.place)
	default:
		heap.Push(a, e)
	}
}

// next returns when the first entry is due; zero: none is.
func (a agenda) next() time.Time {
	if len(a) == 0 {
		return time.Time{}
	}
	return a[0].due
}

// take removes up to n entries that are due by now.
func (a *agenda) take(now time.Time, n int) (due []*entry) {
	for len(due) < n && len(*a) > 0 && !(*a)[0].due.After(now) {
		e, _ := heap.Pop(a).(*entry)
		due = append(due, e)
	}
	return due
}

// within calls visit for the entries that are due by a time, in no order, until it returns false. It tells whether it never did.
func (a agenda) within(by time.Time, visit func(e *entry) bool) bool {
	var from func(i int) bool
	from = func(i int) bool {
		if i >= len(a) || a[i].due.After(by) { // then all below are due later, too
			return true
		}
		return visit(a[i]) && from(2*i+1) && from(2*i+2)
	}
	return from(0)
}

// Len and the others implement [heap.Interface].
func (a agenda) Len() int           { return len(a) }
func (a agenda) Less(i, j int) bool { return a[i].due.Before(a[j].due) }
func (a agenda) Swap(i, j int) {
	a[i], a[j] = a[j], a[i]
	a[i].place, a[j].place = i, j
}

// Push implements [heap.Interface].
func (a *agenda) Push(x any) {
	e, _ := x.(*entry)
	e.place = len(*a)
	*a = append(*a, e)
}

// Pop implements [heap.Interface].
func (a *agenda) Pop() any {
	old := *a
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*a = old[:len(old)-1]
	e.place = -1
	return e
}
