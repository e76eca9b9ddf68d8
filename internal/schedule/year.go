package schedule

import (
	"math"
	"time"
)

// Day is what a day of a calendar shows, by the clock of the schedule's zone.
type Day struct {
	Date  string // such as 2026-03-29
	Ticks int    // at most [MaxDayTicks]
	More  bool   // there are more than that
	// Change is by how much the clock is put forward on that day; negative: back.
	Change time.Duration
}

// MaxDayTicks is how many ticks of a day are counted: more than one an hour is a dense day, by whatever number.
const MaxDayTicks = 25

// Days returns the days from the one of an instant on that have ticks or a change of the clock, of so many days in all.
func (s Schedule) Days(from time.Time, n int) []Day {
	zone := s.Zone()
	y, m, d := from.In(zone).Date()
	begin, end := time.Date(y, m, d, 0, 0, 0, 0, zone), time.Date(y, m, d+n, 0, 0, 0, 0, zone)
	days := make(map[string]*Day)
	on := func(t time.Time) *Day {
		date := t.In(zone).Format(time.DateOnly)
		if days[date] == nil {
			days[date] = &Day{Date: date}
		}
		return days[date]
	}
	for tick := s.Next(begin.Add(-1)); !tick.IsZero() && tick.Before(end); {
		day := on(tick)
		if day.Ticks < MaxDayTicks {
			day.Ticks++
			tick = s.Next(tick)
			continue
		}
		day.More = true
		y, m, d := tick.In(zone).Date()
		midnight := time.Date(y, m, d+1, 0, 0, 0, 0, zone) // where midnight is jumped over, it may be an hour early
		if after := midnight.Add(-1); after.After(tick) {
			tick = s.Next(after)
		} else {
			tick = s.Next(tick)
		}
	}
	for now := stretchAt(zone, instant(begin.Unix())-1); now.end < instant(end.Unix()); {
		following := stretchAt(zone, now.end)
		if put := following.offset - now.offset; put != 0 {
			on(time.Unix(int64(now.end), 0)).Change += time.Duration(put) * time.Second
		}
		now = following
	}
	var all []Day
	for at := time.Date(y, m, d, 12, 0, 0, 0, time.UTC); n > 0; at, n = at.AddDate(0, 0, 1), n-1 {
		if day := days[at.Format(time.DateOnly)]; day != nil {
			all = append(all, *day)
		}
	}
	return all
}

// Left returns how many ticks the schedule's limit leaves to it after so many runs.
func (s Schedule) Left(runs int64) int {
	if s.Limit == 0 {
		return math.MaxInt
	}
	return max(s.Limit-int(min(runs, math.MaxInt32)), 0)
}

// EndingAfter returns a schedule that has a limit as one that ends with the last of so many ticks after an instant, if that
// comes within a year and is no more than [MaxMissed] ticks away: farther it is not looked. Others are returned as they are.
func (s Schedule) EndingAfter(n int, from time.Time) Schedule {
	if s.Limit == 0 {
		return s
	}
	last, year := from, from.AddDate(1, 0, 2)
	for looked := range n {
		tick := s.Next(last)
		if tick.IsZero() || tick.After(year) || looked == MaxMissed {
			return s
		}
		last = tick
	}
	if s.End.IsZero() || last.Before(s.End) {
		s.End = last
	}
	return s
}

// Upcoming returns the first n ticks after an instant; fewer if there are no more.
func (s Schedule) Upcoming(after time.Time, n int) (ticks []time.Time) {
	for tick := s.Next(after); !tick.IsZero() && len(ticks) < n; tick = s.Next(tick) {
		ticks = append(ticks, tick)
	}
	return ticks
}
