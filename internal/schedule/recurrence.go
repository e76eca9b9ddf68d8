package schedule

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"time"

	"github.com/teambition/rrule-go"
)

// recurrence is a rule of RFC 5545 as a set of readings. The rule is read by rrule-go; the readings are found here, since
// rrule-go walks from the first one on, however long ago that was, and searches until the year 9999 for what never comes.
//
// A rule has a period: a year, a month, …, a second, repeated each interval. Every period has candidate days and candidate
// times of day; BYSETPOS picks some of their combinations.
type recurrence struct {
	frequency    rrule.Frequency
	interval     int64
	start, until reading

	months       uint64 // bit 1: January; all if the rule names none
	monthDays    []int  // from 1, or from -1 at the month's end
	yearDays     []int  // likewise
	weeks        []int  // likewise
	weekdays     uint64 // bit 0: Sunday
	nthWeekdays  []nthWeekday
	byWeekday    bool
	nthInMonth   bool // nthWeekdays count in the month; otherwise in the year
	beginsOn     time.Weekday
	clock        calendar // only its seconds, minutes and hours
	positions    []int
	hours        []int // the bits of clock, counted, for positions
	minutes      []int
	seconds      []int
	listed       []reading // of a rule with COUNT: all of it
	extra, never []reading // RDATE, EXDATE; sorted
}

type nthWeekday struct {
	n       int
	weekday time.Weekday
}

const (
	daySeconds = reading(day)
	// MaxCount is the most that COUNT may say.
	MaxCount = 10_000
	// patience bounds the search for a rule's next reading, and so does steps where the rule repeats by hours or less: it is
	// how many of those are looked at. A time of day that such a rule names and ever meets comes within fewer than 90,000.
	patience = 30 * 366 * daySeconds
	steps    = 200_000
	// listing bounds the search for all readings of a rule with COUNT likewise.
	listing = 5_000_000
)

// parseRecurrence reads "DTSTART:20260105T090000 RRULE:FREQ=WEEKLY;INTERVAL=2 EXDATE:20260202T090000".
// rhythmic says that the rule names no times of day but a rhythm: it repeats every so many hours, minutes or seconds.
func parseRecurrence(text string, zone *time.Location) (r *recurrence, rhythmic bool, fault *SpecError) {
	r = &recurrence{start: -1, until: reading(lastInstant)}
	rule := ""
	for part := range strings.FieldsSeq(text) {
		name, value, _ := strings.Cut(part, ":")
		switch {
		case name == "DTSTART" && r.start < 0:
			times, fault := localTimes(name, value)
			if fault != nil {
				return nil, false, fault
			}
			r.start = times[0]
		case name == "RRULE" && rule == "":
			rule = value
		case name == "RDATE", name == "EXDATE":
			times, fault := localTimes(name, value)
			if fault != nil {
				return nil, false, fault
			}
			if name == "RDATE" {
				r.extra = slices.Compact(slices.Sorted(slices.Values(append(r.extra, times...))))
			} else {
				r.never = append(r.never, times...)
			}
		case strings.HasPrefix(name, "DTSTART;"), strings.HasPrefix(name, "RDATE;"), strings.HasPrefix(name, "EXDATE;"):
			return nil, false, &SpecError{Field: name, Problem: "has parameters", Advice: "use the time zone field of the schedule, and write DTSTART:20260105T090000"}
		default:
			return nil, false, &SpecError{Problem: fmt.Sprintf("%q is not known, or comes twice", part), Advice: recurrenceAdvice}
		}
	}
	slices.Sort(r.never)
	if r.start < 0 || rule == "" {
		return nil, false, &SpecError{Problem: "has not both of DTSTART and RRULE", Advice: recurrenceAdvice}
	}
	option, err := readRule(rule, zone)
	if err != nil {
		return nil, false, &SpecError{Field: "RRULE", Problem: fmt.Sprintf("%q is not valid: %v", rule, err), Advice: recurrenceAdvice}
	}
	if fault := r.take(option, zone); fault != nil {
		return nil, false, fault
	}
	if _, ok := r.ruled(r.start); !ok {
		r.until = -1 // RDATE alone ticks: nobody has to search again
	} else if option.Count > 0 && !r.list(option.Count) {
		return nil, false, &SpecError{Field: "RRULE", Problem: "has a COUNT of times that are too far apart to be counted", Advice: "end it with UNTIL, or count less"}
	}
	if _, ok := r.next(0); !ok {
		return nil, false, &SpecError{Problem: "never ticks", Advice: "name days that exist, and times after DTSTART and before UNTIL"}
	}
	return r, r.frequency > rrule.DAILY, nil
}

const recurrenceAdvice = "write DTSTART:20260105T090000 RRULE:FREQ=WEEKLY;BYDAY=MO,FR, with RDATE: and EXDATE: if there are exceptions"

// localTimes reads a list of times without an offset; a date is its midnight.
func localTimes(name, text string) (times []reading, fault *SpecError) {
	for item := range strings.SplitSeq(text, ",") {
		layout := rrule.LocalDateTimeFormat
		if len(item) == len(rrule.DateFormat) {
			layout = rrule.DateFormat
		}
		t, err := time.Parse(layout, item)
		if err != nil || t.Year() < 1970 {
			return nil, &SpecError{
				Field: name, Problem: fmt.Sprintf("%q is not a local time", item),
				Advice: "write 20260105T090000, or 20260105 for midnight, from 1970 on; the time zone is a field of the schedule",
			}
		}
		times = append(times, reading(t.Unix()))
	}
	return times, nil
}

func readRule(text string, zone *time.Location) (option *rrule.ROption, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the parser stumbled: %v", p)
		}
	}()
	if strings.Contains(text, "DTSTART") || strings.Contains(text, "BYEASTER") {
		return nil, fmt.Errorf("DTSTART stands before RRULE:, and BYEASTER is not in RFC 5545")
	}
	option, err = rrule.StrToROptionInLocation(text, zone)
	if err != nil {
		return nil, err
	}
	seen := make(map[string]bool)
	for part := range strings.SplitSeq(text, ";") {
		name, _, _ := strings.Cut(part, "=")
		if seen[name] {
			return nil, fmt.Errorf("%s is set twice", name)
		}
		seen[name] = true
	}
	if seen["INTERVAL"] && option.Interval < 1 || seen["COUNT"] && option.Count < 1 {
		return nil, fmt.Errorf("INTERVAL and COUNT must be at least 1")
	}
	return option, nil
}

// take checks the parts of a rule and fills in what follows from DTSTART.
func (r *recurrence) take(o *rrule.ROption, zone *time.Location) *SpecError {
	var faults []string
	check := func(name string, values []int, least, most int, signed bool) {
		for _, n := range values {
			if ok := least <= n && n <= most || signed && -most <= n && n <= -max(least, 1); !ok {
				faults = append(faults, fmt.Sprintf("%s is %d, must be from %d to %d", name, n, least, most))
			}
		}
	}
	only := func(name string, present bool, allowed ...rrule.Frequency) {
		if present && !slices.Contains(allowed, o.Freq) {
			faults = append(faults, fmt.Sprintf("%s has no meaning for FREQ=%s", name, o.Freq))
		}
	}
	check("BYSECOND", o.Bysecond, 0, 59, false)
	check("BYMINUTE", o.Byminute, 0, 59, false)
	check("BYHOUR", o.Byhour, 0, 23, false)
	check("BYMONTH", o.Bymonth, 1, 12, false)
	check("BYMONTHDAY", o.Bymonthday, 1, 31, true)
	check("BYYEARDAY", o.Byyearday, 1, 366, true)
	check("BYWEEKNO", o.Byweekno, 1, 53, true)
	check("BYSETPOS", o.Bysetpos, 1, 366, true)
	check("COUNT", []int{o.Count}, 0, MaxCount, false)
	check("INTERVAL", []int{o.Interval}, 0, 1_000_000, false)
	if o.Count > 0 && !o.Until.IsZero() {
		faults = append(faults, "COUNT and UNTIL exclude each other")
	}
	only("BYMONTHDAY", o.Bymonthday != nil, rrule.YEARLY, rrule.MONTHLY, rrule.DAILY, rrule.HOURLY, rrule.MINUTELY, rrule.SECONDLY)
	only("BYYEARDAY", o.Byyearday != nil, rrule.YEARLY, rrule.HOURLY, rrule.MINUTELY, rrule.SECONDLY)
	only("BYWEEKNO", o.Byweekno != nil, rrule.YEARLY)
	for _, d := range o.Byweekday {
		weekday := time.Weekday((d.Day() + 1) % 7)
		if d.N() == 0 {
			r.weekdays |= 1 << weekday
			continue
		}
		only(fmt.Sprintf("the number in BYDAY=%s", d), true, rrule.YEARLY, rrule.MONTHLY)
		check("the number in BYDAY", []int{d.N()}, 1, 53, true)
		r.nthWeekdays = append(r.nthWeekdays, nthWeekday{d.N(), weekday})
	}
	if len(faults) > 0 {
		return &SpecError{Field: "RRULE", Problem: strings.Join(faults, "; "), Advice: "RFC 5545, section 3.3.10, lists what goes with what"}
	}

	r.frequency, r.interval = o.Freq, int64(max(o.Interval, 1))
	r.beginsOn = time.Weekday((o.Wkst.Day() + 1) % 7)
	if !o.Until.IsZero() {
		until := o.Until.In(zone)
		_, offset := until.Zone()
		r.until = reading(until.Unix() + int64(offset))
	}
	r.monthDays, r.yearDays, r.weeks = o.Bymonthday, o.Byyearday, o.Byweekno
	r.byWeekday = len(o.Byweekday) > 0
	start := time.Unix(int64(r.start), 0).UTC()
	if !r.byWeekday && r.monthDays == nil && r.yearDays == nil && r.weeks == nil {
		switch r.frequency {
		case rrule.YEARLY:
			r.monthDays = []int{start.Day()}
			if o.Bymonth == nil {
				o.Bymonth = []int{int(start.Month())}
			}
		case rrule.MONTHLY:
			r.monthDays = []int{start.Day()}
		case rrule.WEEKLY:
			r.weekdays, r.byWeekday = 1<<start.Weekday(), true
		}
	}
	r.months = bitsOf(o.Bymonth)
	if o.Bymonth == nil {
		r.months = 1<<13 - 2
	}
	r.nthInMonth = r.frequency == rrule.MONTHLY || o.Bymonth != nil
	r.clock = calendar{
		hours:   bitsOr(o.Byhour, r.frequency >= rrule.HOURLY, start.Hour(), 24),
		minutes: bitsOr(o.Byminute, r.frequency >= rrule.MINUTELY, start.Minute(), 60),
		seconds: bitsOr(o.Bysecond, r.frequency >= rrule.SECONDLY, start.Second(), 60),
	}
	r.hours, r.minutes, r.seconds = numbersOf(r.clock.hours), numbersOf(r.clock.minutes), numbersOf(r.clock.seconds)
	r.positions = o.Bysetpos
	return nil
}

func bitsOf(values []int) (mask uint64) {
	for _, n := range values {
		mask |= 1 << n
	}
	return mask
}

// bitsOr returns the bits of values; if there are none, all of n bits, or that of the value from DTSTART.
func bitsOr(values []int, all bool, start, n int) uint64 {
	switch {
	case values != nil:
		return bitsOf(values)
	case all:
		return 1<<n - 1
	}
	return 1 << start
}

func numbersOf(mask uint64) (values []int) {
	for ; mask != 0; mask &= mask - 1 {
		values = append(values, bits.TrailingZeros64(mask))
	}
	return values
}

// list finds all readings of a rule with COUNT, so that nobody has to count from the beginning again. It tells whether it
// did not have to give up.
func (r *recurrence) list(count int) bool {
	listed, left := make([]reading, 0, count), listing
	for from := r.start; len(listed) < count && left > 0; {
		due, ok := r.search(from, &left)
		if !ok {
			break
		}
		listed = append(listed, due)
		from = due + 1
	}
	r.listed = listed
	return left > 0
}

func (r *recurrence) next(from reading) (reading, bool) {
	for {
		due, ok := r.ruled(from)
		if i, _ := slices.BinarySearch(r.extra, from); i < len(r.extra) && (!ok || r.extra[i] < due) {
			due, ok = r.extra[i], true
		}
		if !ok {
			return 0, false
		}
		if _, excepted := slices.BinarySearch(r.never, due); !excepted {
			return due, true
		}
		from = due + 1
	}
}

// ruled returns the first reading of the rule itself, without exceptions.
func (r *recurrence) ruled(from reading) (reading, bool) {
	if r.listed != nil {
		i, _ := slices.BinarySearch(r.listed, from)
		if i == len(r.listed) {
			return 0, false
		}
		return r.listed[i], true
	}
	left := steps
	return r.search(from, &left)
}

// search looks for the first reading of a rule, in so many steps at most as are left.
func (r *recurrence) search(from reading, left *int) (reading, bool) {
	from = max(from, r.start)
	end := min(from+patience, r.until+1)
	var due reading
	var ok bool
	if r.frequency <= rrule.DAILY {
		due, ok = r.byPeriodOfDays(from, end)
	} else {
		due, ok = r.byPeriodOfTime(from, end, left)
	}
	return due, ok && due < end
}

// byPeriodOfDays looks through years, months, weeks or days.
func (r *recurrence) byPeriodOfDays(from, end reading) (reading, bool) {
	for k := r.period(from); ; k++ {
		first, n := r.daysOfPeriod(k)
		if first*daySeconds >= end {
			return 0, false
		}
		if r.positions != nil {
			if due, ok := r.atPositions(r.matching(first, n), from); ok {
				return due, true
			}
			continue
		}
		for d := max(first, from/daySeconds); d < first+n; d++ {
			if !r.hasDay(d) {
				continue
			}
			clock, ok := 0, false
			if d == from/daySeconds {
				sinceMidnight := int(from % daySeconds)
				clock, ok = r.clock.nextClock(sinceMidnight/3600, sinceMidnight/60%60, sinceMidnight%60)
			} else {
				clock, ok = r.clock.nextClock(0, 0, 0)
			}
			if ok {
				return d*daySeconds + reading(clock), true
			}
		}
	}
}

// period returns the number of the last period, from that of DTSTART on, that does not begin after from.
func (r *recurrence) period(from reading) int64 {
	start, at := time.Unix(int64(r.start), 0).UTC(), time.Unix(int64(from), 0).UTC()
	var units int64
	switch r.frequency {
	case rrule.YEARLY:
		units = int64(at.Year() - start.Year())
	case rrule.MONTHLY:
		units = int64(at.Year()-start.Year())*12 + int64(at.Month()-start.Month())
	case rrule.WEEKLY:
		units = int64(r.weekOf(from/daySeconds)-r.weekOf(r.start/daySeconds)) / 7
	case rrule.DAILY:
		units = int64(from/daySeconds - r.start/daySeconds)
	}
	return units / r.interval
}

// weekOf returns the first day of a day's week. Days are counted from the epoch, a Thursday.
func (r *recurrence) weekOf(d reading) reading {
	return d - (d+4-reading(r.beginsOn)+7)%7
}

func (r *recurrence) daysOfPeriod(k int64) (first, n reading) {
	start := time.Unix(int64(r.start), 0).UTC()
	units := int(min(k*r.interval, 1_000_000))
	day := func(t time.Time) reading { return reading(t.Unix()) / daySeconds }
	switch r.frequency {
	case rrule.YEARLY:
		first = day(time.Date(start.Year()+units, 1, 1, 0, 0, 0, 0, time.UTC))
		return first, day(time.Date(start.Year()+units+1, 1, 1, 0, 0, 0, 0, time.UTC)) - first
	case rrule.MONTHLY:
		first = day(time.Date(start.Year(), start.Month()+time.Month(units), 1, 0, 0, 0, 0, time.UTC))
		return first, day(time.Date(start.Year(), start.Month()+time.Month(units+1), 1, 0, 0, 0, 0, time.UTC)) - first
	case rrule.WEEKLY:
		return r.weekOf(r.start/daySeconds) + 7*reading(units), 7
	}
	return r.start/daySeconds + reading(units), 1
}

func (r *recurrence) matching(first, n reading) (days []reading) {
	for d := first; d < first+n; d++ {
		if r.hasDay(d) {
			days = append(days, d)
		}
	}
	return days
}

// atPositions returns the first reading from on that BYSETPOS picks of the combinations of days and times.
func (r *recurrence) atPositions(days []reading, from reading) (first reading, ok bool) {
	perDay := len(r.hours) * len(r.minutes) * len(r.seconds)
	all := len(days) * perDay
	for _, p := range r.positions {
		i := p - 1
		if p < 0 {
			i = all + p
		}
		if i < 0 || i >= all {
			continue
		}
		clock := i % perDay
		h, m, s := clock/(len(r.minutes)*len(r.seconds)), clock/len(r.seconds)%len(r.minutes), clock%len(r.seconds)
		due := days[i/perDay]*daySeconds + reading(r.hours[h]*3600+r.minutes[m]*60+r.seconds[s])
		if due >= from && (!ok || due < first) {
			first, ok = due, true
		}
	}
	return first, ok
}

// byPeriodOfTime looks through hours, minutes or seconds, and skips what cannot match as a whole.
func (r *recurrence) byPeriodOfTime(from, end reading, left *int) (reading, bool) {
	unit := map[rrule.Frequency]reading{rrule.HOURLY: 3600, rrule.MINUTELY: 60, rrule.SECONDLY: 1}[r.frequency]
	begin, step := r.start-r.start%unit, unit*reading(r.interval)
	// following returns the first period that does not begin before a reading.
	following := func(at reading) reading { return begin + (max(at-begin, 0)+step-1)/step*step }
	for p := begin + (from-begin)/step*step; p < end && *left > 0; *left-- {
		d, clock := p/daySeconds, p%daySeconds
		switch {
		case !r.hasDay(d):
			p = following((d + 1) * daySeconds)
			continue
		case r.clock.hours>>(clock/3600)&1 == 0:
			p = following(p - p%3600 + 3600)
			continue
		case unit <= 60 && r.clock.minutes>>(clock/60%60)&1 == 0:
			p = following(p - p%60 + 60)
			continue
		}
		if due, ok := r.inPeriod(p, unit, from); ok {
			return due, true
		}
		p += step
	}
	return 0, false
}

// inPeriod returns the first reading from on in the period of time that begins at p.
func (r *recurrence) inPeriod(p, unit, from reading) (reading, bool) {
	minutes, seconds := r.minutes, r.seconds
	if unit <= 60 {
		minutes = []int{int(p / 60 % 60)}
	}
	if unit == 1 {
		if r.clock.seconds>>(p%60)&1 == 0 {
			return 0, false
		}
		seconds = []int{int(p % 60)}
	}
	all := len(minutes) * len(seconds)
	at := func(i int) reading { return p - p%3600 + reading(minutes[i/len(seconds)]*60+seconds[i%len(seconds)]) }
	if r.positions == nil {
		i, ok := 0, false
		for i = 0; i < all && !ok; i++ {
			ok = at(i) >= from
		}
		return at(max(i-1, 0)), ok
	}
	first, ok := reading(0), false
	for _, pos := range r.positions {
		i := pos - 1
		if pos < 0 {
			i = all + pos
		}
		if i >= 0 && i < all && at(i) >= from && (!ok || at(i) < first) {
			first, ok = at(i), true
		}
	}
	return first, ok
}

// hasDay reports whether a day, counted from the epoch, passes all filters of days.
func (r *recurrence) hasDay(d reading) bool {
	t := time.Unix(int64(d*daySeconds), 0).UTC()
	year, month, dayOfMonth := t.Date()
	if r.months>>month&1 == 0 {
		return false
	}
	if r.monthDays != nil && !counts(r.monthDays, dayOfMonth, lengthOf(year, month)) {
		return false
	}
	if r.yearDays != nil && !counts(r.yearDays, t.YearDay(), daysOfYear(year)) {
		return false
	}
	if r.weeks != nil {
		if week, weeks := r.weekOfYear(d); !counts(r.weeks, week, weeks) {
			return false
		}
	}
	return !r.byWeekday || r.hasWeekday(t)
}

func (r *recurrence) hasWeekday(t time.Time) bool {
	if r.weekdays>>t.Weekday()&1 == 1 {
		return true
	}
	n, length := t.YearDay(), daysOfYear(t.Year())
	if r.nthInMonth {
		n, length = t.Day(), lengthOf(t.Year(), t.Month())
	}
	for _, d := range r.nthWeekdays {
		if d.weekday == t.Weekday() && (d.n == (n+6)/7 || d.n == -(length-n+7)/7) {
			return true
		}
	}
	return false
}

// counts reports whether the n-th of so many is among values, which count from 1, or from -1 at the end.
func counts(values []int, n, of int) bool {
	return slices.Contains(values, n) || slices.Contains(values, n-of-1)
}

func daysOfYear(year int) int { return time.Date(year, 12, 31, 0, 0, 0, 0, time.UTC).YearDay() }

// weekOfYear returns a day's week and the number of weeks in the year that the week belongs to: the first week is the first
// with at least four days in the year.
func (r *recurrence) weekOfYear(d reading) (week, weeks int) {
	first := func(year int) reading {
		return r.weekOf(reading(time.Date(year, 1, 4, 0, 0, 0, 0, time.UTC).Unix()) / daySeconds)
	}
	year := time.Unix(int64(d*daySeconds), 0).UTC().Year() + 1
	for first(year) > d {
		year--
	}
	begin := first(year)
	return int(d-begin)/7 + 1, int(first(year+1)-begin) / 7
}

// single is the only reading of a set.
type single reading

func (s single) next(from reading) (reading, bool) {
	return reading(s), cmp.Compare(reading(s), from) >= 0
}
