package schedule_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/schedule"
)

func load(t *testing.T, text string) []schedule.Schedule {
	t.Helper()
	schedules, err := schedule.Load(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return schedules
}

func TestLoadReadsEveryField(t *testing.T) {
	t.Parallel()

	schedules := load(t, `
schedules:
  - id: nightly-report
    cron: "0 3 * * *"
    timezone: Europe/Berlin
    task: csv.profile
    payload: {source: "https://example.com/sales.csv", top: 5}
    queue: reports
    max_retries: 3
    timeout: 10m
    retention: 48h
    expires_after: 1h
    owner: team:sales
    headers: {tenant: 007, trace: "on"}
    enabled: false
  - {id: heart.beat_2, every: 90s, task: http.request}
`)

	if len(schedules) != 2 {
		t.Fatalf("%d schedules, want 2", len(schedules))
	}
	s := schedules[0]
	if s.ID != "nightly-report" || s.Spec.String() != "0 3 * * *" || s.Spec.Zone().String() != "Europe/Berlin" || s.Enabled ||
		s.ExpiresAfter != time.Hour {
		t.Errorf("schedule is %+v", s)
	}
	m := s.Task
	if m.Type != "csv.profile" || string(m.Payload) != `{"source":"https://example.com/sales.csv","top":5}` || m.Queue != "reports" ||
		m.MaxRetries != 3 || m.Timeout != 10*time.Minute || m.Retention != 48*time.Hour || m.Owner != "team:sales" ||
		!maps.Equal(m.Headers, map[string]string{"tenant": "007", "trace": "on"}) {
		t.Errorf("task is %+v", m)
	}

	s = schedules[1]
	if s.ID != "heart.beat_2" || s.Spec.String() != "@every 90s" || s.Spec.Zone() != time.UTC || !s.Enabled || s.ExpiresAfter != 0 {
		t.Errorf("schedule with defaults is %+v", s)
	}
	m = s.Task
	if m.Type != "http.request" || string(m.Payload) != "{}" || m.Queue != seri.DefaultQueue || m.MaxRetries != seri.DefaultMaxRetries ||
		m.Timeout != seri.DefaultTimeout || m.Retention != seri.DefaultRetention || m.Owner != "" || m.Headers != nil {
		t.Errorf("task with defaults is %+v", m)
	}
}

func TestAFileMayHaveNoSchedules(t *testing.T) {
	t.Parallel()

	if schedules := load(t, "schedules: []"); len(schedules) != 0 {
		t.Errorf("schedules are %v, want none", schedules)
	}
}

func TestLoadReportsAllFaultsAtOnceWithTheirLines(t *testing.T) {
	t.Parallel()

	_, err := schedule.Load(strings.NewReader(`schedules:
  - id: nightly report
    cron: "61 * * * *"
    task: a
  - id: twice
    cron: "@daily"
    timezone: Europe/Berlni
    task: a
    timeot: 5s
  - id: twice
    every: 5
    timezone: UTC
    payload: {1: x, ratio: .nan}
    max_retries: -1
    timeout: 0s
    headers: [a]
    enabled: yes
  - cron: "@daily"
    every: 5s
    task: ""
  - 5
  - id: six
    cron: "61 25 * * *"
    task: t
    queue: "{a}"
    day: both
    dst: none
    timeout: 5
    expires_after: -5s
    catchup: some
    limit: 0
    jitter: 2d
    end: 2026-02-30
    payload_base64: "*"
  - id: seven
    every: 5s
    task: t
    catchup: all
    deadline: x
    catchup_limit: 5000
    fold: both
  - id: eight
    task: t
    solar: {event: noon, longitude: x, height: 5}
version: 2
`))

	want := []string{
		`line 2: schedule "nightly report": the id may contain letters, digits, dots, underscores and hyphens only`,
		`line 3: schedule "nightly report": spec "61 * * * *": minute "61" is not valid: end of range (61) above maximum (59): 61; use 0-59, `,
		`line 7: schedule twice: timezone "Europe/Berlni" is not known; use a name from the IANA database, such as Europe/Berlin or UTC`,
		`line 9: schedule twice: field "timeot" is not known; a schedule can have id, cron, every, `,
		`line 10: schedule twice: task is missing: the type of the task to enqueue`,
		`line 10: schedule twice: the id is taken by the schedule on line 5`,
		`line 11: schedule twice: spec "@every 5": "5" is not a duration; write a number with its unit`,
		`line 12: schedule twice: timezone has no meaning for every, which follows elapsed time; for a time of day, use cron`,
		`line 13: schedule twice: payload: .nan has no form in JSON; write null or text`,
		`line 13: schedule twice: the key 1 is a number, must be text: put it in quotes`,
		`line 14: schedule twice: max_retries is "-1", must be a whole number from 0 to 2147483647`,
		`line 15: schedule twice: timeout is 0s, must be positive; to have no such limit, leave it out`,
		`line 16: schedule twice: headers is a list, must be a mapping of names to values`,
		`line 17: schedule twice: enabled must be true or false`,
		`line 18: schedule #4: id is missing`,
		`line 19: schedule #4: cron and every exclude each other`,
		`line 20: schedule #4: task is empty; give it a value or leave it out`,
		`line 21: schedule #5: a schedule is a number, must be a mapping of names to values`,
		`line 23: schedule six: spec "61 25 * * *": hour "25" is not valid: `,
		`line 23: schedule six: spec "61 25 * * *": minute "61" is not valid: `,
		`line 25: schedule six: queue "{a}" contains a brace`,
		`line 26: schedule six: day is "both"; use or or and`,
		`line 27: schedule six: dst is "none"; use shift or skip`,
		`line 28: schedule six: timeout is "5", must be a duration`,
		`line 29: schedule six: expires_after is -5s, must not be negative`,
		`line 30: schedule six: catchup is "some", must be one of none, latest, all`,
		`line 31: schedule six: limit must be at least 1; to have no such limit, leave it out`,
		`line 32: schedule six: jitter is "2d", must be a duration`,
		`line 33: schedule six: end: `,
		`line 34: schedule six: payload_base64 is not base64: `,
		`line 39: schedule seven: deadline is "x", must be a duration`,
		`line 40: schedule seven: catchup_limit is 5000, must be from 1 to 1000`,
		`line 41: schedule seven: spec "@every 5s": day, dst and fold have no meaning here`,
		`line 44: schedule eight: field "height" is not known; solar can have event, latitude, longitude`,
		`line 44: schedule eight: solar has no latitude`,
		`line 45: field "version" is not known; the file can have revision, schedules`,
	}
	got := strings.Split(err.Error(), "\n")
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			t.Errorf("fault is missing: %s", want[i])
		case i >= len(want):
			t.Errorf("fault is too much: %s", got[i])
		case !strings.HasPrefix(got[i], want[i]):
			t.Errorf("fault is\n  %s, want\n  %s", got[i], want[i])
		}
	}
	if _, ok := errors.AsType[*schedule.SpecError](err); !ok {
		t.Error("the fault of a spec is not a *SpecError")
	}
	if f, ok := errors.AsType[*schedule.Fault](err); !ok || f.Line != 2 {
		t.Errorf("the first fault is %+v, want one on line 2", f)
	}
}

func TestLoadRefusesAFile(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ text, want string }{
		"that is empty":                {"", "the file has no field schedules; to have no schedules, write schedules: []"},
		"of comments":                  {"# nothing\n", "no field schedules"},
		"without schedules":            {"{}", "line 1: the file has no field schedules"},
		"with nothing below schedules": {"schedules:\n", "line 1: schedules is empty, must be a list"},
		"with two documents":           {"schedules: []\n---\nschedules: []\n", "line 2: a second document begins here"},
		"that is no YAML":              {"schedules: [", "read schedules: yaml: line 1: "},
		"with a field set twice":       {"schedules:\n- id: a\n  id: b\n  every: 5s\n  task: t", "line 3: schedule a: id is set on line 2 already"},
		"with merge keys": {
			"schedules:\n- &a {id: a, every: 5s, task: t}\n- {<<: *a, id: b}", "line 3: schedule b: merge keys (<<) are not supported",
		},
		"with an id that is too long": {
			"schedules:\n- {id: " + strings.Repeat("x", 201) + ", every: 5s, task: t}", "schedule xxxxxxxxxxxxxxxx…: the id has 201 bytes, the limit is 200",
		},
		"with the machine's own zone": {
			"schedules:\n- {id: a, cron: '@daily', timezone: Local, task: t}", "line 2: schedule a: spec \"@daily\": the machine's local time zone",
		},
		"with terms that no task can have": {
			"schedules:\n- {id: a, every: 5s, task: t, queue: 'a{b}'}", `line 2: schedule a: queue "a{b}" contains a brace`,
		},
		"with no time":                 {"schedules:\n- {id: a, task: t}", "line 2: schedule a: cron, every, at, solar or rrule is missing"},
		"with a time zone in the spec": {"schedules:\n- {id: a, task: t, cron: 'TZ=UTC 0 0 * * *'}", "use the time zone field"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			schedules, err := schedule.Load(strings.NewReader(test.text))

			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v, want %s", err, test.want)
			}
			if schedules != nil {
				t.Errorf("schedules are %v, want none beside an error", schedules)
			}
		})
	}
}

func TestAPayloadBecomesJSON(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ yaml, json string }{
		"text":                               {"hello", `"hello"`},
		"nothing":                            {"null", `null`},
		"truth":                              {"[true, True, FALSE]", `[true,true,false]`},
		"words that YAML 1.1 took for truth": {"[yes, no, on]", `["yes","no","on"]`},
		"order is kept":                      {"{z: 1, a: 2}", `{"z":1,"a":2}`},
		"every digit is kept":                {"[1.10, 12345678901234567890123, 1e3]", `[1.10,12345678901234567890123,1e3]`},
		"numbers in YAML's way":              {"[0x1F, 0o17, 1_000, .5, +3]", `[31,15,1000,0.5,3]`},
		"numbers in quotes":                  {"['007', !!str 5]", `["007","5"]`},
		"a date is text":                     {"2026-03-01", `"2026-03-01"`},
		"what HTML escapes":                  {`"<a & b>"`, `"<a & b>"`},
		"blocks":                             {"|\n      one\n      two\n", `"one\ntwo\n"`},
		"an alias is written out":            {"{a: &x [1, 2], b: *x}", `{"a":[1,2],"b":[1,2]}`},
		"a quoted merge key is a key":        {"{'<<': 1}", `{"<<":1}`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			s := load(t, "schedules:\n  - id: a\n    every: 5s\n    task: t\n    payload: "+test.yaml)

			if got := string(s[0].Task.Payload); got != test.json {
				t.Errorf("payload is %s, want %s", got, test.json)
			}
		})
	}
}

func TestAPayloadThatIsNotJSONIsRefused(t *testing.T) {
	t.Parallel()
	var bomb strings.Builder
	bomb.WriteString("[&a [x, x, x, x, x, x, x, x, x, x]")
	for c := 'b'; c < 'k'; c++ {
		bomb.WriteString(strings.NewReplacer("B", string(c), "A", string(c-1)).Replace(", &B [*A, *A, *A, *A, *A, *A, *A, *A, *A, *A]"))
	}
	tests := map[string]struct{ yaml, want string }{
		"not a number":                    {".nan", ".nan has no form in JSON"},
		"infinity":                        {"[1, -.inf]", "-.inf has no form in JSON"},
		"a key that is a number":          {"{1: x}", "the key 1 is a number, must be text: put it in quotes"},
		"a key that is a truth":           {"{true: x}", "the key true is true or false, must be text"},
		"a key that is a date":            {"{2026-01-01: x}", "the key 2026-01-01 is a date"},
		"a key that is nothing":           {"{~: x}", "the key ~ is empty"},
		"a key that is a list":            {"{[a]: x}", "a key is a list, must be text"},
		"a key set twice":                 {"{a: 1, a: 2}", "payload: a is set on line 5 already"},
		"a leading zero":                  {"01234", "01234 is a number with a leading zero"},
		"bytes":                           {"!!binary aGk=", "aGk= is of the type !!binary"},
		"a type of somebody's own":        {"!money 5", "5 is of the type !money"},
		"text that claims to be a number": {"!!int abc", "cannot decode"},
		"too deep":                        {strings.Repeat("[", 40) + strings.Repeat("]", 40), "payload is nested more than 32 levels deep"},
		"too large":                       {strings.Repeat("x", 300_000), "payload has 300002 bytes"},
		"too large by aliases":            {bomb.String() + "]", "payload has more than 262144 bytes"},
		"within itself":                   {"&a [*a, *a]", "payload is nested more than 32 levels deep"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			_, err := schedule.Load(strings.NewReader("schedules:\n  - id: a\n    every: 5s\n    task: t\n    payload: " + test.yaml))

			if err == nil || !strings.Contains(err.Error(), "line 5: schedule a: ") && !strings.Contains(err.Error(), "line 2: schedule a: ") ||
				!strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v, want %s", err, test.want)
			}
		})
	}
}

func TestTheTaskOfATickIsTheSameForEveryBeat(t *testing.T) {
	t.Parallel()
	const file = "schedules: [{id: a.b, cron: '@daily', timezone: Asia/Kathmandu, task: t, expires_after: 90m, headers: {k: v}}]"
	one, other := load(t, file)[0], load(t, file)[0]
	tick := one.Spec.Next(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))

	m, err := one.Message(tick)
	again, errAgain := other.Message(tick.UTC())

	if err != nil || errAgain != nil {
		t.Fatal(err, errAgain)
	}
	if m.ID != "sched:a.b:1767291300" || again.ID != m.ID {
		t.Errorf("ids are %q and %q", m.ID, again.ID)
	}
	if want := tick.Add(90 * time.Minute); !m.Expires.Equal(want) || !again.Expires.Equal(want) {
		t.Errorf("tasks expire at %s and %s, want %s", m.Expires, again.Expires, want)
	}
	m.Headers["k"] = "changed"
	if one.Task.Headers["k"] != "v" {
		t.Error("the headers of one tick's task are those of the schedule")
	}
}

func TestATimeThatIsNoTickHasNoTask(t *testing.T) {
	t.Parallel()
	s := load(t, "schedules: [{id: a, every: 5s, task: t}]")[0]

	for name, tick := range map[string]time.Time{
		"no time":             {},
		"before the epoch":    time.Unix(-1, 0),
		"between two seconds": time.Unix(1, 1),
	} {
		if m, err := s.Message(tick); err == nil {
			t.Errorf("%s: task is %+v, want an error", name, m)
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add("schedules: [{id: a, cron: '@daily', timezone: Asia/Kathmandu, task: t, expires_after: 90m, headers: {k: v}}]")
	f.Add("schedules:\n- id: a\n  every: 5s\n  task: t\n  payload: &a {x: [*a, 1.0, 0x1F, .nan, 2026-01-01]}\n")
	f.Fuzz(func(t *testing.T, text string) {
		schedules, err := schedule.Load(strings.NewReader(text))
		if err != nil {
			return
		}
		for _, s := range schedules {
			tick := s.Spec.Next(time.Unix(1_774_000_000, 0))
			m, err := s.Message(tick)
			if err != nil {
				t.Fatal(err)
			}
			if !json.Valid(m.Payload) {
				t.Fatalf("payload %q is not JSON", m.Payload)
			}
		}
	})
}

func BenchmarkLoad(b *testing.B) {
	var file strings.Builder
	file.WriteString("schedules:\n")
	for i := range 1000 {
		fmt.Fprintf(&file, "  - {id: s%d, cron: '%d 3 * * *', timezone: Europe/Berlin, task: t, payload: {n: %d}}\n", i, i%60, i)
	}
	for b.Loop() {
		if _, err := schedule.Load(strings.NewReader(file.String())); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(1000*float64(b.N)/b.Elapsed().Seconds(), "schedules/s")
}
