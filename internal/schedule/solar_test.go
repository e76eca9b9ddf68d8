package schedule_test

import (
	"strings"
	"testing"
	"time"

	"github.com/seri-queue/seri/internal/schedule"
)

// The tables that timeanddate.com publishes for London, to the minute.
func TestTheSunKeepsToPublishedTables(t *testing.T) {
	t.Parallel()
	tests := map[string][]string{
		"dawn_astronomical 51.5 -0.1167": {"2015-12-01T05:41Z", "2015-12-02T05:42Z", "2015-12-03T05:44Z", "2015-12-12T05:52Z", "2015-12-25T06:01Z"},
		"dawn_nautical 51.5 -0.1167":     {"2015-12-01T06:22Z", "2015-12-02T06:23Z", "2015-12-03T06:24Z", "2015-12-12T06:33Z", "2015-12-25T06:41Z"},
		"dawn_civil 51.5 -0.1167":        {"2015-12-01T07:04Z", "2015-12-02T07:05Z", "2015-12-03T07:06Z", "2015-12-12T07:16Z", "2015-12-25T07:25Z", "2019-08-29T04:32Z"},
		"sunrise 51.5 -0.1167":           {"2015-01-01T08:06Z", "2015-12-01T07:43Z", "2015-12-02T07:45Z", "2015-12-03T07:46Z", "2015-12-12T07:56Z", "2015-12-25T08:05Z", "2019-08-29T05:08Z"},
		"solar_noon 51.5 -0.1167":        {"2015-12-01T11:49Z", "2015-12-02T11:49Z", "2015-12-03T11:50Z", "2015-12-12T11:54Z", "2015-12-25T12:00Z"},
		"sunset 51.5 -0.1167":            {"2015-01-01T16:01Z", "2015-12-01T15:55Z", "2015-12-02T15:54Z", "2015-12-03T15:54Z", "2015-12-12T15:51Z", "2015-12-25T15:55Z", "2019-08-29T18:54Z"},
		"dusk_civil 51.5 -0.1167":        {"2015-12-01T16:34Z", "2015-12-02T16:34Z", "2015-12-03T16:33Z", "2015-12-12T16:31Z", "2015-12-25T16:36Z", "2019-08-29T19:30Z"},
		"dusk_nautical 51.5 -0.1167":     {"2015-12-01T17:16Z", "2015-12-02T17:16Z", "2015-12-03T17:16Z", "2015-12-12T17:14Z", "2015-12-25T17:19Z"},
	}
	for event, table := range tests {
		spec := parse(t, "@solar "+event, nil)
		for _, text := range table {
			want, err := time.Parse("2006-01-02T15:04Z07:00", text)
			if err != nil {
				t.Fatal(err)
			}

			got := spec.Next(want.Add(-12 * time.Hour))

			if away := got.Sub(want).Abs(); away > 90*time.Second {
				t.Errorf("%s is at %s, the table says %s", event, got, want)
			}
		}
	}
}

// NOAA publishes its calculator as a sheet, too, filled in for the meridian of Boulder at 40° north, to the second. The rows
// taken here are those nearest to the event.
func TestTheSunKeepsToTheSheetOfNOAA(t *testing.T) {
	t.Parallel()
	for event, text := range map[string]string{"sunrise": "2010-06-21T04:31:19-07:00", "solar_noon": "2010-06-21T12:01:49-07:00", "sunset": "2010-06-21T19:32:20-07:00"} {
		want, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}

		got := parse(t, "@solar "+event+" 40 -105", nil).Next(want.Add(-12 * time.Hour))

		if away := got.Sub(want).Abs(); away > time.Second {
			t.Errorf("%s is at %s, the sheet says %s", event, got, want)
		}
	}
}

func TestTheEventsOfADayComeInTheirOrderEveryDay(t *testing.T) {
	t.Parallel()
	events := []string{"dawn_astronomical", "dawn_nautical", "dawn_civil", "sunrise", "solar_noon", "sunset", "dusk_civil", "dusk_nautical", "dusk_astronomical"}
	for _, place := range []string{"0 0", "35.68 139.69", "-33.87 151.21", "40 -105", "-16.5 -179.99", "-16.5 179.99", "45 100"} {
		at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		at = parse(t, "@solar "+events[8]+" "+place, nil).Next(at)
		for range 366 {
			begin := at
			ticks := make([]time.Time, len(events))
			for i, event := range events {
				tick := parse(t, "@solar "+event+" "+place, nil).Next(at)
				if tick.Sub(begin) > 25*time.Hour {
					t.Fatalf("%s at %s comes at %s, after %s", event, place, tick, at)
				}
				at, ticks[i] = tick, tick
			}
			noon := ticks[4]
			for i := range 4 { // as long before noon as after it, but for what the sun's path changes in a day
				morning, evening := noon.Sub(ticks[i]), ticks[8-i].Sub(noon)
				if (morning - evening).Abs() > 5*time.Minute {
					t.Fatalf("%s at %s is %v before noon, %s %v after it", events[i], place, morning, events[8-i], evening)
				}
			}
		}
	}
}

func TestThePolarNightEnds(t *testing.T) {
	t.Parallel()
	sunrise := parse(t, "@solar sunrise 69.65 18.96", nil) // Tromsø: the sun stays away from the end of November to mid-January

	last := sunrise.Next(time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC))
	for next := last; next.Sub(last) < 48*time.Hour; next = sunrise.Next(next) {
		last = next
	}
	first := sunrise.Next(last)

	if last.Month() != time.November || first.Month() != time.January || first.Year() != 2027 {
		t.Errorf("the sun rises last at %s and first again at %s", last, first)
	}
}

// As near to the poles as is allowed there is one day of each kind a year at least, so that no schedule ends.
func TestTheSunComesBackEveryYear(t *testing.T) {
	t.Parallel()
	for _, event := range []string{"dawn_astronomical", "dawn_nautical", "dawn_civil", "sunrise", "sunset", "dusk_civil", "dusk_nautical", "dusk_astronomical"} {
		for _, place := range []string{"89.5 0", "-89.5 0", "89.5 180", "-89.5 -97.3", "89.2 33"} {
			at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
			for at.Year() < 2126 {
				next := parse(t, "@solar "+event+" "+place, nil).Next(at)
				if next.IsZero() || next.Sub(at) > 370*24*time.Hour {
					t.Fatalf("%s at %s comes at %s after %s", event, place, next, at)
				}
				at = next
			}
		}
	}
	parse(t, "@solar solar_noon 90 0", nil)
}

func TestParseSolarSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string]string{
		"@solar":                "write @solar sunset 52.52 13.405",
		"@solar noon 1 2":       `event "noon" is not known; use dawn_astronomical, dawn_nautical, dawn_civil, sunrise, solar_noon, `,
		"@solar sunset 91 0":    `latitude "91" is not in degrees; write a number from -90 to 90`,
		"@solar sunset 0 181":   `longitude "181"`,
		"@solar sunset NaN 0":   `latitude "NaN"`,
		"@solar sunset -89.9 0": `latitude "-89.9" is too near to the pole, where the sun rises and sets by the year and not by the day; write a number from -89.5 to 89.5, or use solar_noon`,
	} {
		_, err := schedule.Parse(spec, nil)
		if want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: error is %v, want %s", spec, err, want)
		}
	}
}
