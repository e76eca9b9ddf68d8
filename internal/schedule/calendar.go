package schedule

import (
	"math/bits"
	"time"
)

// reading is what a clock on the wall shows, date included: the seconds since 1970-01-01 00:00:00 on the same clock,
// as if it had never jumped.
type reading int64

// calendar is a set of readings: those whose every part is among the bits.
type calendar struct {
	seconds, minutes, hours uint64 // bit 0: zero
	days, months            uint64 // bit 1: the first
	weekdays                uint64 // bit 0: Sunday
	special                 specialDays
	// eitherDay: a day counts if its day of month or its day of week matches; otherwise both must.
	eitherDay bool
}

// specialDays are days that stand elsewhere in each month: what L, W and # name.
type specialDays struct {
	fromEnd     uint64    // L, L-3; bit 0: the last day
	near        uint64    // 15W: the weekday nearest to that day; bit 1: the first
	lastWeekday bool      // LW: the last of Monday to Friday
	last        uint64    // friL: the month's last such day; bit 0: Sunday
	nth         [6]uint64 // fri#2: the month's second such day, by its number; bit 0: Sunday
}

func (d specialDays) ofMonth() bool { return d.fromEnd != 0 || d.near != 0 || d.lastWeekday }
func (d specialDays) ofWeek() bool  { return d.last != 0 || d.nth != [6]uint64{} }

// next returns the first reading of the set that is not before from. ok is false if there is none before the year
// 10000, where times end to be portable.
//
// It looks at the parts from the largest to the smallest and skips by bit masks what cannot match, so its work is
// bounded by the number of months that have no matching day, not by the time in between.
func (c calendar) next(from reading) (r reading, ok bool) {
	t := time.Unix(int64(from), 0).UTC()
	year, month, firstDay := t.Date()
	if clock, ok := c.nextClock(t.Clock()); ok && c.hasDay(year, month, firstDay) {
		return c.at(year, month, firstDay, clock), true
	}
	firstDay++ // the day's remaining readings do not match: from its end on, every day begins with the same one
	clock, _ := c.nextClock(0, 0, 0)
	for year < 10_000 {
		if c.months>>month&1 == 1 {
			if d, ok := following(c.daysOf(year, month), firstDay); ok {
				return c.at(year, month, d, clock), true
			}
		}
		firstDay = 1
		if month++; month > time.December {
			year, month = year+1, time.January
		}
	}
	return 0, false
}

// nextClock returns the seconds since midnight of the first matching time of day that is not before hour:min:sec.
func (c calendar) nextClock(hour, minute, second int) (clock int, ok bool) {
	clockOf := func(h, m, s int) int { return (h*60+m)*60 + s }
	firstSecond := bits.TrailingZeros64(c.seconds)
	if c.hours>>hour&1 == 1 {
		if c.minutes>>minute&1 == 1 {
			if s, ok := following(c.seconds, second); ok {
				return clockOf(hour, minute, s), true
			}
		}
		if m, ok := following(c.minutes, minute+1); ok {
			return clockOf(hour, m, firstSecond), true
		}
	}
	h, ok := following(c.hours, hour+1)
	return clockOf(h, bits.TrailingZeros64(c.minutes), firstSecond), ok
}

func (c calendar) hasDay(year int, month time.Month, day int) bool {
	return c.months>>month&1 == 1 && c.daysOf(year, month)>>day&1 == 1
}

// daysOf returns the matching days of a month, whether or not the month itself matches.
func (c calendar) daysOf(year int, month time.Month) uint64 {
	first := time.Date(year, month, 1, 0, 0, 0, 0, time.UTC).Weekday()
	length := lengthOf(year, month)
	byDay, byWeekday := c.days, onWeekdays(c.weekdays, first)
	if c.special.ofMonth() {
		byDay |= c.special.daysOfMonth(first, length)
	}
	if c.special.ofWeek() {
		byWeekday |= c.special.daysOfWeek(first, length)
	}
	exists := uint64(1)<<(length+1) - 1
	if c.eitherDay {
		return (byDay | byWeekday) & exists
	}
	return byDay & byWeekday & exists
}

// onWeekdays returns the days of a month of 31 days that begins with the given weekday which are on one of weekdays.
func onWeekdays(weekdays uint64, first time.Weekday) uint64 {
	week := (weekdays>>first | weekdays<<(7-first)) & 0x7f // bit 0: the weekday of the first
	return (week | week<<7 | week<<14 | week<<21 | week<<28) << 1
}

func (d specialDays) daysOfMonth(first time.Weekday, length int) (days uint64) {
	for fromEnd := d.fromEnd; fromEnd != 0; fromEnd &= fromEnd - 1 {
		if n := length - bits.TrailingZeros64(fromEnd); n > 0 {
			days |= 1 << n
		}
	}
	for near := d.near; near != 0; near &= near - 1 {
		if n := bits.TrailingZeros64(near); n <= length {
			days |= 1 << nearestWeekday(n, first, length)
		}
	}
	if d.lastWeekday {
		days |= 1 << nearestWeekday(length, first, length)
	}
	return days
}

// nearestWeekday returns the day from Monday to Friday that is nearest to a day, in the same month.
func nearestWeekday(n int, first time.Weekday, length int) int {
	switch (int(first) + n - 1) % 7 {
	case 6: // Saturday
		if n == 1 {
			return 3
		}
		return n - 1
	case 0: // Sunday
		if n == length {
			return n - 2
		}
		return n + 1
	}
	return n
}

func (d specialDays) daysOfWeek(first time.Weekday, length int) (days uint64) {
	lastWeek := uint64(0x7f) << (length - 6)
	days = onWeekdays(d.last, first) & lastWeek
	for n := 1; n <= 5; n++ {
		days |= onWeekdays(d.nth[n], first) & (0x7f << (7*n - 6))
	}
	return days
}

// longestWait returns the longest time from the end of one matching month to the next one in this century, in months.
func (c calendar) longestWait() (longest int, from time.Time) {
	wait := 0
	for n := range 99 * 12 {
		year, month := 2001+n/12, time.Month(n%12+1)
		if c.months>>month&1 == 1 && c.daysOf(year, month) != 0 {
			wait = 0
			continue
		}
		if wait++; wait > longest {
			longest, from = wait, time.Date(year, month-time.Month(wait-1), 1, 0, 0, 0, 0, time.UTC)
		}
	}
	return longest, from
}

func (c calendar) at(year int, month time.Month, day, clock int) reading {
	return reading(time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Unix()) + reading(clock)
}

// lengthOf returns the number of days of a month. The zeroth day of a month is the last one before it.
func lengthOf(year int, month time.Month) int {
	return time.Date(year, month+1, 0, 0, 0, 0, 0, time.UTC).Day()
}

// following returns the lowest bit of mask that is not below from.
func following(mask uint64, from int) (bit int, ok bool) {
	bit = bits.TrailingZeros64(mask >> from << from)
	return bit, bit < 64
}
