package events

import (
	"math"
	"time"
)

const (
	// pauseMost bounds what a pause adds to the time that an event takes.
	pauseMost = 4 * time.Millisecond
	// calm is the rate of entries a second up to which there is no pause: hardly ever would a second one come in it.
	calm = 50.0
	// busy is the rate from which on pauses have their full length.
	busy = 500.0
	// span is the time, in seconds, over which the rate is smoothed.
	span = 0.25
)

// rhythm says how long a busy stream is left alone between two reads. Every entry wakes all who wait for it in a blocked read,
// which costs Redis more than the entry does; who comes a little later reads several at once.
type rhythm struct {
	rate float64 // of entries a second
	at   time.Time
}

// pause returns how long to wait after a read that brought so many entries; more says that there are others. A stream that has
// become busy is paused for more and more, and one of which more is there not at all.
func (r *rhythm) pause(entries int, more bool, now time.Time) time.Duration {
	if !r.at.IsZero() {
		r.rate *= math.Exp(-now.Sub(r.at).Seconds() / span)
	}
	r.rate += float64(entries) / span
	r.at = now
	if entries == 0 || more {
		return 0
	}
	return time.Duration(float64(pauseMost) * min(1, max(0, (r.rate-calm)/(busy-calm))))
}
