package schedule

import (
	"fmt"
	"time"
)

// interval ticks at the multiples of its length in seconds since the Unix epoch.
type interval instant

func (i interval) next(after instant) (instant, bool) {
	length := instant(i)
	if after < 0 { // Go's division rounds towards zero
		return 0, true
	}
	return (after/length + 1) * length, true
}

const longestInterval = 5 * 365 * 24 * time.Hour

func parseInterval(text string) (rule, *SpecError) {
	length, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return nil, &SpecError{
			Problem: fmt.Sprintf("%q is not a duration", text),
			Advice:  "write a number with its unit (s, m or h), such as 90s, 5m, 1h30m; a day is 24h",
		}
	case length < time.Second:
		return nil, &SpecError{
			Problem: fmt.Sprintf("the interval %v is too short", length),
			Advice:  "the shortest one is 1s",
		}
	case length%time.Second != 0:
		return nil, &SpecError{
			Problem: fmt.Sprintf("the interval %v is not in whole seconds", length),
			Advice:  fmt.Sprintf("write %v or %v", length.Truncate(time.Second), length.Truncate(time.Second)+time.Second),
		}
	case length > longestInterval:
		return nil, &SpecError{
			Problem: fmt.Sprintf("the interval %v has no tick within five years", length),
			Advice:  fmt.Sprintf("the longest one is %v", longestInterval),
		}
	}
	return interval(length / time.Second), nil
}
