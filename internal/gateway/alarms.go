package gateway

import (
	"sync"
	"time"
)

// alarms wake peers when their times have come. Each peer has one, that nearly always rings for a ping: a list for each grain of
// time takes less memory than as many timers of the runtime, and less work to set.
type alarms struct {
	now   func() moment
	first chan struct{} // holds a value when there is an alarm again, after there was none

	mu     sync.Mutex
	grains map[int64]*peer // the first of a list of peers
	rung   int64           // the last grain that has rung
}

// grain is how much later an alarm may ring.
const grain = 25 * time.Millisecond

// alarm is a peer's place among the alarms, and theirs.
type alarm struct {
	grain          int64 // 0: it is not set
	earlier, later *peer // in the list of the grain
}

func newAlarms(now func() moment) *alarms {
	return &alarms{now: now, first: make(chan struct{}, 1), grains: make(map[int64]*peer)}
}

// run rings until done is closed.
func (a *alarms) run(done <-chan struct{}) {
	next := time.NewTimer(grain)
	defer next.Stop()
	for {
		select {
		case <-done:
			return
		case <-a.first:
			next.Reset(grain)
		case <-next.C:
			if a.ring() {
				next.Reset(grain)
			}
		}
	}
}

// ring wakes those whose time has come, and reports whether there are others.
func (a *alarms) ring() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for until := int64(a.now() / grain); a.rung < until && len(a.grains) > 0; {
		a.rung++
		for p := a.grains[a.rung]; p != nil; p = a.grains[a.rung] {
			a.remove(p)
			p.wakeLater()
		}
	}
	return len(a.grains) > 0
}

// set has a peer be woken at a moment, and not when it was to be before.
func (a *alarms) set(p *peer, at moment) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.remove(p)
	if len(a.grains) == 0 {
		a.rung = max(a.rung, int64(a.now()/grain))
		select {
		case a.first <- struct{}{}:
		default:
		}
	}
	p.bell.grain = max(a.rung, int64(at/grain)) + 1
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
