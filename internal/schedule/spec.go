package schedule

import (
	"fmt"
	"iter"
	"strings"
	"time"
)

// The limits of a spec's text. They are generous for every meaningful one, and spare the parser the rest.
const (
	MaxSpecBytes       = 256
	MaxRecurrenceBytes = 4096 // of a rule of RFC 5545 with its exceptions
)

// Spec says when: a cron expression, an interval, a single time, an event of the sun or a rule of RFC 5545, in a time
// zone. It is immutable and safe for concurrent use. The zero value never ticks; make one with [Parse].
type Spec struct {
	text    string
	options Options
	rule    rule
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

// Options say how the text of a spec is to be understood. The zero value is the usual way.
type Options struct {
	Zone *time.Location // whose clock is meant; nil: UTC
	Day  DayRule        // of cron expressions
	DST  DSTRule        // of fixed times of day
	Fold FoldRule       // of fixed times of day
}

// DayRule says which days a cron expression means that restricts the day of month and the day of week.
type DayRule string

// DSTRule says what becomes of a fixed time of day that a clock jumps over.
type DSTRule string

// FoldRule says what becomes of a fixed time of day that a clock shows twice.
type FoldRule string

// The rules. An empty one is the first of its kind.
const (
	DayOr     DayRule  = "or"    // those that match either one, as in Vixie's cron
	DayAnd    DayRule  = "and"   // those that match both, as in Celery
	DSTShift  DSTRule  = "shift" // it ticks at the first instant after the jump
	DSTSkip   DSTRule  = "skip"  // it does not tick
	FoldFirst FoldRule = "first" // it ticks the first time
	FoldBoth  FoldRule = "both"  // it ticks both times
)

// Parse reads a spec with the usual options. zone says whose clock it means; nil is UTC.
//
//	30 2 * * mon-fri              five fields: minute, hour, day of month, month, day of week
//	*/10 30 2 * * mon-fri         six fields: seconds first
//	0 9 L * *, 0 9 * * fri#2      the last day of the month; the second Friday
//	@daily                        @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually
//	@every 90s                    an interval in whole seconds, aligned to the Unix epoch
//	@at 2026-12-24T18:00:00       once; with an offset such as Z or +01:00 the zone does not matter
//	@solar sunset 52.52 13.405    an event of the sun at a latitude and longitude, in degrees
//	DTSTART:20260105T090000 RRULE:FREQ=WEEKLY;INTERVAL=2    RFC 5545; also RDATE: and EXDATE:
//
// A cron field is a list of numbers, names (jan-dec, sun-sat), ranges and steps. Sunday is 0 and 7. When day of month and
// day of week are both restricted, a day that matches either one counts; "*/2" is a restriction, "*" and "?" are not.
//
// The error is a [*SpecError]. It is also returned for what could be parsed but is surely not meant: a spec that never
// ticks, or less than once in five years, an interval of less than a second, the local zone of the machine.
func Parse(text string, zone *time.Location) (Spec, error) {
	return ParseWith(text, Options{Zone: zone})
}

// ParseWith reads a spec as [Parse] does, with other options. Options that have no meaning for the kind of spec are a
// fault, unless they say what is usual.
func ParseWith(text string, options Options) (Spec, error) {
	limit := MaxSpecBytes
	if strings.Contains(text, "RRULE:") {
		limit = MaxRecurrenceBytes
	}
	if len(text) > limit {
		return Spec{}, &SpecError{
			Spec:    strings.ToValidUTF8(text[:MaxSpecBytes], "") + "…",
			Problem: fmt.Sprintf("has %d bytes, the limit is %d", len(text), limit),
			Advice:  "write several schedules",
		}
	}
	if options.Zone == nil {
		options.Zone = time.UTC
	}
	text = strings.Join(strings.Fields(text), " ")
	rule, fault := parseRule(text, options)
	if fault != nil {
		for f := fault; f != nil; f = f.also {
			f.Spec = text
		}
		return Spec{}, fault
	}
	if s, ok := rule.(solar); ok {
		text = s.String()
	}
	return Spec{text: text, options: options, rule: rule}, nil
}

func parseRule(text string, options Options) (rule, *SpecError) {
	if fault := options.fault(); fault != nil {
		return nil, fault
	}
	var readings readings
	fixed := false
	switch kind, rest, _ := strings.Cut(text, " "); {
	case text == "":
		return nil, &SpecError{Problem: "is empty", Advice: "write five or six cron fields, a macro such as @daily, or @every 90s"}
	case strings.HasPrefix(text, "TZ="), strings.HasPrefix(text, "CRON_TZ="):
		return nil, &SpecError{Problem: "a time zone inside the spec is not supported", Advice: "use the time zone field of the schedule"}
	case kind == "@every":
		return options.elapsed(parseInterval(rest))
	case kind == "@solar":
		return options.elapsed(parseSolar(rest))
	case kind == "@at":
		r, fixed, fault := parseOnce(rest, options)
		if fault != nil {
			return nil, fault
		}
		if tick, _ := r.next(-1); tick > lastInstant {
			return nil, &SpecError{Problem: "never ticks: ticks end with the year 9998", Advice: "choose an earlier time"}
		}
		if !fixed {
			return options.elapsed(r, nil)
		}
		return r, nil
	case strings.Contains(text, "RRULE:"), strings.HasPrefix(text, "DTSTART"):
		r, rhythmic, fault := parseRecurrence(text, options.Zone)
		if fault != nil {
			return nil, fault
		}
		if options.Day != "" {
			return nil, &SpecError{Field: "day", Problem: "has no meaning for a rule of RFC 5545", Advice: "leave it out", options: []string{"day"}}
		}
		readings, fixed = r, !rhythmic
	default:
		c, isFixed, fault := parseCron(text, options.Day)
		if fault != nil {
			return nil, fault
		}
		readings, fixed = c, isFixed
	}
	switch {
	case !fixed && (options.DST != "" || options.Fold != ""):
		return nil, &SpecError{
			Field: "dst and fold", Problem: "have no meaning where the hour is a wildcard or has a step: such a spec follows elapsed time",
			Advice: "leave them out", options: []string{"dst", "fold"},
		}
	case !fixed:
		return rhythm{readings, options.Zone, false}, nil
	case options.Fold == FoldBoth:
		return rhythm{readings, options.Zone, options.DST != DSTSkip}, nil
	default:
		return timeOfDay{readings, options.Zone, options.DST == DSTSkip}, nil
	}
}

// localZone is why the machine's own zone is refused.
const localZone = "the machine's local time zone may be another one on the next machine"

// fault tells what is wrong with options whatever the spec.
func (o Options) fault() *SpecError {
	if o.Zone == time.Local {
		return &SpecError{Problem: localZone, Advice: "name a zone, such as Europe/Berlin or UTC"}
	}
	for _, fault := range o.faults() {
		return fault
	}
	return nil
}

// faults lists the options that have no such value.
func (o Options) faults() (faults []*SpecError) {
	for _, option := range []struct{ name, value, usual, other string }{
		{"day", string(o.Day), string(DayOr), string(DayAnd)},
		{"dst", string(o.DST), string(DSTShift), string(DSTSkip)},
		{"fold", string(o.Fold), string(FoldFirst), string(FoldBoth)},
	} {
		if option.value != "" && option.value != option.usual && option.value != option.other {
			faults = append(faults, &SpecError{
				Field: option.name, Problem: fmt.Sprintf("is %q", option.value), Advice: fmt.Sprintf("use %s or %s", option.usual, option.other),
			})
		}
	}
	return faults
}

// elapsed returns the rule unless options are set that are about clocks on a wall.
func (o Options) elapsed(r rule, fault *SpecError) (rule, *SpecError) {
	if fault == nil && (o.Day != "" || o.DST != "" || o.Fold != "") {
		fault = &SpecError{
			Field: "day, dst and fold", Problem: "have no meaning here: no clock on a wall is asked", Advice: "leave them out",
			options: []string{"day", "dst", "fold"},
		}
	}
	return r, fault
}

// Next returns the first tick strictly after the given time, in the zone of the spec. The zero time means that there
// is none, which happens to the zero Spec, to one that has come to its end, and from the year 9999 on. Before the Unix epoch there are no ticks either:
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
	return time.Unix(int64(tick), 0).In(s.options.Zone)
}

// Ticks returns the ticks strictly after the given time, in order; of most specs they are practically without end.
func (s Spec) Ticks(after time.Time) iter.Seq[time.Time] {
	return func(yield func(time.Time) bool) {
		for tick := s.Next(after); !tick.IsZero() && yield(tick); {
			tick = s.Next(tick)
		}
	}
}

// String returns the text that the spec was parsed from, with single spaces, and numbers in their simplest form.
func (s Spec) String() string { return s.text }

// Zone returns the time zone of the spec, never nil.
func (s Spec) Zone() *time.Location {
	if s.options.Zone == nil {
		return time.UTC
	}
	return s.options.Zone
}

// Options returns how the text of the spec was understood. Its Zone is never nil.
func (s Spec) Options() Options {
	o := s.options
	o.Zone = s.Zone()
	return o
}

// SpecError tells what is wrong with a spec, and what would be right.
type SpecError struct {
	Spec    string // the text, cut after [MaxSpecBytes]
	Field   string // "minute", "day of week", …; empty: the spec as a whole
	Problem string
	Advice  string

	options []string   // those beside the spec that it is about
	also    *SpecError // what else is wrong with the spec
}

func (e *SpecError) Error() string {
	problems := []string{e.problem()}
	for f := e.also; f != nil; f = f.also {
		problems = append(problems, f.problem())
	}
	return fmt.Sprintf("spec %q: %s", e.Spec, strings.Join(problems, "; and "))
}

func (e *SpecError) problem() string {
	problem := e.Problem
	if e.Field != "" {
		problem = e.Field + " " + problem
	}
	return problem + "; " + e.Advice
}

// alone returns the fault without the others of the spec.
func (e *SpecError) alone() *SpecError {
	single := *e
	single.also = nil
	return &single
}
