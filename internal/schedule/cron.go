package schedule

import (
	"fmt"
	"math/bits"
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
}

func cronFields() []field {
	return []field{
		{"second", cron.Second, func(s *cron.SpecSchedule) *uint64 { return &s.Second }, 0, 59, ""},
		{"minute", cron.Minute, func(s *cron.SpecSchedule) *uint64 { return &s.Minute }, 0, 59, ""},
		{"hour", cron.Hour, func(s *cron.SpecSchedule) *uint64 { return &s.Hour }, 0, 23, ""},
		{"day of month", cron.Dom, func(s *cron.SpecSchedule) *uint64 { return &s.Dom }, 1, 31, ""},
		{"month", cron.Month, func(s *cron.SpecSchedule) *uint64 { return &s.Month }, 1, 12, " or jan-dec"},
		{"day of week", cron.Dow, func(s *cron.SpecSchedule) *uint64 { return &s.Dow }, 0, 7, " (Sunday is 0 and 7) or sun-sat"},
	}
}

// star is the bit by which robfig's parser marks a field that contains a wildcard without a step.
const star = 1 << 63

// parseCron returns the readings that a cron expression names, and whether it names fixed times of day:
// whether its hour is neither a wildcard nor has a step.
//
// The fields are handed to robfig's parser one by one, so that an error can say which of them it is about.
func parseCron(text string) (readings calendar, fixed bool, fault *SpecError) {
	masks := &cron.SpecSchedule{}
	if strings.HasPrefix(text, "@") {
		parsed, err := guarded(cron.Descriptor, text)
		if err != nil {
			return calendar{}, false, &SpecError{
				Problem: "is not a known macro",
				Advice:  "use @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually or @every 90s",
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
		for i, f := range cronFields() {
			mask, fault := f.parse(texts[i])
			if fault != nil {
				return calendar{}, false, fault
			}
			*f.mask(masks) = mask
		}
		fixed = masks.Hour&star == 0 && !strings.Contains(texts[2], "/")
	}
	readings = calendar{
		seconds: masks.Second &^ star, minutes: masks.Minute &^ star, hours: masks.Hour &^ star,
		days: masks.Dom &^ star, months: masks.Month &^ star, weekdays: masks.Dow &^ star,
		eitherDay: masks.Dom&star == 0 && masks.Dow&star == 0,
	}
	return readings, fixed, neverTicks(readings)
}

// parse returns the bits of the values that text names, plus the star.
func (f field) parse(text string) (uint64, *SpecError) {
	fault := func(format string, args ...any) *SpecError {
		return &SpecError{
			Field:   f.name,
			Problem: fmt.Sprintf("%q ", text) + fmt.Sprintf(format, args...),
			Advice:  fmt.Sprintf("use %d-%d%s, ranges (1-5), lists (1,3,5), steps (*/2, 1-5/2) or *", f.min, f.max, f.names),
		}
	}
	items := strings.Split(text, ",")
	for i, item := range items {
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
			items[i] = sundayIsZero(item)
		}
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

// neverTicks finds the specs that name readings which no calendar has, such as 30 February.
func neverTicks(c calendar) *SpecError {
	if c.eitherDay {
		return nil // a day of the week comes in every month
	}
	longest := 0
	for month, n := range [...]int{1: 31, 2: 29, 3: 31, 4: 30, 5: 31, 6: 30, 7: 31, 8: 31, 9: 30, 10: 31, 11: 30, 12: 31} {
		if c.months>>month&1 == 1 {
			longest = max(longest, n)
		}
	}
	if first := bits.TrailingZeros64(c.days); first > longest {
		return &SpecError{
			Problem: fmt.Sprintf("never ticks: it asks for day %d, and the longest of its months has %d days", first, longest),
			Advice:  "name a day that exists",
		}
	}
	return nil
}
