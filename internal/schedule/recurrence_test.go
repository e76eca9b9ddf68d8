package schedule_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/teambition/rrule-go"

	"github.com/seri-queue/seri/internal/schedule"
)

// The examples of RFC 5545, section 3.8.5.3, in their zone.
func TestTheExamplesOfRFC5545(t *testing.T) {
	t.Parallel()
	z := zone(t, "America/New_York")
	tests := map[string]struct{ spec, want string }{
		"daily for 10 occurrences":            {"DTSTART:19970902T090000 RRULE:FREQ=DAILY;COUNT=10", "0902 0903 0904 0905 0906 0907 0908 0909 0910 0911 end"},
		"every 10 days, 5 occurrences":        {"DTSTART:19970902T090000 RRULE:FREQ=DAILY;INTERVAL=10;COUNT=5", "0902 0912 0922 1002 1012 end"},
		"every other week":                    {"DTSTART:19970902T090000 RRULE:FREQ=WEEKLY;INTERVAL=2;WKST=SU", "0902 0916 0930 1014 1028 1111"},
		"weekly on Tuesday and Thursday":      {"DTSTART:19970902T090000 RRULE:FREQ=WEEKLY;UNTIL=19971007T000000Z;WKST=SU;BYDAY=TU,TH", "0902 0904 0909 0911 0916 0918 0923 0925 0930 1002 end"},
		"the first Friday of the month":       {"DTSTART:19970905T090000 RRULE:FREQ=MONTHLY;COUNT=4;BYDAY=1FR", "0905 1003 1107 1205 end"},
		"the second last Monday of the month": {"DTSTART:19970922T090000 RRULE:FREQ=MONTHLY;COUNT=3;BYDAY=-2MO", "0922 1020 1117 end"},
		"the third to the last day":           {"DTSTART:19970928T090000 RRULE:FREQ=MONTHLY;BYMONTHDAY=-3", "0928 1029 1128 1229"},
		"the first and last day of the month": {"DTSTART:19970930T090000 RRULE:FREQ=MONTHLY;COUNT=5;BYMONTHDAY=1,-1", "0930 1001 1031 1101 1130 end"},
		"Friday the 13th":                     {"DTSTART:19970902T090000 RRULE:FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13", "0213 0313 1113"},
		"the Saturday after the first Sunday": {"DTSTART:19970913T090000 RRULE:FREQ=MONTHLY;BYDAY=SA;BYMONTHDAY=7,8,9,10,11,12,13", "0913 1011 1108 1213"},
		"the third of Tuesday to Thursday":    {"DTSTART:19970904T090000 RRULE:FREQ=MONTHLY;COUNT=3;BYDAY=TU,WE,TH;BYSETPOS=3", "0904 1007 1106 end"},
		"the second last weekday":             {"DTSTART:19970929T090000 RRULE:FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-2", "0929 1030 1127 1230"},
		"the Monday of week 20":               {"DTSTART:19970512T090000 RRULE:FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO", "0512 0511 0517"},
		"the 20th Monday of the year":         {"DTSTART:19970519T090000 RRULE:FREQ=YEARLY;BYDAY=20MO", "0519 0518 0517"},
		"every third year on three days":      {"DTSTART:19970101T090000 RRULE:FREQ=YEARLY;INTERVAL=3;COUNT=4;BYYEARDAY=1,100,200", "0101 0410 0719 0101 end"},
		"every 3 hours until 17:00":           {"DTSTART:19970902T090000 RRULE:FREQ=HOURLY;INTERVAL=3;UNTIL=19970902T210000Z", "0902 0902 0902 end"},
		"a day that some months do not have":  {"DTSTART:20070115T090000 RRULE:FREQ=MONTHLY;BYMONTHDAY=15,30;COUNT=5", "0115 0130 0215 0315 0330 end"},
		"days that are left out and added":    {"DTSTART:19970902T090000 RRULE:FREQ=DAILY;COUNT=4 EXDATE:19970903T090000,19970905T090000 RDATE:19970907T100000", "0902 0904 0907 end"},
		"weeks that begin on Sunday":          {"DTSTART:19970805T090000 RRULE:FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=SU", "0805 0817 0819 0831 end"},
		"weeks that begin on Monday":          {"DTSTART:19970805T090000 RRULE:FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=MO", "0805 0810 0819 0824 end"},
		"every Monday and the first Tuesday":  {"DTSTART:19970901T090000 RRULE:FREQ=MONTHLY;BYDAY=MO,1TU", "0901 0902 0908 0915 0922 0929 1006 1007"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec := parse(t, test.spec, z)

			at := time.Date(1990, 1, 1, 0, 0, 0, 0, z)
			for i, want := range strings.Fields(test.want) {
				at = spec.Next(at)
				got := "end"
				if !at.IsZero() {
					got = at.Format("0102")
				}
				if got != want {
					t.Fatalf("tick %d is %s (%s), want %s", i+1, got, at, want)
				}
			}
		})
	}
}

// rrule-go finds the same ticks where no clock jumps, step by step from the first one on.
func TestRecurrencesAreThoseOfRRuleGo(t *testing.T) {
	t.Parallel()
	r := random(t)
	rules := 400
	if *whole {
		rules = 20_000
	}
	for compared := 0; compared < rules; {
		text := randomRule(r)
		start := time.Date(2000+r.IntN(20), time.Month(1+r.IntN(12)), 1+r.IntN(28), r.IntN(24), r.IntN(60), r.IntN(60), 0, time.UTC)
		spec, err := schedule.Parse(fmt.Sprintf("DTSTART:%s RRULE:%s", start.Format("20060102T150405"), text), nil)
		if err != nil {
			if !strings.Contains(err.Error(), "never ticks") {
				t.Fatalf("%s: %v", text, err)
			}
			continue
		}
		option, err := rrule.StrToROption(text)
		if err != nil {
			t.Fatal(err)
		}
		option.Dtstart = start
		theirs, err := rrule.NewRRule(*option)
		if err != nil {
			t.Fatal(err)
		}
		compared++
		next, at := theirs.Iterator(), start.Add(-1)
		for n := range 60 {
			want, ok := next()
			got := spec.Next(at)
			if got.IsZero() && (!ok || want.Sub(at) > 25*365*24*time.Hour) || got.Year() > 2250 {
				break // we look 30 years ahead, rrule-go for 290 years in all
			}
			if !ok || !got.Equal(want) {
				t.Fatalf("%s from %s: tick %d is %s, rrule-go says %s", text, start, n+1, got, want)
			}
			if middle := at.Add(want.Sub(at) / 2); !spec.Next(middle).Equal(want) {
				t.Fatalf("%s from %s: the tick after %s is %s, want %s", text, start, middle, spec.Next(middle), want)
			}
			at = got
		}
	}
}

func randomRule(r *rand.Rand) string {
	frequency := []string{"YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY", "SECONDLY"}[r.IntN(7)]
	parts := []string{"FREQ=" + frequency}
	add := func(odds int, name string, value func() string) {
		if r.IntN(odds) == 0 {
			values := []string{value()}
			for r.IntN(2) == 0 {
				if v := value(); !slices.Contains(values, v) { // rrule-go takes a time that is named twice for two
					values = append(values, v)
				}
			}
			parts = append(parts, name+"="+strings.Join(values, ","))
		}
	}
	one := func(odds int, name string, value string) {
		if r.IntN(odds) == 0 {
			parts = append(parts, name+"="+value)
		}
	}
	number := func(low, high int) func() string {
		return func() string { return fmt.Sprint(low + r.IntN(high-low+1)) }
	}
	signed := func(high int) func() string {
		return func() string { return fmt.Sprint([]int{1, -1}[r.IntN(2)] * (1 + r.IntN(high))) }
	}
	days := []string{"MO", "TU", "WE", "TH", "FR", "SA", "SU"}
	one(2, "INTERVAL", number(1, 5)())
	one(4, "WKST", days[r.IntN(7)])
	one(4, "COUNT", number(1, 30)())
	add(4, "BYMONTH", number(1, 12))
	if frequency != "WEEKLY" {
		add(5, "BYMONTHDAY", signed(31))
	}
	if frequency == "YEARLY" {
		add(6, "BYYEARDAY", signed(366))
		if !strings.Contains(strings.Join(parts, ";"), "INTERVAL") { // with one, rrule-go counts week 1 to the year in which it begins
			add(6, "BYWEEKNO", func() string { return fmt.Sprint([]int{1, -1}[r.IntN(2)] * (2 + r.IntN(49))) }) // nor does it know a last week that ends in January
		}
	}
	switch {
	case strings.HasPrefix(frequency, "MONTH"):
		n := 1 + r.IntN(4)
		add(4, "BYDAY", func() string { return fmt.Sprint([]int{1, -1}[r.IntN(2)]*n) + days[r.IntN(7)] })
	default:
		add(4, "BYDAY", func() string { return days[r.IntN(7)] })
	}
	add(5, "BYHOUR", number(0, 23))
	add(5, "BYMINUTE", number(0, 59))
	add(5, "BYSECOND", number(0, 59))
	// BYSETPOS picks from all of an interval; rrule-go leaves out what lies before DTSTART in the first week, and what of a
	// week lies in the year before.
	if all := strings.Join(parts, ";"); strings.Contains(all, "BY") && frequency != "SECONDLY" && frequency != "WEEKLY" && !strings.Contains(all, "BYWEEKNO") {
		add(6, "BYSETPOS", signed(4))
	}
	return strings.Join(parts, ";")
}

func TestARecurrenceKeepsTheRuleOfFixedTimes(t *testing.T) {
	t.Parallel()
	ticksAre(t, "DTSTART:20260301T023000 RRULE:FREQ=DAILY", "America/New_York", "2026-03-07T12:00:00-05:00",
		[]string{"2026-03-08T03:00:00-04:00", "2026-03-09T02:30:00-04:00"})
	ticksAre(t, "DTSTART:20261101T003000 RRULE:FREQ=HOURLY", "America/New_York", "2026-11-01T00:15:00-04:00",
		[]string{"2026-11-01T00:30:00-04:00", "2026-11-01T01:30:00-04:00", "2026-11-01T01:30:00-05:00", "2026-11-01T02:30:00-05:00"})
}

func TestRecurrencesSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ spec, want string }{
		"no start":                    {"RRULE:FREQ=DAILY", "has not both of DTSTART and RRULE; write DTSTART:20260105T090000 RRULE:"},
		"no rule":                     {"DTSTART:20260105T090000", "has not both of DTSTART and RRULE"},
		"a start that is no time":     {"DTSTART:yesterday RRULE:FREQ=DAILY", `DTSTART "yesterday" is not a local time`},
		"a zone in the start":         {"DTSTART;TZID=Europe/Berlin:20260105T090000 RRULE:FREQ=DAILY", "use the time zone field"},
		"two rules":                   {"DTSTART:20260105T090000 RRULE:FREQ=DAILY RRULE:FREQ=DAILY", "comes twice"},
		"an unknown part":             {"DTSTART:20260105T090000 RRULE:FREQ=DAILY;BYMOON=1", "unknown RRULE property: BYMOON"},
		"no frequency":                {"DTSTART:20260105T090000 RRULE:BYDAY=MO", "is not valid"},
		"a part set twice":            {"DTSTART:20260105T090000 RRULE:FREQ=DAILY;BYHOUR=1;BYHOUR=2", "BYHOUR is set twice"},
		"an hour that does not exist": {"DTSTART:20260105T090000 RRULE:FREQ=DAILY;BYHOUR=24;BYMONTH=13", "BYMONTH is 13, must be from 1 to 12"},
		"days of a month in a week":   {"DTSTART:20260105T090000 RRULE:FREQ=WEEKLY;BYMONTHDAY=1", "BYMONTHDAY has no meaning for FREQ=WEEKLY"},
		"the second Monday of a day":  {"DTSTART:20260105T090000 RRULE:FREQ=DAILY;BYDAY=2MO", "has no meaning for FREQ=DAILY"},
		"count and end":               {"DTSTART:20260105T090000 RRULE:FREQ=DAILY;COUNT=2;UNTIL=20270101T000000Z", "COUNT and UNTIL exclude each other"},
		"too many":                    {"DTSTART:20260105T090000 RRULE:FREQ=DAILY;COUNT=10001", "COUNT is 10001, must be from 0 to 10000"},
		"never":                       {"DTSTART:20260105T090000 RRULE:FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=30", "never ticks"},
		"never, by the day":           {"DTSTART:20260105T090000 RRULE:FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30", "never ticks"},
		"never, by the second":        {"DTSTART:20260105T090000 RRULE:FREQ=MINUTELY;BYSECOND=30;BYSETPOS=2", "never ticks"},
		"never, counted":              {"DTSTART:20260105T090000 RRULE:FREQ=SECONDLY;INTERVAL=60;BYSECOND=30;COUNT=5", "never ticks"},
		"counted for too long":        {"DTSTART:20260105T030711 RRULE:FREQ=SECONDLY;INTERVAL=3601;BYHOUR=3;BYMINUTE=7;BYSECOND=11;COUNT=10000", "too far apart to be counted; end it with UNTIL"},
		"over before it began":        {"DTSTART:20260105T090000 RRULE:FREQ=DAILY;UNTIL=20250101T000000Z", "never ticks"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			_, err := schedule.Parse(test.spec, nil)

			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v, want %s", err, test.want)
			}
		})
	}
}
