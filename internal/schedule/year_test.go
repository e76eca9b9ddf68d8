package schedule_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/seri-queue/seri/internal/schedule"
)

func TestACalendarShowsTicksAndChangesOfTheClock(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fields, from string
		days         int
		want         string
	}{
		"a night of spring": {"cron: '30 2 * * *', timezone: Europe/Berlin", "2026-03-28T10:00:00Z", 3, "2026-03-28 1, 2026-03-29 1 +1h0m0s, 2026-03-30 1"},
		"a change without a tick": {
			"cron: '0 9 * * mon', timezone: America/New_York", "2026-10-31T12:00:00Z", 3, "2026-11-01 0 -1h0m0s, 2026-11-02 1",
		},
		"midnight jumped over":                                 {"cron: '0 * * * *', timezone: Africa/Cairo", "2026-04-23T12:00:00Z", 3, "2026-04-23 24, 2026-04-24 23 +1h0m0s, 2026-04-25 24"},
		"a calendar that begins where midnight is jumped over": {"cron: '0 * * * *', timezone: Africa/Cairo", "2026-04-24T12:00:00Z", 2, "2026-04-24 23 +1h0m0s, 2026-04-25 24"},
		"after the last change that files of zones list":       {"cron: '@monthly', timezone: America/New_York", "2040-10-31T12:00:00Z", 32, "2040-11-01 1, 2040-11-04 0 -1h0m0s, 2040-12-01 1"},
		"the last day of a leap year there":                    {"cron: '@monthly', timezone: America/New_York", "2040-12-30T12:00:00Z", 73, "2041-01-01 1, 2041-02-01 1, 2041-03-01 1, 2041-03-10 0 +1h0m0s"},
		"more than can be counted":                             {"every: 1s", "2026-01-01T12:00:00Z", 2, "2026-01-01 25+, 2026-01-02 25+"},
		"many where midnight is jumped over": {
			"cron: '* * * * *', timezone: Africa/Cairo", "2026-04-23T12:00:00Z", 3, "2026-04-23 25+, 2026-04-24 25+ +1h0m0s, 2026-04-25 25+",
		},
		"a day left out": {"cron: '0 12 * * *', timezone: Pacific/Apia", "2011-12-29T20:00:00Z", 4, "2011-12-29 1, 2011-12-31 2 +24h0m0s, 2012-01-01 1"},
		"an end":         {"cron: '@daily', end: '2026-01-02T00:00:00Z'", "2026-01-01T12:00:00Z", 5, "2026-01-01 1, 2026-01-02 1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := load(t, "schedules: [{id: a, task: t, "+c.fields+"}]")[0]
			from, err := time.Parse(time.RFC3339, c.from)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, d := range s.Days(from, c.days) {
				text := fmt.Sprintf("%s %d", d.Date, d.Ticks)
				if d.More {
					text += "+"
				}
				if d.Change != 0 {
					text += fmt.Sprintf(" %s%v", map[bool]string{true: "+"}[d.Change > 0], d.Change)
				}
				got = append(got, text)
			}
			if text := strings.Join(got, ", "); text != c.want {
				t.Errorf("calendar\n got %s\nwant %s", text, c.want)
			}
		})
	}
}

func TestUpcomingEndsWithTheSchedule(t *testing.T) {
	t.Parallel()
	s := load(t, "schedules: [{id: a, task: t, every: 10s, end: '1970-01-01T00:00:30Z'}]")[0]
	if got := s.Upcoming(time.Unix(5, 0), 20); len(got) != 3 || got[2].Unix() != 30 {
		t.Errorf("ticks %v", got)
	}
	if got := s.Upcoming(time.Unix(5, 0), 2); len(got) != 2 {
		t.Errorf("ticks %v", got)
	}
}

// A year of the densest specs must not keep a server busy.
func BenchmarkDays(b *testing.B) {
	for _, fields := range []string{"every: 1s", "cron: '* * * * * *', timezone: America/New_York", "cron: '*/5 * * * *', timezone: Africa/Cairo", "solar: {event: sunset, latitude: 52, longitude: 13}"} {
		schedules, err := schedule.Load(strings.NewReader("schedules: [{id: a, task: t, " + fields + "}]"))
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fields, func(b *testing.B) {
			for b.Loop() {
				schedules[0].Days(time.Unix(1_774_000_000, 0), 366)
			}
		})
	}
}
