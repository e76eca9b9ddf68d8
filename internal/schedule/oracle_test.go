package schedule_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seri-queue/seri/internal/schedule"
)

// The oracle walks through real time step by step and looks at the clock, with sets, a parser and a statement of the rule
// of its own. It shares no code and no idea with the package: where that compares with the latest reading shown, the
// oracle remembers every reading it has seen.

var seed = flag.Uint64("seed", 0, "seed of the random specs and samples; 0: a new one for each run")

// whole is set by make oracle.
var whole = flag.Bool("whole", false, "compare with the oracles in full: every jump, a million pairs")

func random(t *testing.T) *rand.Rand {
	s := *seed
	if s == 0 {
		s = rand.Uint64()
	}
	t.Logf("run again with -seed=%d", s)
	return rand.New(rand.NewPCG(s, 0))
}

// glance is what the clock shows at one instant, or what it has jumped over just before.
type glance struct {
	at                                               int64
	second, minute, hour, dayOfMonth, month, weekday uint8
	date                                             time.Time // the day shown
	again                                            bool      // an earlier instant has shown the same
	skipped                                          bool
}

func look(shown time.Time, at int64) glance {
	return glance{
		at: at, second: uint8(shown.Second()), minute: uint8(shown.Minute()), hour: uint8(shown.Hour()),
		dayOfMonth: uint8(shown.Day()), month: uint8(shown.Month()), weekday: uint8(shown.Weekday()), date: shown,
	}
}

// watch looks at the clock every step from one instant to another. It begins three hours sooner, to know what has been
// shown: no clock has been put back by more than two since 2011.
func watch(from, to time.Time, step time.Duration) []glance {
	var glances []glance
	seen := make(map[int64]bool)
	var before time.Time
	for at := from.Add(-3 * time.Hour); !at.After(to); at = at.Add(step) {
		shown := time.Date(at.Year(), at.Month(), at.Day(), at.Hour(), at.Minute(), at.Second(), 0, time.UTC)
		if !at.Before(from) {
			for s := before.Add(step); s.Before(shown); s = s.Add(step) {
				g := look(s, at.Unix())
				g.skipped = true
				glances = append(glances, g)
			}
			g := look(shown, at.Unix())
			g.again = seen[shown.Unix()]
			glances = append(glances, g)
		}
		before = shown
		seen[shown.Unix()] = true
	}
	return glances
}

// expression is a cron expression as sets of numbers.
type expression struct {
	second, minute, hour, dayOfMonth, month, weekday [60]bool
	anyDay, anyWeekday                               bool
	fixed                                            bool
	specialDay, specialWeekday                       []func(time.Time) bool
	options                                          schedule.Options
}

func oracleParse(text string, options schedule.Options) *expression {
	switch text {
	case "@hourly":
		text = "0 * * * *"
	case "@daily", "@midnight":
		text = "0 0 * * *"
	case "@weekly":
		text = "0 0 * * 0"
	case "@monthly":
		text = "0 0 1 * *"
	case "@yearly", "@annually":
		text = "0 0 1 1 *"
	}
	f := strings.Fields(text)
	if len(f) == 5 {
		f = slices.Insert(f, 0, "0")
	}
	e := &expression{options: options}
	f[3], e.specialDay = oracleSpecial(f[3])
	f[5], e.specialWeekday = oracleSpecial(f[5])
	*e = expression{
		specialDay: e.specialDay, specialWeekday: e.specialWeekday, options: options,
		second: numbers(f[0], 0, 59), minute: numbers(f[1], 0, 59), hour: numbers(f[2], 0, 23),
		dayOfMonth: numbers(f[3], 1, 31), month: numbers(f[4], 1, 12), weekday: numbers(f[5], 0, 7),
		anyDay: f[3] == "*" || f[3] == "?", anyWeekday: f[5] == "*" || f[5] == "?",
		fixed: !strings.ContainsAny(f[2], "*?/"),
	}
	if e.weekday[7] {
		e.weekday[0] = true
	}
	return e
}

// oracleSpecial takes the items with L, W and # out of a field.
func oracleSpecial(text string) (rest string, special []func(time.Time) bool) {
	var plain []string
	for item := range strings.SplitSeq(text, ",") {
		day, _ := strconv.Atoi(strings.Trim(item, "LW-"))
		weekday := slices.Index(strings.Fields("sun mon tue wed thu fri sat"), strings.TrimRight(item, "L#12345"))
		month := func(t time.Time, days int) bool { return t.AddDate(0, 0, days).Month() == t.Month() }
		switch {
		case item == "LW":
			special = append(special, func(t time.Time) bool { // a workday with none after it in the month
				for d := 1; month(t, d); d++ {
					if w := t.AddDate(0, 0, d).Weekday(); w != time.Saturday && w != time.Sunday {
						return false
					}
				}
				return t.Weekday() != time.Saturday && t.Weekday() != time.Sunday
			})
		case item == "L" || strings.HasPrefix(item, "L-"):
			special = append(special, func(t time.Time) bool { return month(t, day) && !month(t, day+1) })
		case strings.HasSuffix(item, "W"):
			special = append(special, func(t time.Time) bool {
				for _, away := range []int{0, -1, 1, -2, 2} { // from the day named, the nearest workday of the month
					named := time.Date(t.Year(), t.Month(), day, 12, 0, 0, 0, time.UTC)
					w := named.AddDate(0, 0, away)
					if named.Month() == t.Month() && w.Month() == t.Month() && w.Weekday() != time.Saturday && w.Weekday() != time.Sunday {
						return w.Day() == t.Day()
					}
				}
				return false
			})
		case strings.HasSuffix(item, "L"):
			special = append(special, func(t time.Time) bool { return int(t.Weekday()) == weekday && !month(t, 7) })
		case strings.Contains(item, "#"):
			nth := int(item[len(item)-1] - '0')
			special = append(special, func(t time.Time) bool {
				return int(t.Weekday()) == weekday && month(t, -7*(nth-1)) && !month(t, -7*nth)
			})
		default:
			plain = append(plain, item)
		}
	}
	return strings.Join(plain, ","), special
}

func numbers(text string, lowest, highest int) (set [60]bool) {
	if text == "" {
		return set
	}
	number := func(s string) int {
		for i, names := range []string{"jan feb mar apr may jun jul aug sep oct nov dec", "sun mon tue wed thu fri sat"} {
			if at := slices.Index(strings.Fields(names), strings.ToLower(s)); at >= 0 {
				return at + 1 - i
			}
		}
		n, err := strconv.Atoi(s)
		if err != nil {
			panic(err)
		}
		return n
	}
	for item := range strings.SplitSeq(text, ",") {
		values, step, stepped := strings.Cut(item, "/")
		low, high, isRange := strings.Cut(values, "-")
		from, to, every := lowest, highest, 1
		if low != "*" && low != "?" {
			from = number(low)
			to = from
			if isRange {
				to = number(high)
			} else if stepped {
				to = highest
			}
		}
		if stepped {
			every = number(step)
		}
		for n := from; n <= to; n += every {
			set[n] = true
		}
	}
	return set
}

func (e *expression) matches(g *glance) bool {
	if !e.minute[g.minute] || !e.second[g.second] || !e.hour[g.hour] || !e.month[g.month] {
		return false
	}
	day, weekday := e.dayOfMonth[g.dayOfMonth], e.weekday[g.weekday]
	for _, special := range e.specialDay {
		day = day || special(g.date)
	}
	for _, special := range e.specialWeekday {
		weekday = weekday || special(g.date)
	}
	if e.anyDay || e.anyWeekday || e.options.Day == schedule.DayAnd {
		return day && weekday
	}
	return day || weekday
}

func (e *expression) ticks(glances []glance) (ticks []int64) {
	for i := range glances {
		g := &glances[i]
		skip := !e.fixed || e.options.DST == schedule.DSTSkip
		both := !e.fixed || e.options.Fold == schedule.FoldBoth
		if !(g.again && !both) && !(g.skipped && skip) && e.matches(g) {
			ticks = append(ticks, g.at)
		}
	}
	return slices.Compact(ticks) // a gap may hold many readings
}

func oracleZones() []string {
	return []string{
		"Australia/Lord_Howe", "America/Santiago", "Africa/Cairo", "Africa/Casablanca", "Pacific/Apia", "Asia/Kathmandu",
		"Antarctica/Troll", "Pacific/Chatham", "America/New_York", "Europe/London", "Asia/Tokyo", "UTC",
		"America/Havana", "America/Asuncion", "Atlantic/Azores", "America/Nuuk", // more jumps at and over midnight
	}
}

func oracleSpecs() []string {
	return []string{
		"30 2 * * *", "30 1 * * *", "0 0 * * *", "0 2 * * *", "0 3 * * *", "15 2 * * *", "45 1 * * *", "59 23 * * *", "0 23 * * *",
		"30 0 * * *", "0,30 0-4 * * *", "*/20 2 * * *", "* 1 * * *", "5 1,2,3 * * *", "0 0 * * sun", "0 0 * * 7", "30 2 * * mon-fri",
		"0 0 1 * *", "0 2 8-14 3 0", "30 1 1-7 11 7", "0 0 29 2 *", "0 12 31 * *", "0 0 */2 * *", "15 2 * mar,oct,apr *", "0 0 * * 5-7",
		"0 * * * *", "30 * * * *", "*/15 * * * *", "0 */2 * * *", "30 */3 * * *", "0 1/3 * * *", "45 0-6/2 * * *", "10 * * * 6",
		"@hourly", "@daily", "@weekly", "@monthly", "@yearly", "1 0 ? * ?",
		"0 2 L * *", "30 2 L-3,LW * *", "0 0 1W,15W,31W * *", "30 1 * * sunL,fri#2", "0 2 8-14 * sun#2",
	}
}

// jumps returns the instants between two years at which the offset of a zone changes, to the second.
func jumps(z *time.Location, fromYear, toYear int) (instants []time.Time) {
	offset := func(sec int64) int { _, o := time.Unix(sec, 0).In(z).Zone(); return o }
	end := time.Date(toYear, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	const stride = 6 * 60 * 60
	for low := time.Date(fromYear, 1, 1, 0, 0, 0, 0, time.UTC).Unix(); low < end; low += stride {
		before, after := low, low+stride
		if offset(before) == offset(after) {
			continue
		}
		for after-before > 1 {
			if middle := (before + after) / 2; offset(middle) == offset(low) {
				before = middle
			} else {
				after = middle
			}
		}
		instants = append(instants, time.Unix(after, 0).In(z))
	}
	return instants
}

// occasions returns the jumps of a zone in some years, and a few times to look at besides. Those in 2040 are there
// because time zone files list jumps up to 2037 at most, and give a rule for what comes after.
func occasions(z *time.Location, fromYear, toYear int) []time.Time {
	at := append(jumps(z, fromYear, toYear), jumps(z, 2040, 2041)...)
	if z.String() == "Pacific/Apia" {
		at = append(at, jumps(z, 2011, 2012)...) // the day that was left out
	}
	return append(at,
		time.Date(2024, 2, 29, 0, 0, 0, 0, z), time.Date(2024, 12, 31, 12, 0, 0, 0, z), time.Date(2040, 12, 31, 12, 0, 0, 0, z))
}

// everyOption are the four ways to treat gaps and folds.
func everyOption() (options []schedule.Options) {
	for _, dst := range []schedule.DSTRule{schedule.DSTShift, schedule.DSTSkip} {
		for _, fold := range []schedule.FoldRule{schedule.FoldFirst, schedule.FoldBoth} {
			options = append(options, schedule.Options{DST: dst, Fold: fold})
		}
	}
	return options
}

// In full (make oracle): all jumps from 2020 to 2035, three days about each, every spec, every option. Otherwise two days
// about some of them, with one option.
func TestEveryTickNearAJumpIsTheOraclesMinuteByMinute(t *testing.T) {
	t.Parallel()
	for _, name := range oracleZones() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := random(t)
			z := zone(t, name)
			at, reach, options := occasions(z, 2020, 2036), 72*time.Hour, everyOption()
			if !*whole {
				r.Shuffle(len(at), func(i, j int) { at[i], at[j] = at[j], at[i] })
				at, reach = at[:min(8, len(at))], 48*time.Hour
				options = []schedule.Options{options[r.IntN(len(options))]}
			}

			for _, jump := range at {
				compare(t, r, z, jump, reach, time.Minute, oracleSpecs(), options)
			}
			if *whole {
				t.Logf("%d occasions, %d specs, %d options", len(at), len(oracleSpecs()), len(options))
			}
		})
	}
}

func TestEveryTickNearAJumpIsTheOraclesSecondBySecond(t *testing.T) {
	t.Parallel()
	specs := []string{
		"* * * * * *", "*/7 59 * * * *", "30 30 2 * * *", "1 0 0 * * *", "15,45 */30 1-3 * * *", "59 59 23 * * *", "0 0 */2 * * *", "0-5 29-31 1,2 * * *", "* * * * *",
	}
	for _, name := range oracleZones() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := random(t)
			z := zone(t, name)
			at := occasions(z, 2020, 2031)

			for range 2 {
				options := everyOption()[r.IntN(4)]
				compare(t, r, z, at[r.IntN(len(at))], 70*time.Minute, time.Second, specs, []schedule.Options{options})
			}
		})
	}
}

// compare runs Next and the oracle over the time around one instant: tick by tick through all of it, and from
// random instants near the middle.
func compare(t *testing.T, r *rand.Rand, z *time.Location, around time.Time, reach, step time.Duration, specs []string, options []schedule.Options) {
	t.Helper()
	from, to := around.Add(-reach), around.Add(reach)
	glances := watch(from, to, step)
	for i, text := range specs {
		oracle := oracleParse(text, schedule.Options{})
		for _, o := range options {
			if !oracle.fixed {
				o = schedule.Options{} // dst and fold are for fixed times
			}
			o.Zone, o.Day = z, []schedule.DayRule{"", schedule.DayOr, schedule.DayAnd}[i%3]
			if strings.HasPrefix(text, "@") {
				o.Day = ""
			}
			spec, err := schedule.ParseWith(text, o)
			if err != nil && o.Day == schedule.DayAnd {
				continue // never, or hardly ever
			} else if err != nil {
				t.Fatal(err)
			}

			want := oracleParse(text, o).ticks(glances)
			got := make([]int64, 0, len(want))
			for tick := range spec.Ticks(from.Add(-time.Nanosecond)) {
				if tick.After(to) {
					break
				}
				got = append(got, tick.Unix())
			}

			if !slices.Equal(got, want) {
				t.Errorf("%s in %s with %q %q %q around %s:\n%s", text, z, o.Day, o.DST, o.Fold, around.Format(time.RFC3339), difference(z, got, want))
			}
			for range 4 {
				near := int64(min(reach, 2*time.Hour) / time.Second)
				after := around.Unix() - near + r.Int64N(2*near)
				i, _ := slices.BinarySearch(want, after+1)
				if tick := spec.Next(time.Unix(after, 0)); i < len(want) && tick.Unix() != want[i] {
					t.Errorf("%s in %s after %s: %s, want %s", text, z, time.Unix(after, 0).In(z), tick, time.Unix(want[i], 0).In(z))
				}
			}
		}
	}
}

func difference(z *time.Location, got, want []int64) string {
	var b strings.Builder
	for _, sec := range got {
		if !slices.Contains(want, sec) {
			fmt.Fprintf(&b, "  ticks wrongly at %s\n", time.Unix(sec, 0).In(z).Format(time.RFC3339))
		}
	}
	for _, sec := range want {
		if !slices.Contains(got, sec) {
			fmt.Fprintf(&b, "  does not tick at %s\n", time.Unix(sec, 0).In(z).Format(time.RFC3339))
		}
	}
	return b.String()
}
