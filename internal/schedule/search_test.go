package schedule

import (
	"fmt"
	"testing"
	"time"
)

// countedReadings counts how often they are asked.
type countedReadings struct {
	readings
	asked *int
}

func (c countedReadings) next(from reading) (reading, bool) {
	*c.asked++
	return c.readings.next(from)
}

// A rule may search long for its next reading: it is not asked again for each change of the clock until then.
func TestARareReadingIsSearchedForOnce(t *testing.T) {
	t.Parallel()
	zone, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	from, due := time.Date(2026, 6, 1, 0, 0, 0, 0, zone), time.Date(2090, 6, 1, 0, 0, 0, 0, zone)
	_, offset := due.Zone()
	for _, shift := range []bool{false, true} {
		asked := 0
		r := rhythm{countedReadings{single(due.Unix() + int64(offset)), &asked}, zone, shift}

		tick, ok := r.next(instant(from.Unix()))

		if !ok || tick != instant(due.Unix()) || asked != 1 {
			t.Errorf("shift %t: the tick is %s, asked for %d times, want %s, once", shift, time.Unix(int64(tick), 0).In(zone), asked, due)
		}
		if tick, ok := r.next(tick); ok || asked > 10 {
			t.Errorf("shift %t: after the last one comes %d, asked for %d times", shift, tick, asked)
		}
	}
}

// What never comes is searched for when the rule is read, not at each tick that RDATE adds to it.
func TestARuleThatNeverTicksIsNotSearchedAgain(t *testing.T) {
	t.Parallel()
	for _, rule := range []string{"FREQ=SECONDLY;INTERVAL=60;BYSECOND=30", "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30", "FREQ=SECONDLY;INTERVAL=60;BYSECOND=30;COUNT=3"} {
		r, _, fault := parseRecurrence("DTSTART:20260101T000000 RRULE:"+rule+" RDATE:20270101T120000,20280101T120000", time.UTC)
		if fault != nil {
			t.Fatal(fault)
		}

		left := steps
		_, ok := r.search(r.start, &left)
		var ticks []string
		for from := reading(0); ; from++ {
			due, more := r.next(from)
			if !more {
				break
			}
			ticks, from = append(ticks, time.Unix(int64(due), 0).UTC().Format("2006-01-02")), due
		}

		if ok || left != steps || fmt.Sprint(ticks) != "[2027-01-01 2028-01-01]" {
			t.Errorf("%s: found %t in %d steps; ticks %v", rule, ok, steps-left, ticks)
		}
	}
}
