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

func TestALimitLeavesSoManyTicks(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_774_000_000, 0)
	for fields, c := range map[string]struct {
		runs          int64
		ticks, ending int // of 30: those that are left, those of a schedule that is said to end with them
	}{
		"every: 1h, limit: 5":                              {0, 5, 5},
		"every: 1h, limit: 6":                              {4, 2, 2},
		"every: 1h, limit: 7":                              {7, 0, 0},
		"every: 1h, limit: 8":                              {20, 0, 0}, // it was lowered
		"every: 1h":                                        {20, 30, 30},
		"cron: '@yearly', limit: 20":                       {1, 19, 30}, // the last is far away
		"every: 1s, limit: 2000000000":                     {1, 30, 30},
		"at: '2027-01-01T00:00:00Z', limit: 3":             {0, 1, 1},
		"every: 1h, limit: 9, end: '2026-03-20T00:00:00Z'": {0, 0, 0},
	} {
		s := load(t, "schedules: [{id: a, task: t, "+fields+"}]")[0]
		left := s.Left(c.runs)
		ticks, ending := len(s.Upcoming(now, min(left, 30))), len(s.EndingAfter(left, now).Upcoming(now, 30))
		if ticks != c.ticks || ending != c.ending {
			t.Errorf("%s, after %d runs: %d ticks, and %d of one that ends; want %d and %d", fields, c.runs, ticks, ending, c.ticks, c.ending)
		}
	}
	s := load(t, "schedules: [{id: a, task: t, cron: '@daily', limit: 3}]")[0]
	if days := s.EndingAfter(s.Left(1), now).Days(now, 365); len(days) != 3 { // that of the tick before now, and two
		t.Errorf("a calendar of %d days: %v", len(days), days)
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
