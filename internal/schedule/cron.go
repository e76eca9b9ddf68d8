package schedule

import (
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"github.com/robfig/cron/v3"
)

// field describes one field of a cron expression to the reader of an error, and to robfig's parser.
type field struct {
	name     string
	option   cron.ParseOption
	mask     func(*cron.SpecSchedule) *uint64
	min, max int
	names    string
	special  func(string, *specialDays) (taken bool) // what robfig's parser does not know
}

func cronFields() []field {
	return []field{
		{"second", cron.Second, func(s *cron.SpecSchedule) *uint64 { return &s.Second }, 0, 59, "", nil},
		{"minute", cron.Minute, func(s *cron.SpecSchedule) *uint64 { return &s.Minute }, 0, 59, "", nil},
		{"hour", cron.Hour, func(s *cron.SpecSchedule) *uint64 { return &s.Hour }, 0, 23, "", nil},
		{"day of month", cron.Dom, func(s *cron.SpecSchedule) *uint64 { return &s.Dom }, 1, 31, ", L (the last), L-3, LW, 15W", specialDay},
		{"month", cron.Month, func(s *cron.SpecSchedule) *uint64 { return &s.Month }, 1, 12, " or jan-dec", nil},
		{"day of week", cron.Dow, func(s *cron.SpecSchedule) *uint64 { return &s.Dow }, 0, 7, " (Sunday is 0 and 7) or sun-sat, fri#2 (the second), friL (the last)", specialWeekday},
	}
}

// star is the bit by which robfig's parser marks a field that contains a wildcard without a step.
const star = 1 << 63

// parseCron returns the readings that a cron expression names, and whether it names fixed times of day:
// whether its hour is neither a wildcard nor has a step.
//
// The fields are handed to robfig's parser one by one, so that an error can say which of them it is about.
func parseCron(text string, day DayRule) (readings calendar, fixed bool, fault *SpecError) {
	masks := &cron.SpecSchedule{}
	if strings.HasPrefix(text, "@") {
		parsed, err := guarded(cron.Descriptor, text)
		if err != nil {
			return calendar{}, false, &SpecError{
				Problem: "is not a known macro",
				Advice:  "use @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually, @every 90s, @at or @solar",
			}
		}
		masks = parsed
		fixed = masks.Hour&star == 0
	} else {
		texts := strings.Fields(text)
		if len(texts) == 5 {
			texts = append([]string{"0"}, texts...)
		}
		if len(texts) != 6 {
			return calendar{}, false, &SpecError{
				Problem: fmt.Sprintf("has %d fields", len(texts)),
				Advice:  "write five (minute, hour, day of month, month, day of week), or six with the second first",
			}
		}
		for i, f := range slices.Backward(cronFields()) { // so that the faults are chained in their order
			mask, wrong := f.parse(texts[i], &readings.special)
			if wrong != nil {
				wrong.also, fault = fault, wrong
				continue
			}
			*f.mask(masks) = mask
		}
		if fault != nil {
			return calendar{}, false, fault
		}
		fixed = masks.Hour&star == 0 && !strings.Contains(texts[2], "/")
	}
	readings.seconds, readings.minutes, readings.hours = masks.Second&^star, masks.Minute&^star, masks.Hour&^star
	readings.days, readings.months, readings.weekdays = masks.Dom&^star, masks.Month&^star, masks.Dow&^star
	readings.eitherDay = masks.Dom&star == 0 && masks.Dow&star == 0 && day != DayAnd
	return readings, fixed, tooRare(readings)
}

// parse returns the bits of the values that text names, plus the star, and adds to special what has no bit.
func (f field) parse(text string, special *specialDays) (uint64, *SpecError) {
	fault := func(format string, args ...any) *SpecError {
		return &SpecError{
			Field:   f.name,
			Problem: fmt.Sprintf("%q ", text) + fmt.Sprintf(format, args...),
			Advice:  fmt.Sprintf("use %d-%d%s, ranges (1-5), lists (1,3,5), steps (*/2, 1-5/2) or *", f.min, f.max, f.names),
		}
	}
	var items []string
	for item := range strings.SplitSeq(text, ",") {
		if f.special != nil && f.special(strings.ToLower(item), special) {
			continue
		}
		values, step, stepped := strings.Cut(item, "/")
		switch {
		case item == "":
			return 0, fault("has an empty item")
		case strings.ContainsFunc(item, func(r rune) bool { return !strings.ContainsRune(fieldCharacters, r) }):
			return 0, fault("has a character without a meaning here")
		case strings.ContainsAny(values, "*?") && len(values) != 1: // robfig's parser takes "*-5" for "*"
			return 0, fault("combines a wildcard with something else")
		}
		if n, err := strconv.Atoi(step); stepped && err == nil && n > f.max-f.min+1 {
			return 0, fault("has a step of %d, which is longer than the whole range, so it would only ever match its start", n)
		}
		if f.option == cron.Dow {
			item = sundayIsZero(item)
		}
		items = append(items, item)
	}
	if len(items) == 0 {
		return 0, nil // special days only
	}
	parsed, err := guarded(f.option, strings.Join(items, ","))
	if err != nil {
		return 0, fault("is not valid: %s", shortened(err))
	}
	return *f.mask(parsed), nil
}

const fieldCharacters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ*?/-"

// sundayIsZero rewrites an item of the day of week that names Sunday as 7, or ends a range with it ("5-7", "fri-sun"),
// into a list that robfig's parser takes. Everything else, also what is wrong, is returned as it came.
func sundayIsZero(item string) string {
	values, step, stepped := strings.Cut(item, "/")
	low, high, isRange := strings.Cut(values, "-")
	if isRange && strings.EqualFold(high, "sun") && !strings.EqualFold(low, "sun") && low != "0" {
		high = "7"
	}
	if !isRange {
		high = low
	}
	first, ok := weekday(low)
	if !ok || high != "7" {
		return item
	}
	every := 1
	if stepped {
		n, err := strconv.Atoi(step)
		if err != nil || n < 1 {
			return item
		}
		every = n
	}
	var list []string
	for d := first; d <= 7; d += every {
		list = append(list, strconv.Itoa(d%7))
	}
	return strings.Join(list, ",")
}

func weekday(text string) (int, bool) {
	if i := strings.Index("sunmontuewedthufrisat", strings.ToLower(text)); len(text) == 3 && i >= 0 && i%3 == 0 {
		return i / 3, true
	}
	n, err := strconv.Atoi(text)
	return n, err == nil && 0 <= n && n <= 7
}

// guarded calls robfig's parser for one field, or for a macro, and turns a panic of it into an error:
// version 3.0.1 is known for one, and is the last one.
func guarded(option cron.ParseOption, text string) (parsed *cron.SpecSchedule, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the parser stumbled: %v", p)
		}
	}()
	s, err := cron.NewParser(option).Parse(text)
	if err != nil {
		return nil, err
	}
	parsed, ok := s.(*cron.SpecSchedule)
	if !ok {
		return nil, fmt.Errorf("%q is not a cron expression", text)
	}
	return parsed, nil
}

// shortened takes Go's own words out of an error of robfig's parser.
func shortened(err error) string {
	text := err.Error()
	if rest, ok := strings.CutPrefix(text, "failed to parse int from "); ok {
		word, _, _ := strings.Cut(rest, ": ")
		return fmt.Sprintf("%q is neither a number nor a name", word)
	}
	return text
}

// specialDay reads an item of the day of month in Quartz' way: L, L-3, LW, 15W.
func specialDay(item string, special *specialDays) bool {
	number := func(text string, least, most int) (int, bool) {
		n, err := strconv.ParseUint(text, 10, 8)
		return int(n), err == nil && least <= int(n) && int(n) <= most
	}
	if item == "l" {
		special.fromEnd |= 1
		return true
	}
	if item == "lw" {
		special.lastWeekday = true
		return true
	}
	if text, ok := strings.CutPrefix(item, "l-"); ok {
		n, ok := number(text, 1, 30)
		if ok {
			special.fromEnd |= 1 << n
		}
		return ok
	}
	if text, ok := strings.CutSuffix(item, "w"); ok {
		n, ok := number(text, 1, 31)
		if ok {
			special.near |= 1 << n
		}
		return ok
	}
	return false
}

// specialWeekday reads an item of the day of week in Quartz' way, but with our numbers: fri#2, 5#2, friL, 5L.
func specialWeekday(item string, special *specialDays) bool {
	if text, ok := strings.CutSuffix(item, "l"); ok {
		d, ok := weekday(text)
		if ok {
			special.last |= 1 << (d % 7)
		}
		return ok
	}
	text, nth, ok := strings.Cut(item, "#")
	if !ok || len(nth) != 1 || nth < "1" || nth > "5" {
		return false
	}
	d, ok := weekday(text)
	if ok {
		special.nth[nth[0]-'0'] |= 1 << (d % 7)
	}
	return ok
}

// rarest is the longest that a cron expression may go without a tick, in months.
const rarest = 5 * 12

// tooRare finds the specs that name readings which no calendar has, such as 30 February, or hardly ever has.
func tooRare(c calendar) *SpecError {
	const every = 0x7f
	plain := c.special == specialDays{}
	if c.eitherDay && plain || c.days&(1<<29-1) != 0 && c.weekdays == every {
		return nil // a day of the week comes in every month, and so do the days up to the 28th
	}
	longest := 0
	for month, n := range [...]int{1: 31, 2: 29, 3: 31, 4: 30, 5: 31, 6: 30, 7: 31, 8: 31, 9: 30, 10: 31, 11: 30, 12: 31} {
		if c.months>>month&1 == 1 {
			longest = max(longest, n)
		}
	}
	if first := bits.TrailingZeros64(c.days); plain && first > longest {
		return &SpecError{
			Problem: fmt.Sprintf("never ticks: it asks for day %d, and the longest of its months has %d days", first, longest),
			Advice:  "name a day that exists",
		}
	}
	switch months, from := c.longestWait(); {
	case months == 99*12:
		return &SpecError{Problem: "never ticks: no month has such a day", Advice: "name a day that exists"}
	case months > rarest:
		return &SpecError{
			Problem: fmt.Sprintf("can go %d years without a tick, as from %s on", months/12, from.Format("January 2006")),
			Advice:  "name days that come within five years",
		}
	}
	return nil
}
