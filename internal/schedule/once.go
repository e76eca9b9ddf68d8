package schedule

import (
	"fmt"
	"time"
)

// once ticks at one instant.
type once instant

func (o once) next(after instant) (instant, bool) { return instant(o), instant(o) > after }

// parseOnce reads a time with an offset, which is an instant, or one without, which is a reading of the zone's clock.
func parseOnce(text string, options Options) (r rule, fixed bool, fault *SpecError) {
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		if t.Nanosecond() != 0 || t.Unix() < 0 {
			return nil, false, onceFault(text)
		}
		return once(t.Unix()), false, nil
	}
	for _, layout := range []string{"2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02 15:04"} {
		if t, err := time.Parse(layout, text); err == nil && t.Unix() >= 0 && t.Nanosecond() == 0 {
			if options.Fold == FoldBoth {
				return nil, true, &SpecError{Field: "fold", Problem: "is both, but a single time ticks once", Advice: "leave it out"}
			}
			r = timeOfDay{single(t.Unix()), options.Zone, options.DST == DSTSkip}
			if _, ok := r.next(-1); !ok {
				return nil, true, &SpecError{Problem: "never ticks: the clock jumps over that time", Advice: "choose another, or leave dst out"}
			}
			return r, true, nil
		}
	}
	return nil, false, onceFault(text)
}

func onceFault(text string) *SpecError {
	return &SpecError{
		Problem: fmt.Sprintf("%q is not a time in whole seconds from 1970 on", text),
		Advice:  "write 2026-12-24T18:00:00 for a time of the time zone, or 2026-12-24T18:00:00+01:00",
	}
}
