package beat

import (
	"time"

	"github.com/seri-queue/seri/internal/store"
)

// Many ticks are due in the same instant, at the full minute or hour. What can be done for them before is done before: then
// they have only to be sent.

const (
	// ahead is how long before it is due a tick is made ready.
	ahead = 250 * time.Millisecond
	// idle is how long nothing may be due for that, so that it delays nothing.
	idle = 2 * time.Millisecond
	// portion is how many are made ready until it is looked again what is due.
	portion = 50
	// stock is how many are kept ready.
	stock = 10_000
)

// ready is a tick that is made ready.
type ready struct {
	tick  store.Tick
	until time.Time // when it is no longer the only one that is due, or too old
}

// prepare makes some of the ticks ready that are due soon, if nothing else is to be done until wake. It tells whether it has.
func (l *leader) prepare(now, wake time.Time) bool {
	if wake.Sub(now) < idle {
		return false
	}
	made, seen := 0, 0
	l.agenda.within(now.Add(ahead), func(e *entry) bool {
		if seen++; seen > stock {
			return false
		}
		if e.prepare() {
			made++
		}
		return made < portion
	})
	return made > 0
}

// prepare makes the entry's next tick ready. It tells whether there was something to do.
func (e *entry) prepare() bool {
	if e.ready != nil && e.ready.fits(e) {
		return false
	}
	tick := e.record.Next
	following, until := e.Ahead(tick)
	r := &ready{tick: e.base(following), until: until}
	e.ready = r
	r.tick.Tick, r.tick.Due = tick, e.Due(tick)
	task, err := e.Message(tick)
	if err != nil { // it is met again, and told, when the tick is due
		r.until = time.Time{}
		return true
	}
	r.tick.Task = task
	r.tick.Encode(e.queue)
	return true
}

// fits tells whether it is the entry's next tick by its present definition.
func (r *ready) fits(e *entry) bool {
	return r.tick.Expected.Equal(e.record.Next) && r.tick.Revision == e.record.Revision
}

// prepared returns the entry's next tick, and that there is nothing else to tell Redis of the entry, if it was made ready.
func (e *entry) prepared(now time.Time) (store.Tick, bool) {
	r := e.ready
	e.ready = nil
	if r == nil || !r.fits(e) || !now.Before(r.until) || now.Before(r.tick.Due) {
		return store.Tick{}, false
	}
	return r.tick, true
}
