package schedule

import "time"

// readings are what a rule names: times as clocks on a wall show them.
type readings interface {
	// next returns the first reading of the set that is not before from; ok is false if there is none.
	next(from reading) (r reading, ok bool)
}

// timeOfDay keeps each of its readings once, whatever the clock does: a reading ticks at the first instant at which
// the clock shows it or a later one.
type timeOfDay struct {
	readings readings
	zone     *time.Location
	skip     bool // a reading that the clock jumps over does not tick
}

func (r timeOfDay) next(after instant) (instant, bool) {
	// What the clock has shown or jumped over has ticked already, be it about to be shown again.
	due, ok := r.readings.next(highestShown(r.zone, after) + 1)
	if !ok {
		return 0, false
	}
	at := max(after+1, instant(due)-farthest)
	for {
		s := stretchAt(r.zone, at)
		switch shown := s.instantOf(due); {
		case shown >= s.end:
			at = s.end
		case shown < at && r.skip:
			if due, ok = r.readings.next(s.readingOf(at)); !ok {
				return 0, false
			}
			at = max(at, instant(due)-farthest)
		default:
			return max(shown, at), true // shown < at: the clock jumped over the reading when this stretch began
		}
	}
}

// rhythm ticks whenever the clock shows one of its readings.
type rhythm struct {
	readings readings
	zone     *time.Location
	shift    bool // what the clock jumps over ticks right after the jump
}

func (r rhythm) next(after instant) (instant, bool) {
	// due is the first reading from asked on. Some rules search long for one, so it is kept from one stretch to the next.
	var asked, due reading
	ok := false
	find := func(from reading) {
		if !ok || from < asked || from > due {
			due, ok = r.readings.next(from)
			asked = from
		}
	}
	for at := after + 1; at <= lastInstant; {
		s := stretchAt(r.zone, at)
		if at == s.start && r.shift {
			find(stretchAt(r.zone, at-1).readingOf(at))
			if ok && due < s.readingOf(at) {
				return at, true
			}
		}
		find(s.readingOf(at))
		if tick := s.instantOf(due); ok && tick < s.end {
			return tick, true
		}
		if !ok && s.end > at+farthest { // what the clock shows later is later than that
			return 0, false
		}
		at = s.end
	}
	return 0, false
}

// farthest is more than any clock has ever been away from UTC, or has jumped.
const farthest = 2 * day

// stretch is a span of time, from start up to but without end, in which the clock does not jump.
// Two neighbours may well have the same offset.
type stretch struct {
	start, end instant
	offset     instant // what the clock is ahead of UTC, in seconds
}

func (s stretch) readingOf(at instant) reading { return reading(at + s.offset) }
func (s stretch) instantOf(r reading) instant  { return instant(r) - s.offset }

// stretchAt returns a stretch that contains at; never an empty one.
//
// [time.Time.ZoneBounds] is right about jumps, but where a zone's rule goes on for ever it also ends a stretch 365 days
// after New Year, UTC. On the last day of a leap year that end lies behind, and the stretch lasts until midnight.
func stretchAt(zone *time.Location, at instant) stretch {
	t := time.Unix(int64(at), 0).In(zone)
	_, offset := t.Zone()
	s := stretch{start: -1 << 62, end: 1 << 62, offset: instant(offset)}
	start, end := t.ZoneBounds()
	if !start.IsZero() {
		s.start = min(instant(start.Unix()), at)
	}
	if !end.IsZero() {
		s.end = instant(end.Unix())
	}
	if s.end <= at {
		s.end = (at/day + 1) * day
	}
	return s
}

// highestShown returns the latest reading that the clock has shown up to and including at: what it shows then,
// or more if it was put back not long ago.
func highestShown(zone *time.Location, at instant) reading {
	s := stretchAt(zone, at)
	highest := s.readingOf(at)
	for s.start > at-farthest {
		last := s.start - 1
		s = stretchAt(zone, last)
		highest = max(highest, s.readingOf(last))
	}
	return highest
}
