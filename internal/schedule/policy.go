package schedule

import (
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"time"
)

// Catchup says which of the ticks that nobody fired in time are made up for.
type Catchup string

// Overlap says what a tick does while the task of an earlier one has not ended. The words and their meanings are Temporal's.
type Overlap string

// The choices. An empty one is the default.
const (
	CatchupNone   Catchup = "none"   // none of those that are older than [Grace]
	CatchupLatest Catchup = "latest" // the newest one; the default
	CatchupAll    Catchup = "all"    // each, the oldest first

	OverlapAllow          Overlap = "allow"           // start beside it; the default
	OverlapSkip           Overlap = "skip"            // leave the tick out
	OverlapBufferOne      Overlap = "buffer_one"      // start when it has ended; one tick waits at most, later ones are left out
	OverlapBufferAll      Overlap = "buffer_all"      // start when it has ended, each in its turn; at most [MaxBuffered] wait
	OverlapCancelOther    Overlap = "cancel_other"    // revoke it, and start when it has ended
	OverlapTerminateOther Overlap = "terminate_other" // revoke it, take its lease away, and start at once
)

// Limits and defaults of policies.
const (
	// Grace is what even a schedule that catches nothing up may be late: a leader that died is replaced within it.
	Grace = 10 * time.Second
	// DefaultDeadline is the age up to which a missed tick is made up for.
	DefaultDeadline = time.Hour
	// DefaultCatchupLimit is how many missed ticks are made up for at once by [CatchupAll], and MaxCatchupLimit the most.
	DefaultCatchupLimit = 100
	MaxCatchupLimit     = 1000
	// MaxBuffered is how many ticks may wait for an earlier one's task.
	MaxBuffered = 100
	// MaxJitter is the most that a tick may be put off.
	MaxJitter = 24 * time.Hour
)

// Policy says what a schedule does when something stands in the way of a tick. The zero value is the usual one.
type Policy struct {
	Catchup Catchup
	// Deadline is the age up to which a missed tick is made up for. 0: [DefaultDeadline].
	Deadline time.Duration
	// CatchupLimit is how many missed ticks [CatchupAll] makes up for; older ones are left out. 0: [DefaultCatchupLimit].
	CatchupLimit int
	Overlap      Overlap
	// Jitter spreads the start of each tick's task over this time after the tick, up to the next tick at most: by how much
	// follows from the schedule's ID and the tick, and so is the same for every beat. In milliseconds. 0: none.
	Jitter time.Duration
	// Start and End confine the ticks; both are included. Zero: unlimited.
	Start, End time.Time
	// Limit is the number of tasks after which the schedule has ended. 0: unlimited.
	Limit int
	// PauseAfter is the number of tasks that may fail in a row before the schedule pauses itself. 0: unlimited.
	PauseAfter int
}

// faults lists everything that is wrong with p, each with the name of its field in a file.
func (p *Policy) faults(spec Spec) []policyFault {
	var faults []policyFault
	fault := func(field, format string, args ...any) {
		faults = append(faults, policyFault{field, fmt.Errorf(format, args...)})
	}
	one := func(field, value string, allowed ...string) {
		for _, a := range allowed {
			if value == "" || value == a {
				return
			}
		}
		fault(field, "%s is %q, must be one of %s", field, value, strings.Join(allowed, ", "))
	}
	one("catchup", string(p.Catchup), string(CatchupNone), string(CatchupLatest), string(CatchupAll))
	one("overlap", string(p.Overlap), string(OverlapAllow), string(OverlapSkip), string(OverlapBufferOne), string(OverlapBufferAll),
		string(OverlapCancelOther), string(OverlapTerminateOther))
	switch {
	case p.Deadline < 0:
		fault("deadline", "deadline is %v, must be positive", p.Deadline)
	case p.Deadline > 0 && p.Catchup == CatchupNone:
		fault("deadline", "deadline has no meaning for catchup none, which makes up for nothing older than %v", Grace)
	}
	switch {
	case p.CatchupLimit < 0 || p.CatchupLimit > MaxCatchupLimit:
		fault("catchup_limit", "catchup_limit is %d, must be from 1 to %d", p.CatchupLimit, MaxCatchupLimit)
	case p.CatchupLimit > 0 && p.Catchup != CatchupAll:
		fault("catchup_limit", "catchup_limit has a meaning for catchup all only")
	}
	length, isInterval := spec.rule.(interval)
	switch {
	case p.Jitter < 0 || p.Jitter > MaxJitter || p.Jitter%time.Millisecond != 0:
		fault("jitter", "jitter is %v, must be in whole milliseconds and at most %v", p.Jitter, MaxJitter)
	case isInterval && p.Jitter > time.Duration(length)*time.Second:
		fault("jitter", "jitter is %v, must be no longer than the interval of %v", p.Jitter, time.Duration(length)*time.Second)
	}
	if !p.Start.IsZero() && !p.End.IsZero() && p.End.Before(p.Start) {
		fault("end", "end is before start")
	}
	if p.Limit < 0 {
		fault("limit", "limit is %d, must not be negative", p.Limit)
	}
	if p.PauseAfter < 0 {
		fault("pause_after", "pause_after is %d, must not be negative", p.PauseAfter)
	}
	return faults
}

type policyFault struct {
	field string
	err   error
}

// Validate reports everything that is wrong with s, joined; nil if nothing is.
func (s Schedule) Validate() error {
	var errs []error
	if err := checkID(s.ID); err != nil {
		errs = append(errs, err)
	}
	if s.Spec.rule == nil {
		errs = append(errs, errors.New("the spec is missing"))
	}
	if s.ExpiresAfter < 0 {
		errs = append(errs, fmt.Errorf("expires_after is %v, must be positive", s.ExpiresAfter))
	}
	if s.ExpiresAfter > 0 && s.ExpiresWithNext {
		errs = append(errs, errors.New("expires_after is both a time and the next tick"))
	}
	if err := s.expiresBeforeItStarts(); err != nil {
		errs = append(errs, err)
	}
	for _, f := range s.faults(s.Spec) {
		errs = append(errs, f.err)
	}
	m := s.Task
	m.ID = s.taskID(time.Unix(1<<33, 0))
	if err := m.Validate(); err != nil {
		errs = append(errs, err)
	}
	for i, err := range errs {
		errs[i] = fmt.Errorf("schedule %s: %w", s.ID, err)
	}
	return errors.Join(errs...)
}

// expiresBeforeItStarts refuses tasks that may have expired when their schedule's jitter lets them start.
func (s Schedule) expiresBeforeItStarts() error {
	if s.ExpiresAfter > 0 && s.ExpiresAfter <= s.Jitter {
		return fmt.Errorf("expires_after is %v after the tick, must be longer than the jitter of %v, by which the task may start later", s.ExpiresAfter, s.Jitter)
	}
	return nil
}

func checkID(id string) error {
	switch {
	case id == "":
		return errors.New("id is missing")
	case len(id) > MaxIDBytes:
		return fmt.Errorf("the id has %d bytes, the limit is %d", len(id), MaxIDBytes)
	case strings.ContainsFunc(id, func(r rune) bool { return !strings.ContainsRune(idCharacters, r) }):
		return errors.New("the id may contain letters, digits, dots, underscores and hyphens only")
	}
	return nil
}

// Next returns the schedule's first tick strictly after the given time, between its start and its end; zero: there is none.
func (s Schedule) Next(after time.Time) time.Time {
	if after.Before(s.Start) {
		after = s.Start.Add(-1)
	}
	tick := s.Spec.Next(after)
	if !s.End.IsZero() && tick.After(s.End) {
		return time.Time{}
	}
	return tick
}

// Due returns when the task of a tick may start: at the tick, or by the schedule's jitter later, but always before the next
// tick: of ticks that are due at once most would be taken for missed.
func (s Schedule) Due(tick time.Time) time.Time {
	spread := s.Jitter
	if spread <= 0 {
		return tick
	}
	if spread > time.Second { // ticks are never nearer to each other
		if next := s.Next(tick); !next.IsZero() {
			spread = min(spread, next.Sub(tick))
		}
	}
	h := fnv.New64a()
	h.Write(strconv.AppendInt([]byte(s.ID+":"), tick.Unix(), 10))
	x := h.Sum64()
	x = (x ^ x>>33) * 0xff51afd7ed558ccd // murmur3's finalizer: FNV's low bits alone are not spread well
	x ^= x >> 33
	return tick.Add(time.Duration(x%uint64(spread/time.Millisecond)) * time.Millisecond)
}

// Missed counts ticks that were not fired.
type Missed struct {
	Count       int
	First, Last time.Time
	// More: Count stopped at [MaxMissed]; there were more.
	More bool
}

// MaxMissed is where the count of missed ticks stops.
const MaxMissed = 10_000

func (m *Missed) add(tick time.Time) {
	if m.Count == 0 {
		m.First = tick
	}
	m.Last = tick
	if m.Count == MaxMissed {
		m.More = true
		return
	}
	m.Count++
}

// Ahead tells what [Schedule.Settle] will decide about the tick next from when it is due until the given time: it is fired
// alone, and following comes after it.
func (s Schedule) Ahead(next time.Time) (following, until time.Time) {
	until = s.Due(next).Add(s.deadline() + 1)
	if following = s.Next(next); !following.IsZero() {
		if due := s.Due(following); due.Before(until) {
			until = due
		}
	}
	return following, until
}

// deadline is the age up to which a tick is fired.
func (s Schedule) deadline() time.Duration {
	switch {
	case s.Catchup == CatchupNone:
		return Grace
	case s.Deadline == 0:
		return DefaultDeadline
	}
	return s.Deadline
}

// Settle decides what becomes of the ticks from next on that are due by now: which are fired, in this order, and which
// are missed. following is the first tick that is not due; zero: there is none.
func (s Schedule) Settle(next, now time.Time) (fire []time.Time, missed Missed, following time.Time) {
	keep, deadline := 1, s.deadline()
	if s.Catchup == CatchupAll {
		keep = s.CatchupLimit
		if keep == 0 {
			keep = DefaultCatchupLimit
		}
	}
	tick, looked := next, false
	for ; !tick.IsZero() && !s.Due(tick).After(now); tick = s.Next(tick) {
		if len(fire) == keep {
			missed.add(fire[0])
			fire = fire[1:]
		}
		fire = append(fire, tick)
		if missed.More && !looked { // a long outage: the rest is not counted one by one
			missed.Last, looked = tick, true
			if later := s.lookBack(tick, now, keep); later.After(tick) {
				tick, fire = later, append(fire[:0], later)
			}
		}
	}
	for len(fire) > 0 && now.Sub(s.Due(fire[0])) > deadline {
		missed.add(fire[0])
		fire = fire[1:]
	}
	return fire, missed, tick
}

// lookBack returns a tick after the given one and up to now behind which at least keep others are due, or the given one.
func (s Schedule) lookBack(tick, now time.Time, keep int) time.Time {
	now = now.Add(-s.Jitter)
	if !s.End.IsZero() && s.End.Before(now) {
		now = s.End
	}
	for back := time.Minute; ; back *= 2 {
		from := now.Add(-back)
		if !from.After(tick) {
			return tick
		}
		first := s.Next(from)
		n := 0
		for t := first; n < keep && !t.IsZero() && !t.After(now); t = s.Next(t) {
			n++
		}
		if n == keep {
			return first
		}
	}
}
