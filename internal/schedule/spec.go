package schedule

import (
	"fmt"
	"iter"
	"strings"
	"time"
)

// MaxSpecBytes limits the text of a spec. It is generous for every meaningful one, and spares the parser the rest.
const MaxSpecBytes = 256

// Spec says when: a cron expression or an interval, in a time zone. It is immutable and safe for concurrent use.
// The zero value never ticks; make one with [Parse].
type Spec struct {
	text string
	zone *time.Location
	rule rule
}

// rule is what differs between the kinds of spec.
type rule interface {
	// next returns the first tick after the given instant, which is at least -1. ok is false if there is none.
	next(after instant) (tick instant, ok bool)
}

// instant is a moment in real time, in seconds since the Unix epoch.
type instant int64

const (
	day = instant(24 * 60 * 60)
	// lastInstant ends the search for ticks: 1 January 9999, UTC. Later times have no RFC 3339 form in every zone.
	lastInstant = instant(253_370_764_800)
)

// Parse reads a spec. zone says whose clock a cron expression means; nil is UTC.
//
//	30 2 * * mon-fri       five fields: minute, hour, day of month, month, day of week
//	*/10 30 2 * * mon-fri  six fields: seconds first
//	@daily                 @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually
//	@every 90s             an interval in whole seconds, aligned to the Unix epoch
//
// A field is a list of numbers, names (jan-dec, sun-sat), ranges and steps. Sunday is 0 and 7. When day of month and
// day of week are both restricted, a day that matches either one counts; "*/2" is a restriction, "*" and "?" are not.
//
// The error is a [*SpecError]. It is also returned for what could be parsed but is surely not meant: a spec that never
// ticks, an interval of less than a second, the local zone of the machine.
func Parse(text string, zone *time.Location) (Spec, error) {
	if len(text) > MaxSpecBytes {
		return Spec{}, &SpecError{
			Spec:    strings.ToValidUTF8(text[:MaxSpecBytes], "") + "…",
			Problem: fmt.Sprintf("has %d bytes, the limit is %d", len(text), MaxSpecBytes),
			Advice:  "write several schedules",
		}
	}
	if zone == nil {
		zone = time.UTC
	}
	text = strings.Join(strings.Fields(text), " ")
	rule, fault := parseRule(text, zone)
	if fault != nil {
		fault.Spec = text
		return Spec{}, fault
	}
	return Spec{text: text, zone: zone, rule: rule}, nil
}

func parseRule(text string, zone *time.Location) (rule, *SpecError) {
	switch {
	case zone == time.Local:
		return nil, &SpecError{
			Problem: "the machine's local time zone may be another one on the next machine",
			Advice:  "name a zone, such as Europe/Berlin or UTC",
		}
	case text == "":
		return nil, &SpecError{Problem: "is empty", Advice: "write five or six cron fields, a macro such as @daily, or @every 90s"}
	case strings.HasPrefix(text, "TZ="), strings.HasPrefix(text, "CRON_TZ="):
		return nil, &SpecError{Problem: "a time zone inside the spec is not supported", Advice: "use the time zone field of the schedule"}
	case text == "@every", strings.HasPrefix(text, "@every "):
		return parseInterval(strings.TrimSpace(strings.TrimPrefix(text, "@every")))
	}
	readings, fixed, fault := parseCron(text)
	if fault != nil {
		return nil, fault
	}
	if fixed {
		return timeOfDay{readings, zone}, nil
	}
	return rhythm{readings, zone}, nil
}

// Next returns the first tick strictly after the given time, in the zone of the spec. The zero time means that there
// is none, which happens to the zero Spec and from the year 9999 on. Before the Unix epoch there are no ticks either:
// the next one after any earlier time is the first since then.
func (s Spec) Next(after time.Time) time.Time {
	from := max(instant(after.Unix()), -1)
	if s.rule == nil || from >= lastInstant {
		return time.Time{}
	}
	tick, ok := s.rule.next(from)
	if !ok || tick > lastInstant {
		return time.Time{}
	}
	return time.Unix(int64(tick), 0).In(s.zone)
}

// Ticks returns the ticks strictly after the given time, in order and practically without end.
func (s Spec) Ticks(after time.Time) iter.Seq[time.Time] {
	return func(yield func(time.Time) bool) {
		for tick := s.Next(after); !tick.IsZero() && yield(tick); {
			tick = s.Next(tick)
		}
	}
}

// String returns the text that the spec was parsed from, with single spaces.
func (s Spec) String() string { return s.text }

// Zone returns the time zone of the spec, never nil.
func (s Spec) Zone() *time.Location {
	if s.zone == nil {
		return time.UTC
	}
	return s.zone
}

// SpecError tells what is wrong with a spec, and what would be right.
type SpecError struct {
	Spec    string // the text, cut after [MaxSpecBytes]
	Field   string // "minute", "day of week", …; empty: the spec as a whole
	Problem string
	Advice  string
}

func (e *SpecError) Error() string {
	problem := e.Problem
	if e.Field != "" {
		problem = e.Field + " " + problem
	}
	return fmt.Sprintf("spec %q: %s; %s", e.Spec, problem, e.Advice)
}
