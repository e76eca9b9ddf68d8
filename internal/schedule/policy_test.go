package schedule_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/schedule"
)

func TestSettleDecidesAboutDueTicks(t *testing.T) {
	t.Parallel()
	base := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	tests := map[string]struct {
		spec   string
		policy schedule.Policy
		behind time.Duration   // how long nobody has looked
		fire   []time.Duration // before now
		missed int
	}{
		"in time":                                {"@every 1m", schedule.Policy{}, 20 * time.Millisecond, ago(20 * time.Millisecond), 0},
		"in time, of a schedule without catchup": {"@every 1m", schedule.Policy{Catchup: schedule.CatchupNone}, 9 * time.Second, ago(9 * time.Second), 0},
		"too late without catchup":               {"@every 1m", schedule.Policy{Catchup: schedule.CatchupNone}, 11 * time.Second, nil, 1},
		"the newest without catchup":             {"@every 1m", schedule.Policy{Catchup: schedule.CatchupNone}, 5*time.Minute + time.Second, ago(time.Second), 5},
		"the latest":                             {"@every 1m", schedule.Policy{}, 5*time.Minute + 30*time.Second, ago(30 * time.Second), 5},
		"the latest is past the deadline":        {"0 12 * * *", schedule.Policy{}, 61 * time.Minute, nil, 1},
		"a longer deadline":                      {"0 12 * * *", schedule.Policy{Deadline: 2 * time.Hour}, 61 * time.Minute, ago(61 * time.Minute), 0},
		"all":                                    {"@every 1m", schedule.Policy{Catchup: schedule.CatchupAll}, 2*time.Minute + 30*time.Second, ago(150*time.Second, 90*time.Second, 30*time.Second), 0},
		"all within the deadline":                {"@every 1m", schedule.Policy{Catchup: schedule.CatchupAll, Deadline: 2 * time.Minute}, 5*time.Minute + 30*time.Second, ago(90*time.Second, 30*time.Second), 4},
		"all within the limit":                   {"@every 1m", schedule.Policy{Catchup: schedule.CatchupAll, CatchupLimit: 2}, 5*time.Minute + 30*time.Second, ago(90*time.Second, 30*time.Second), 4},
		"a year of seconds is not counted out":   {"@every 1s", schedule.Policy{Catchup: schedule.CatchupAll, CatchupLimit: 2}, 365*24*time.Hour + 300*time.Millisecond, ago(1300*time.Millisecond, 300*time.Millisecond), schedule.MaxMissed},
		"a year of minutes in a zone's clock":    {"* * * * *", schedule.Policy{}, 365*24*time.Hour + 30*time.Second, ago(30 * time.Second), schedule.MaxMissed},
		"the end has come":                       {"@every 1m", schedule.Policy{Catchup: schedule.CatchupAll, End: base.Add(time.Minute)}, 10 * time.Minute, ago(10*time.Minute, 9*time.Minute), 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := schedule.Schedule{ID: "s", Spec: parse(t, test.spec, nil), Enabled: true, Policy: test.policy}
			now := base.Add(test.behind)

			fire, missed, following := s.Settle(base, now)

			var got []time.Duration
			for _, tick := range fire {
				got = append(got, now.Sub(tick))
			}
			if !slices.Equal(got, test.fire) || missed.Count != test.missed {
				t.Errorf("fires those of %v ago and misses %+v, want %v and %d", got, missed, test.fire, test.missed)
			}
			if missed.Count > 0 && (missed.First.Before(base) || missed.Last.Before(missed.First) || missed.Last.After(now)) {
				t.Errorf("missed from %s to %s", missed.First, missed.Last)
			}
			if !following.Equal(s.Next(now)) {
				t.Errorf("goes on at %s, want %s", following, s.Next(now))
			}
		})
	}
}

func ago(d ...time.Duration) []time.Duration { return d }

// Whatever the policy and the outage: every tick is fired or counted, once, and ticks go on where they should.
func TestSettleLosesNoTick(t *testing.T) {
	t.Parallel()
	r := random(t)
	specs := []string{"@every 7s", "@every 1m", "*/13 * * * *", "0 0 * * *", "30 2 * * *", "5,6,50 */3 * * *", "DTSTART:20260101T000000 RRULE:FREQ=HOURLY;INTERVAL=5"}
	for range 2000 {
		s := schedule.Schedule{ID: "s", Spec: parse(t, specs[r.IntN(len(specs))], zone(t, "America/New_York")), Enabled: true}
		s.Catchup = []schedule.Catchup{"", schedule.CatchupNone, schedule.CatchupLatest, schedule.CatchupAll}[r.IntN(4)]
		if s.Catchup == schedule.CatchupAll {
			s.CatchupLimit = r.IntN(5)
		}
		s.Jitter = time.Duration(r.IntN(3)) * 3 * time.Second
		next := s.Next(time.Unix(1_770_000_000+r.Int64N(30_000_000), 0))
		now := next.Add(time.Duration(r.Int64N(int64(20 * time.Hour))))

		fire, missed, following := s.Settle(next, now)

		var due []time.Time
		tick := next
		for ; !s.Due(tick).After(now); tick = s.Next(tick) {
			due = append(due, tick)
		}
		if !following.Equal(tick) {
			t.Fatalf("%s, %+v: goes on at %s, want %s", s.Spec, s.Policy, following, tick)
		}
		if missed.More && len(due) <= schedule.MaxMissed || !missed.More && len(fire)+missed.Count != len(due) {
			t.Fatalf("%s, %+v: fires %d and misses %+v of %d", s.Spec, s.Policy, len(fire), missed, len(due))
		}
		for i, tick := range fire {
			if !tick.Equal(due[len(due)-len(fire)+i]) {
				t.Fatalf("%s, %+v: fires %v of %v", s.Spec, s.Policy, fire, due)
			}
		}
	}
}

func TestJitterSpreadsTicksAndIsTheSameForEveryBeat(t *testing.T) {
	t.Parallel()
	const jitter = 10 * time.Second
	tick := time.Unix(1_800_000_000, 0)
	tenths := make([]int, 10)
	for i := range 10_000 {
		s := schedule.Schedule{ID: fmt.Sprintf("s%d", i), Policy: schedule.Policy{Jitter: jitter}}
		late := s.Due(tick).Sub(tick)
		if late < 0 || late >= jitter || late != s.Due(tick).Sub(tick) {
			t.Fatalf("%s is put off by %v", s.ID, late)
		}
		tenths[late*10/jitter]++
	}
	for _, n := range tenths {
		if n < 850 || n > 1150 { // five sigma
			t.Fatalf("10,000 schedules are spread unevenly: %v", tenths)
		}
	}
	one, other := schedule.Schedule{ID: "s", Policy: schedule.Policy{Jitter: jitter}}, 0
	for i := range 100 {
		if one.Due(tick.Add(time.Duration(i)*time.Minute)).Sub(tick.Add(time.Duration(i)*time.Minute)) != one.Due(tick).Sub(tick) {
			other++
		}
	}
	if other < 90 {
		t.Errorf("only %d of 100 ticks are put off by another time than the first", other)
	}
}

// However long the jitter, each tick has its turn before the next one, so that none of them is taken for missed.
func TestATickIsPutOffUpToTheNextAtMost(t *testing.T) {
	t.Parallel()
	for _, spec := range []string{"* * * * *", "0 9,10 * * *", "*/10 * * * * *", "30 1 * * *", "DTSTART:20260101T000000 RRULE:FREQ=MINUTELY;INTERVAL=7"} {
		s := schedule.Schedule{ID: "s", Spec: parse(t, spec, zone(t, "America/New_York")), Policy: schedule.Policy{Jitter: 24 * time.Hour}}
		tick := s.Next(time.Date(2026, 10, 30, 0, 0, 0, 0, time.UTC))
		off := make(map[time.Duration]bool)
		for range 100 {
			due, next := s.Due(tick), s.Next(tick)
			off[due.Sub(tick)] = true

			fire, missed, following := s.Settle(tick, due)

			if due.Before(tick) || !due.Before(next) || len(fire) != 1 || missed.Count != 0 || !following.Equal(next) {
				t.Fatalf("%s: the task of %s starts at %s, the next tick is %s; then %d fire and %d are missed", spec, tick, due, next, len(fire), missed.Count)
			}
			tick = next
		}
		if len(off) < 90 {
			t.Errorf("%s: 100 ticks are put off by %d times only", spec, len(off))
		}
	}
}

func TestStartAndEndConfineTheTicks(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	s := schedule.Schedule{ID: "s", Spec: parse(t, "@every 24h", nil), Policy: schedule.Policy{Start: start, End: start.AddDate(0, 0, 2)}}

	var got []int
	for tick := s.Next(time.Time{}); !tick.IsZero(); tick = s.Next(tick) {
		got = append(got, tick.Day())
	}

	if !slices.Equal(got, []int{1, 2, 3}) {
		t.Errorf("ticks on the days %v of May", got)
	}
}

func TestATaskMayExpireWithTheNextTick(t *testing.T) {
	t.Parallel()
	s := load(t, "schedules: [{id: a, every: 5m, task: t, expires_after: next, jitter: 1m, end: '1970-01-01T00:10:00Z'}]")[0]

	m, err := s.Message(time.Unix(300, 0))
	last, errLast := s.Message(time.Unix(600, 0))

	if err != nil || errLast != nil {
		t.Fatal(err, errLast)
	}
	if !m.Expires.Equal(s.Due(time.Unix(600, 0))) || !last.Expires.IsZero() {
		t.Errorf("tasks expire at %s and %s", m.Expires, last.Expires)
	}
}

const everyField = `
revision: 7
schedules:
  - {id: a, cron: "0 9 1-15,L * fri#2", day: and, timezone: Europe/Berlin, dst: skip, fold: both, task: t, payload: {n: 1.10, t: "<é\" 😀"}, queue: q}
  - {id: b, every: 90s, task: t, catchup: all, catchup_limit: 5, deadline: 3h, overlap: buffer_all, jitter: 2.5s, limit: 3, pause_after: 4}
  - {id: c, at: "2026-12-24T18:00:00", timezone: Asia/Tokyo, task: t, expires_after: next, enabled: false}
  - {id: d, at: "2026-12-24T18:00:00+01:00", task: t, expires_after: 90m}
  - {id: e, solar: {event: sunset, latitude: 52.52, longitude: +13.405}, task: t, start: "2026-01-01T00:00:00", end: 2027-01-01T00:00:00Z}
  - {id: f, rrule: "DTSTART:20260105T090000\nRRULE:FREQ=WEEKLY;INTERVAL=2", timezone: America/New_York, task: t, headers: {a: "1", b: "x\u2028"}, owner: o}
  - {id: g, cron: "@daily", task: t, payload_base64: AAEC, max_retries: 0, timeout: 1m, retention: 0s, catchup: none, overlap: cancel_other}
`

func TestTheFormInJSONIsThatOfTheFile(t *testing.T) {
	t.Parallel()
	file, err := schedule.Read(strings.NewReader(everyField))
	if err != nil {
		t.Fatal(err)
	}
	if file.Revision != 7 || len(file.Schedules) != 7 {
		t.Fatalf("file is %+v", file)
	}
	for _, s := range file.Schedules {
		text, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}

		var again schedule.Schedule
		if err := json.Unmarshal(text, &again); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		inFile := load(t, "schedules: ["+string(text)+"]")[0] // JSON is YAML

		for what, other := range map[string]schedule.Schedule{"JSON": again, "YAML": inFile} {
			textAgain, err := json.Marshal(other)
			if err != nil || string(textAgain) != string(text) {
				t.Errorf("%s, read as %s, becomes\n%s, %v", text, what, textAgain, err)
			}
			if got := fmt.Sprintf("%+v", other); got != fmt.Sprintf("%+v", s) {
				t.Errorf("%s, read as %s, becomes\n%s, want\n%+v", text, what, got, s)
			}
		}
		if err := s.Validate(); err != nil {
			t.Error(err)
		}
	}
}

func TestAPayloadKeepsEveryByteInJSON(t *testing.T) {
	t.Parallel()
	for _, payload := range []string{`{"a": 1}`, `{"a":"\u00e9\ud83d\ude00<"}`, "\x00\xff", ``, `{"n":12345678901234567890123.10}`, "null",
		`{"a":"\u003c","b":"\\u003c<&"}`} {
		m, err := seri.NewMessage("t", []byte(payload))
		if err != nil {
			t.Fatal(err)
		}
		s := schedule.Schedule{ID: "s", Spec: parse(t, "@daily", nil), Task: m, Enabled: true}
		text, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}

		var again schedule.Schedule
		err = json.Unmarshal(text, &again)

		if err != nil || string(again.Task.Payload) != payload {
			t.Errorf("payload %q becomes %q by %s, %v", payload, again.Task.Payload, text, err)
		}
	}
}

func TestPoliciesAreCheckedAllAtOnce(t *testing.T) {
	t.Parallel()

	_, err := schedule.Load(strings.NewReader(`schedules:
  - id: a
    every: 10s
    task: t
    catchup: some
    overlap: maybe
    deadline: -1s
    jitter: 1us
  - {id: b, every: 10s, task: t, catchup: none, deadline: 1h, catchup_limit: 3, jitter: 11s, end: 2026-01-01T00:00:00Z, start: 2026-01-02T00:00:00Z}
  - {id: c, every: 10s, task: t, limit: 0, pause_after: -1, start: soon}
  - {id: d, cron: "0 * * * *", dst: skip, task: t}
  - {id: e, every: 1h, fold: both, task: t}
  - {id: f, cron: "0 3 * * *", dst: sometimes, task: t}
  - {id: g, at: "2026-03-29T02:30:00", timezone: Europe/Berlin, dst: skip, task: t}
  - {id: h, solar: {event: sunset}, timezone: UTC, task: t}
  - {id: i, solar: {event: sunset, latitude: 1, longitude: 1}, rrule: x, task: t}
  - {id: j, every: 10m, task: t, jitter: 5m, expires_after: 5m}
`))

	text := fmt.Sprint(err)
	for _, want := range []string{
		"line 7: schedule a: deadline is -1s, must not be negative",
		"line 9: schedule b: deadline has no meaning for catchup none", "line 9: schedule b: catchup_limit has a meaning for catchup all only",
		"line 9: schedule b: jitter is 11s, must be no longer than the interval of 10s", "line 9: schedule b: end is before start",
		"line 10: schedule c: limit must be at least 1", `line 10: schedule c: pause_after is "-1"`, `line 10: schedule c: start: "soon" is not a time`,
		"line 11: schedule d: spec \"0 * * * *\": dst and fold have no meaning where the hour is a wildcard", "line 12: schedule e: spec \"@every 1h\": day, dst and fold have no meaning here",
		`line 13: schedule f: dst is "sometimes"; use shift or skip`, "line 14: schedule g: spec \"@at 2026-03-29T02:30:00\": never ticks: the clock jumps over that time",
		"line 15: schedule h: timezone has no meaning for solar", "line 15: schedule h: solar has no latitude", "line 16: schedule i: solar and rrule exclude each other",
		"line 17: schedule j: expires_after is 5m0s after the tick, must be longer than the jitter of 5m0s",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("fault is missing: %s\nin %s", want, text)
		}
	}
	s := schedule.Schedule{ID: "", ExpiresAfter: time.Second, Policy: schedule.Policy{Catchup: "some", Overlap: "maybe", Limit: -1, Jitter: time.Minute}}
	for _, want := range []string{"expires_after is 1s after the tick", `catchup is "some", must be one of none, latest, all`, `overlap is "maybe", must be one of allow, skip`, "limit is -1", "id is missing", "the spec is missing", "type is empty"} {
		if err := s.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}
