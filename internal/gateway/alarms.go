package gateway

import (
	"sync"
	"time"
)

// alarms wake peers when their times have come. Each peer has one, that nearly always rings for a ping: a list for each grain of
// time takes less memory than as many timers of the runtime, and less work to set.
type alarms struct {
	now   func() moment
	grain time.Duration // an alarm rings up to two of these late
	first chan struct{} // holds a value when there is an alarm again, after there was none

	mu     sync.Mutex
	grains map[int64]*peer // the first of a list of peers
	rung   int64           // the last grain that has rung
}

// alarm is a peer's place among the alarms, and theirs.
type alarm struct {
	grain          int64 // 0: it is not set
	earlier, later *peer // in the list of the grain
}

// newAlarms returns alarms that mostly ring after so long. A hundredth of it is no delay for a ping; and those that ring at once
// wake those who work for them once. For the others, as the end of [lastWords], it is a tenth of a second.
func newAlarms(now func() moment, mostly time.Duration) *alarms {
	return &alarms{now: now, grain: min(max(mostly/100, 5*time.Millisecond), lastWords/10), first: make(chan struct{}, 1), grains: make(map[int64]*peer)}
}

// run rings until done is closed.
func (a *alarms) run(done <-chan struct{}) {
	next := time.NewTimer(a.grain)
	defer next.Stop()
	for {
		select {
		case <-done:
			return
		case <-a.first:
			next.Reset(a.grain)
		case <-next.C:
			if a.ring() {
				next.Reset(a.grain)
			}
		}
	}
}

// ring wakes those whose time has come, and reports whether there are others.
func (a *alarms) ring() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for until := int64(a.now() / a.grain); a.rung < until && len(a.grains) > 0; {
		a.rung++
		for p := a.grains[a.rung]; p != nil; p = a.grains[a.rung] {
			a.remove(p)
			a.ringFor(p)
		}
	}
	return len(a.grains) > 0
}

// ringFor wakes a peer, unless its alarm was put off: then it rings later. The lock is held.
func (a *alarms) ringFor(p *peer) {
	for {
		at := p.alarm.Load()
		if at >= a.rung*int64(a.grain) {
			a.insert(p, moment(at))
			return
		}
		if p.alarm.CompareAndSwap(at, 0) {
			p.wakeLater()
			return
		}
	}
}

// set has a peer be woken at a moment, and not when it was to be before.
func (a *alarms) set(p *peer, at moment) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.remove(p)
	p.alarm.Store(int64(at))
	a.insert(p, at)
}

// putOff has a peer be woken at a moment that is not before the one at which it was to be. It is false if its alarm has rung, or
// is not set. Its place is changed when its time has come, which may put it off again: who is told something every second
// would change it every second.
func (a *alarms) putOff(p *peer, at moment) bool {
	before := p.alarm.Load()
	return before != 0 && before <= int64(at) && p.alarm.CompareAndSwap(before, int64(at))
}

// insert puts a peer in the list of a moment's grain. The lock is held.
func (a *alarms) insert(p *peer, at moment) {
	if len(a.grains) == 0 {
		a.rung = max(a.rung, int64(a.now()/a.grain))
		select {
		case a.first <- struct{}{}:
		default:
		}
	}
	p.bell.grain = max(a.rung, int64(at/a.grain)) + 1
	p.bell.later = a.grains[p.bell.grain]
	if p.bell.later != nil {
		p.bell.later.bell.earlier = p
	}
	a.grains[p.bell.grain] = p
}

// stop has a peer not be woken.
func (a *alarms) stop(p *peer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.remove(p)
	p.alarm.Store(0)
}

// remove takes a peer from its list, if it is in one. The lock is held.
func (a *alarms) remove(p *peer) {
	b := p.bell
	switch {
	case b.grain == 0:
		return
	case b.earlier != nil:
		b.earlier.bell.later = b.later
	case b.later != nil:
		a.grains[b.grain] = b.later
	default:
		delete(a.grains, b.grain)
	}
	if b.later != nil {
		b.later.bell.earlier = b.earlier
	}
	p.bell = alarm{}
}
