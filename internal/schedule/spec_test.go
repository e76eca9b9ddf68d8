package schedule_test

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/seri-queue/seri/internal/schedule"
)

func TestEachReadingOfAFixedSpecTicksOnce(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		spec, zone, after string
		want              []string
	}{
		"a time in a gap ticks right after it": {
			"30 2 * * *", "America/New_York", "2026-03-07T12:00:00-05:00",
			[]string{"2026-03-08T03:00:00-04:00", "2026-03-09T02:30:00-04:00"},
		},
		"a time in a fold ticks the first time": {
			"30 1 * * *", "America/New_York", "2026-11-01T00:00:00-04:00",
			[]string{"2026-11-01T01:30:00-04:00", "2026-11-02T01:30:00-05:00"},
		},
		"in the second half of a fold, the first one's ticks are past": {
			"*/30 1 * * *", "America/New_York", "2026-11-01T01:10:00-05:00",
			[]string{"2026-11-02T01:00:00-05:00", "2026-11-02T01:30:00-05:00"},
		},
		"a day without midnight is not skipped in Santiago": {
			"0 0 * * *", "America/Santiago", "2026-09-05T00:00:00-04:00",
			[]string{"2026-09-06T01:00:00-03:00", "2026-09-07T00:00:00-03:00"},
		},
		"a day without midnight is not skipped in Cairo": {
			"@daily", "Africa/Cairo", "2026-04-23T00:00:00+02:00",
			[]string{"2026-04-24T01:00:00+03:00", "2026-04-25T00:00:00+03:00"},
		},
		"a gap of half an hour, on Lord Howe": {
			"15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00:00+10:30",
			[]string{"2026-10-04T02:30:00+11:00", "2026-10-05T02:15:00+11:00"},
		},
		"a fold of half an hour, on Lord Howe": {
			"45 1 * * *", "Australia/Lord_Howe", "2026-04-04T12:00:00+11:00",
			[]string{"2026-04-05T01:45:00+11:00", "2026-04-06T01:45:00+10:30"},
		},
		"the day that Apia left out ticks when the next one begins": {
			"0 12 * * *", "Pacific/Apia", "2011-12-29T11:00:00-10:00",
			[]string{"2011-12-29T12:00:00-10:00", "2011-12-31T00:00:00+14:00", "2011-12-31T12:00:00+14:00"},
		},
		"a gap of two hours, at Troll": {
			"30 1,2 * * *", "Antarctica/Troll", "2026-03-28T12:00:00Z",
			[]string{"2026-03-29T03:00:00+02:00", "2026-03-30T01:30:00+02:00"},
		},
		"the hour that Casablanca puts its clocks back for Ramadan": {
			"30 2 * * *", "Africa/Casablanca", "2026-02-14T12:00:00+01:00",
			[]string{"2026-02-15T02:30:00+01:00", "2026-02-16T02:30:00Z"},
		},
		"a quarter of an hour off, in Kathmandu": {
			"0 6 * * *", "Asia/Kathmandu", "2026-01-01T00:14:59Z",
			[]string{"2026-01-01T06:00:00+05:45", "2026-01-02T06:00:00+05:45"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ticksAre(t, test.spec, test.zone, test.after, test.want)
		})
	}
}

func TestARhythmFollowsElapsedTime(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		spec, zone, after string
		want              []string
	}{
		"every hour, over a gap": {
			"0 * * * *", "America/New_York", "2026-03-08T00:30:00-05:00",
			[]string{"2026-03-08T01:00:00-05:00", "2026-03-08T03:00:00-04:00", "2026-03-08T04:00:00-04:00"},
		},
		"every hour, over a fold": {
			"@hourly", "America/New_York", "2026-11-01T00:30:00-04:00",
			[]string{"2026-11-01T01:00:00-04:00", "2026-11-01T01:00:00-05:00", "2026-11-01T02:00:00-05:00"},
		},
		"every second hour leaves out the one in a gap": {
			"0 */2 * * *", "America/New_York", "2026-03-08T00:00:00-05:00",
			[]string{"2026-03-08T04:00:00-04:00", "2026-03-08T06:00:00-04:00"},
		},
		"an interval ignores the clock": {
			"@every 45m", "America/New_York", "2026-03-08T06:10:00Z",
			[]string{"2026-03-08T06:45:00Z", "2026-03-08T07:30:00Z", "2026-03-08T08:15:00Z"},
		},
		"an interval is aligned to the epoch": {
			"@every 7s", "UTC", "1970-01-01T00:00:08.5Z",
			[]string{"1970-01-01T00:00:14Z", "1970-01-01T00:00:21Z"},
		},
		"seconds": {
			"*/20 59 23 31 12 *", "UTC", "2026-12-31T23:59:39.999Z",
			[]string{"2026-12-31T23:59:40Z", "2027-12-31T23:59:00Z"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ticksAre(t, test.spec, test.zone, test.after, test.want)
		})
	}
}

// The last readings of a rule that ends are shown twice as others are, whatever is asked for in between.
func TestARuleThatEndsInAFoldTicksInBothHalves(t *testing.T) {
	t.Parallel()
	z := zone(t, "Europe/Berlin")
	for name, test := range map[string]struct {
		spec    string
		options schedule.Options
		want    []string
	}{
		"a rhythm": {
			"DTSTART:20261025T010000 RRULE:FREQ=HOURLY;UNTIL=20261025T020000", schedule.Options{},
			[]string{"2026-10-25T01:00:00+02:00", "2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00"},
		},
		"a fixed time": {
			"DTSTART:20261024T023000 RRULE:FREQ=DAILY;UNTIL=20261025T023000", schedule.Options{Fold: schedule.FoldBoth},
			[]string{"2026-10-24T02:30:00+02:00", "2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00"},
		},
		"a fixed time that a gap would leave out": {
			"DTSTART:20261024T023000 RRULE:FREQ=DAILY;COUNT=2", schedule.Options{Fold: schedule.FoldBoth, DST: schedule.DSTSkip},
			[]string{"2026-10-24T02:30:00+02:00", "2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.options.Zone = z
			spec, err := schedule.ParseWith(test.spec, test.options)
			if err != nil {
				t.Fatal(err)
			}

			var got []string
			for tick := range spec.Ticks(time.Date(2026, 10, 1, 0, 0, 0, 0, z)) {
				got = append(got, tick.Format(time.RFC3339))
			}

			if !slices.Equal(got, test.want) {
				t.Errorf("ticks %v, want %v", got, test.want)
			}
		})
	}
}

func TestTicksLieBetweenTheEpochAndTheYear9999(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		spec, zone, after string
		want              []string
	}{
		"a leap day is eight years away around 2100": {
			"0 0 29 2 *", "UTC", "2096-03-01T00:00:00Z", []string{"2104-02-29T00:00:00Z", "2108-02-29T00:00:00Z"},
		},
		"the first tick of all, from a zero time": {
			"0 * * * *", "UTC", "0001-01-01T00:00:00Z", []string{"1970-01-01T00:00:00Z", "1970-01-01T01:00:00Z"},
		},
		"the first tick of an interval": {
			"@every 24h", "UTC", "1969-12-31T23:59:59Z", []string{"1970-01-01T00:00:00Z", "1970-01-02T00:00:00Z"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ticksAre(t, test.spec, test.zone, test.after, test.want)
		})
	}
	for _, text := range []string{"0 0 29 2 *", "@hourly", "@every 90s"} {
		end := time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
		if tick := parse(t, text, zone(t, "America/New_York")).Next(end); !tick.IsZero() {
			t.Errorf("%s ticks at %s, after the end of ticks", text, tick)
		}
	}
	if tick := (schedule.Spec{}).Next(time.Unix(0, 0)); !tick.IsZero() {
		t.Errorf("the zero spec ticks at %s", tick)
	}
}

func ticksAre(t *testing.T, text, zoneName, after string, want []string) {
	t.Helper()
	from, err := time.Parse(time.RFC3339Nano, after)
	if err != nil {
		t.Fatal(err)
	}
	at := from
	for i, w := range want {
		wanted, err := time.Parse(time.RFC3339, w)
		if err != nil {
			t.Fatal(err)
		}

		at = parse(t, text, zone(t, zoneName)).Next(at)

		if !at.Equal(wanted) {
			t.Fatalf("tick %d of %q in %s after %s is %s, want %s", i+1, text, zoneName, after, at.Format(time.RFC3339), w)
		}
	}
}

func TestParseAccepts(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ spec, same string }{
		"Sunday as 7":                        {"0 0 * * 7", "0 0 * * 0"},
		"a range that ends with Sunday":      {"0 0 * * 5-7", "0 0 * * 0,5,6"},
		"a range of names up to Sunday":      {"0 0 * * fri-SUN", "0 0 * * 0,5,6"},
		"every second day up to Sunday":      {"0 0 * * 1-7/2", "0 0 * * 0,1,3,5"},
		"Sunday as 7 in a list":              {"0 0 * * 3,7", "0 0 * * 0,3"},
		"Sunday as 7 with a step":            {"0 0 * * 7/2", "0 0 * * 0"},
		"Sunday to Sunday":                   {"0 0 * * 0-7", "0 0 * * 0-6"},
		"names in any case":                  {"0 0 1 JAN-mar Mon", "0 0 1 1-3 1"},
		"a start with a step, up to the end": {"5/20 * * * *", "5,25,45 * * * *"},
		"any white space":                    {"  0\t0  * * *\n", "0 0 * * *"},
		"a question mark as a wildcard":      {"0 0 ? * mon", "0 0 * * 1"},
		"seconds first":                      {"0 0 12 * * *", "0 12 * * *"},
		"@daily":                             {"@daily", "0 0 * * *"},
		"@midnight":                          {"@midnight", "0 0 * * *"},
		"@annually":                          {"@annually", "0 0 1 1 *"},
		"@yearly":                            {"@yearly", "0 0 1 1 *"},
		"@monthly":                           {"@monthly", "0 0 1 * *"},
		"@weekly":                            {"@weekly", "0 0 * * 0"},
		"@hourly":                            {"@hourly", "0 * * * *"},
		"an interval in other units":         {"@every 1m30s", "@every 90s"},
		"special days in any case":           {"0 0 l,lw * FRIl,Mon#1", "0 0 L,LW * 5L,1#1"},
		"Sunday as 7 in special days":        {"0 0 ? * 7#2,7L", "0 0 ? * sun#2,0L"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			z := zone(t, "Europe/Berlin")
			spec, same := parse(t, test.spec, z), parse(t, test.same, z)

			a, b := time.Unix(1_774_000_000, 0), time.Unix(1_774_000_000, 0)
			for range 100 {
				a, b = spec.Next(a), same.Next(b)
				if !a.Equal(b) {
					t.Fatalf("%q ticks at %s, %q at %s", spec, a, same, b)
				}
			}
		})
	}
}

func TestParseSaysWhatIsWrongAndWhatWouldBeRight(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ spec, field, problem, advice string }{
		"nothing":                         {" ", "", "is empty", "@daily"},
		"too few fields":                  {"* * * *", "", "has 4 fields", "five (minute, hour"},
		"too many fields":                 {"0 0 0 * * * 2026", "", "has 7 fields", "six with the second first"},
		"too long":                        {strings.Repeat("1,", 200) + " * * * *", "", "limit is 256", "several schedules"},
		"a time zone":                     {"TZ=UTC 0 0 * * *", "", "time zone inside the spec", "time zone field"},
		"what robfig's parser panics on":  {"TZ=0", "", "time zone inside the spec", "time zone field"},
		"the other prefix":                {"CRON_TZ=UTC", "", "time zone inside the spec", "time zone field"},
		"a minute too high":               {"60 * * * *", "minute", "end of range (60) above maximum (59)", "use 0-59"},
		"a second too high":               {"61 0 * * * *", "second", "(61)", "use 0-59"},
		"an hour too high":                {"0 24 * * *", "hour", "(24)", "use 0-23"},
		"a day zero":                      {"0 0 0 * *", "day of month", "below minimum (1)", "use 1-31"},
		"a month's name misspelt":         {"0 0 * janur *", "month", `"janur" is neither a number nor a name`, "jan-dec"},
		"a weekday too high":              {"0 0 * * 8", "day of week", `"8"`, "Sunday is 0 and 7"},
		"a range backwards":               {"0 0 * * 5-2", "day of week", "beyond end of range", "ranges (1-5)"},
		"a step of zero":                  {"*/0 * * * *", "minute", "step of range should be a positive number", "steps (*/2"},
		"a step with nothing":             {"0 0 * * 5-7/", "day of week", "neither a number", "steps (*/2"},
		"a step longer than the field":    {"*/90 * * * *", "minute", "longer than the whole range", "use 0-59"},
		"an empty list":                   {", * * * *", "minute", "has an empty item", "lists (1,3,5)"},
		"a wildcard in a range":           {"*-5 * * * *", "minute", "combines a wildcard", "ranges (1-5)"},
		"the last day of the week":        {"0 0 * * L", "day of week", `"L" is neither a number nor a name`, "friL (the last)"},
		"the sixth Friday":                {"0 0 * * 5#6", "day of week", "has a character without a meaning", "fri#2 (the second)"},
		"a weekday that is a range":       {"0 0 1-5W * *", "day of month", `neither a number nor a name`, "15W"},
		"the fortieth before the last":    {"0 0 L-40 * *", "day of month", "neither a number nor a name", "L-3"},
		"a day that comes every 28 years": {"0 0 ? 2 fri#5", "", "can go 27 years without a tick", "within five years"},
		"a day that no month has":         {"0 0 31W 2,4 ?", "", "never ticks: no month has such a day", "a day that exists"},
		"a sign":                          {"+5 * * * *", "minute", "has a character without a meaning", "use 0-59"},
		"an unknown macro":                {"@fortnightly", "", "is not a known macro", "@weekly"},
		"a macro with more":               {"@daily 5", "", "is not a known macro", "@daily"},
		"30 February":                     {"0 0 30 2 *", "", "never ticks: it asks for day 30, and the longest of its months has 29 days", "a day that exists"},
		"31 in short months":              {"0 0 31 2,4,6,9,11 ?", "", "never ticks", "a day that exists"},
		"an interval without unit":        {"@every 90", "", `"90" is not a duration`, "90s"},
		"an interval in days":             {"@every 1d", "", `"1d" is not a duration`, "a day is 24h"},
		"no interval":                     {"@every", "", `"" is not a duration`, "90s"},
		"an interval too short":           {"@every 999ms", "", "too short", "1s"},
		"an interval backwards":           {"@every -5s", "", "too short", "1s"},
		"an interval of no time":          {"@every 0s", "", "too short", "1s"},
		"a broken interval":               {"@every 1500ms", "", "not in whole seconds", "write 1s or 2s"},
		"a time too late":                 {"@at 9999-06-01T00:00:00Z", "", "never ticks: ticks end with the year 9998", "an earlier time"},
		"a time of a clock too late":      {"@at 9999-06-01T00:00:00", "", "never ticks: ticks end with the year 9998", "an earlier time"},
		"an endless interval":             {"@every 99999h", "", "no tick within five years", "43800h"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			_, err := schedule.Parse(test.spec, time.UTC)

			fault, ok := errors.AsType[*schedule.SpecError](err)
			if !ok {
				t.Fatalf("error is %v, want a *SpecError", err)
			}
			if fault.Field != test.field || !strings.Contains(fault.Problem, test.problem) || !strings.Contains(fault.Advice, test.advice) {
				t.Errorf("error is %q, want field %q, problem %q, advice %q", fault, test.field, test.problem, test.advice)
			}
		})
	}
}

func TestParseRefusesTheMachinesOwnZone(t *testing.T) {
	t.Parallel()

	_, err := schedule.Parse("@daily", time.Local)

	if err == nil || !strings.Contains(err.Error(), "another one on the next machine") {
		t.Errorf("error is %v", err)
	}
}

// Where no clock jumps, robfig's own Next is right, and we must agree with it.
func TestOnDaysWithoutJumpsWeAgreeWithRobfig(t *testing.T) {
	t.Parallel()
	r := random(t)
	parser := cron.NewParser(cron.SecondOptional | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)
	field := func(low, high int) string {
		span := high - low + 1
		a := low + r.IntN(span)
		b := a + r.IntN(high-a+1)
		switch r.IntN(6) {
		case 0:
			return "*"
		case 1:
			return strconv.Itoa(a)
		case 2:
			return strconv.Itoa(a) + "-" + strconv.Itoa(b)
		case 3:
			return "*/" + strconv.Itoa(1+r.IntN(span))
		case 4:
			return strconv.Itoa(a) + "-" + strconv.Itoa(b) + "/" + strconv.Itoa(1+r.IntN(span))
		default:
			return strconv.Itoa(a) + "," + strconv.Itoa(b) + "," + strconv.Itoa(low+r.IntN(span))
		}
	}
	zones, jumpsOf := make([]*time.Location, 0, 16), make(map[*time.Location][]time.Time)
	for _, name := range oracleZones() {
		z := zone(t, name)
		zones, jumpsOf[z] = append(zones, z), jumps(z, 1969, 2036)
	}
	calm := func(z *time.Location, from, to time.Time) bool {
		i, _ := slices.BinarySearchFunc(jumpsOf[z], from, time.Time.Compare)
		return i == len(jumpsOf[z]) || jumpsOf[z][i].After(to)
	}
	pairs := 5000
	if *whole {
		pairs = 1_000_000
	}
	for compared := 0; compared < pairs; {
		text := strings.Join([]string{field(0, 59), field(0, 59), field(0, 23), field(1, 31), field(1, 12), field(0, 6)}, " ")
		z := zones[r.IntN(len(zones))]
		theirs, err := parser.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		ours, err := schedule.Parse(text, z)
		if err != nil {
			if !strings.Contains(err.Error(), "never ticks") {
				t.Errorf("we refuse %q: %v", text, err)
			}
			continue
		}
		for range 8 { // robfig looks at the first of the month as well
			after := time.Unix(r.Int64N(2_000_000_000), r.Int64N(1e9)).In(z) // until 2033: time zone files list jumps so far
			got := ours.Next(after)
			if !calm(z, after.AddDate(0, 0, -33), got.Add(48*time.Hour)) { // before robfig is asked: it can hang where midnight is jumped over
				continue
			}
			compared++

			if want := theirs.Next(after); !got.Equal(want) {
				t.Fatalf("%q in %s after %s: we say %s, robfig %s", text, z, after, got, want)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range append(oracleSpecs(), "*/7 59 23 29 2 *", "@every 90s", "TZ=0", "CRON_TZ=UTC", "@every 1ns", "0 0 31 2 *", "*-5 * * * *", "5-7/ * * * *",
		"0 0 L-3,15W,LW * friL,mon#2", "@at 2026-03-29T02:30:00", "@at 2026-12-24T18:00:00+01:00", "@solar dusk_civil 52.52 13.405", "@solar sunrise 89.9 0",
		"DTSTART:20260105T090000 RRULE:FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,FR EXDATE:20260119T090000",
		"DTSTART:19970902T090000 RRULE:FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-2;COUNT=7",
		"DTSTART:19970902T090000 RRULE:FREQ=YEARLY;BYWEEKNO=20,-1;BYDAY=MO", "DTSTART:19970902T090000 RRULE:FREQ=MINUTELY;INTERVAL=20;BYHOUR=9,10;UNTIL=20300101T000000Z") {
		for options := range uint8(8) {
			f.Add(text, uint8(0), options, int64(1_774_000_000))
		}
	}
	names := oracleZones()
	f.Fuzz(func(t *testing.T, text string, zoneIndex, options uint8, after int64) {
		o := schedule.Options{Zone: zone(t, names[int(zoneIndex)%len(names)])}
		o.Day = []schedule.DayRule{"", schedule.DayAnd}[options&1]
		o.DST = []schedule.DSTRule{"", schedule.DSTSkip}[options>>1&1]
		o.Fold = []schedule.FoldRule{"", schedule.FoldBoth}[options>>2&1]
		spec, err := schedule.ParseWith(text, o)
		if err != nil {
			if _, ok := errors.AsType[*schedule.SpecError](err); !ok {
				t.Fatalf("error %v is not a *SpecError", err)
			}
			return
		}
		if again, err := schedule.ParseWith(spec.String(), spec.Options()); err != nil || again.String() != spec.String() {
			t.Fatalf("%q is parsed again as %q, %v", spec, again, err)
		}
		at := time.Unix(after%250_000_000_000, 0)
		for range 20 {
			next := spec.Next(at)
			if next.IsZero() {
				return
			}
			if !next.After(at) {
				t.Fatalf("%q: the tick after %s is %s", text, at, next)
			}
			if next.Unix() > 0 && at.Unix() > 0 { // the same tick from anywhere before it
				if middle := at.Add(next.Sub(at) / 2); !spec.Next(middle).Equal(next) {
					t.Fatalf("%q: the tick after %s is %s, but after %s it is %s", text, at, next, middle, spec.Next(middle))
				}
			}
			at = next
		}
	})
}

func BenchmarkNext(b *testing.B) {
	for name, test := range map[string]struct{ spec, zone string }{
		"interval":              {"@every 90s", "UTC"},
		"daily in UTC":          {"0 3 * * *", "UTC"},
		"daily in New York":     {"0 3 * * *", "America/New_York"},
		"hourly in New York":    {"0 * * * *", "America/New_York"},
		"yearly in Santiago":    {"@yearly", "America/Santiago"},
		"leap day in Lord Howe": {"0 0 29 2 *", "Australia/Lord_Howe"},
		"leap day every hour":   {"0 * 29 2 *", "Africa/Casablanca"},
		"Friday 13 or January":  {"0 0 13 1 5", "Europe/Berlin"},
	} {
		b.Run(name, func(b *testing.B) {
			spec := parse(b, test.spec, zone(b, test.zone))
			after := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
			b.ReportAllocs()
			for b.Loop() {
				spec.Next(after)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ticks/s")
		})
	}
}

func BenchmarkParse(b *testing.B) {
	for b.Loop() {
		parse(b, "*/15 8-18 * * mon-fri", time.UTC)
	}
}
