package cli_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/internal/schedule"
	"github.com/seri-queue/seri/internal/store"
)

func TestSchedulesArePausedAndResumed(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t)
	s := store.New(rdb, store.Config{})
	on := func(args ...string) result {
		t.Helper()
		return do(t, append([]string{"schedule"}, append(args, "--redis-url", redistest.URL(rdb))...)...)
	}
	if r := on("list"); r.code != 0 || r.out != "There are no schedules.\n" {
		t.Errorf("without schedules: %+v", r)
	}
	first := time.Unix(1_700_000_000, 0)
	for id, definition := range map[string]string{
		"nightly": `{"id":"nightly","every":"1h","task":"t"}`, "ended": `{"id":"ended","every":"1h","task":"t","limit":1}`,
	} {
		if written, err := s.Plan(t.Context(), "default", store.Leader{}, []store.Plan{{
			Schedule: id, Revision: "r1", Origin: store.OriginAPI, Definition: []byte(definition), Next: first,
		}}); err != nil || !written[0] {
			t.Fatal(written, err)
		}
	}
	task, err := seri.NewMessage("t", []byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	task.ID = "sched:ended:1700000000"
	if _, err := s.Fire(t.Context(), "default", store.Leader{Token: 1}, []store.Tick{{
		Schedule: "ended", Revision: "r1", Expected: first, Tick: first, Due: first, Overlap: string(schedule.OverlapAllow), Limit: 1, Task: task,
	}}); err != nil {
		t.Fatal(err)
	}

	if r := on("pause", "nightly", "--note", "for \x1b repair"); r.code != 0 || r.out != "schedule nightly is paused\n" {
		t.Errorf("pause: %+v", r)
	}
	r := on("list")
	for _, want := range []string{`(?m)^ended +default +api +- +pending +1 +0`, `(?m)^nightly +default +api +- +- +0 +0 +since \d{4}-\S+Z: for \\x1b repair$`} {
		if !regexp.MustCompile(want).MatchString(r.out) {
			t.Errorf("list does not match %s:\n%s%s", want, r.out, r.err)
		}
	}
	begun := time.Now().UTC().Truncate(time.Hour)
	r = on("resume", "nightly", "--queue", "default")
	text, ok := strings.CutPrefix(strings.TrimSpace(r.out), "schedule nightly is not paused; its next tick is ")
	if next, err := time.Parse(time.RFC3339, text); !ok || err != nil || !next.After(begun) || next.After(begun.Add(2*time.Hour)) {
		t.Errorf("resume: %+v", r)
	}
	if again := on("resume", "nightly"); again != r {
		t.Errorf("resume, again: %+v", again)
	}
	if r := on("list"); !strings.Contains(r.out, text) || strings.Contains(r.out, "since") {
		t.Errorf("list after resume:\n%s", r.out)
	}
	on("pause", "ended")
	if r := on("resume", "ended"); r.code != 0 || !strings.Contains(r.out, "it has no next tick") {
		t.Errorf("resume of one that has come to its limit: %+v", r)
	}
	if r := on("next", "ended"); r.code != 0 || strings.Contains(r.out, "ended") {
		t.Errorf("next ticks of one that has come to its limit: %+v", r)
	}
	if r := on("resume", "other"); r.code != 1 || !strings.Contains(r.err, `there is no schedule "other"`) {
		t.Errorf("resume of one that is not there: %+v", r)
	}
}

// What an older version has stored, and this one does not take, and what somebody has damaged.
func TestAScheduleAtFaultSaysWhyOnTheCommandLine(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t)
	written, err := store.New(rdb, store.Config{}).Plan(t.Context(), "default", store.Leader{}, []store.Plan{{
		Schedule: "old", Revision: "r1", Origin: store.OriginAPI, Definition: []byte(`{"id":"old","every":"90s","jitter":"2m","task":"t"}`), Next: time.Now(),
	}, {
		Schedule: "cut", Revision: "r1", Origin: store.OriginAPI, Definition: []byte("{\"id\":\x1b"), Next: time.Now(),
	}})
	if err != nil || !written[0] || !written[1] {
		t.Fatal(written, err)
	}
	const fault = "jitter is 2m0s, must be no longer than the interval of 1m30s"

	for command, want := range map[string]struct {
		code int
		says string
	}{
		"show cut": {0, `(?s)next tick  -\n.*fault      invalid character .*\{"id":\\x1b\n`},

		"list":        {0, `(?m)^old +default +api +- +- +0 +0 +fault: ` + fault + `$`},
		"show old":    {0, `(?m)^fault +` + fault + `$`},
		"trigger old": {1, `the definition of schedule old on record is not usable: ` + fault + `; give it a new one`},
	} {
		args := append([]string{"schedule"}, append(strings.Fields(command), "--redis-url", redistest.URL(rdb))...)
		if r := do(t, args...); r.code != want.code || !regexp.MustCompile(want.says).MatchString(r.out+r.err) {
			t.Errorf("%s ends with %d, want %d and %s:\n%s%s", command, r.code, want.code, want.says, r.out, r.err)
		}
	}
}

func TestASchedulesLifeOnTheCommandLine(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t)
	file := filepath.Join(t.TempDir(), "one.yaml")
	if err := os.WriteFile(file, []byte("id: warm\nevery: 1h\ntask: t\noverlap: skip\npayload: {n: 1.10}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	on := func(code int, want string, args ...string) {
		t.Helper()
		r := do(t, append([]string{"schedule"}, append(args, "--redis-url", redistest.URL(rdb))...)...)
		if r.code != code || !regexp.MustCompile(want).MatchString(r.out+r.err) {
			t.Errorf("%v ends with %d, want %d and %s:\n%s%s", args, r.code, code, want, r.out, r.err)
		}
	}
	hour := time.Now().UTC().Truncate(time.Hour)
	span := []string{"backfill", "warm", "--from", hour.Add(-2 * time.Hour).Format(time.RFC3339), "--to", hour.Format(time.RFC3339)}

	on(0, `^schedule warm is made; its next tick is \S+:00:00Z\n$`, "set", file)
	on(0, `^schedule warm is set; its next tick is `, "set", file)
	on(0, `(?s)^schedule +warm\n.*source +api\n.*"n": 1.10`, "show", "warm")
	on(0, `(?s)^schedule +tick +UTC\n(warm +\S+:00:00Z +\w{3} \S+ \d\d:00:00 \+00:00\n){3}$`, "next", "warm", "-n", "3")
	on(0, `(?s)^schedule +tick +UTC\n(warm .*){2}$`, "next", "--file", file, "-n", "2")
	few := filepath.Join(t.TempDir(), "few.yaml")
	if err := os.WriteFile(few, []byte("id: few\nevery: 1h\ntask: t\nlimit: 2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	on(0, `^schedule +tick +UTC\n(few .*\n){2}$`, "next", "--file", few)
	on(0, `^schedule +tick +America/New_York\n- +\S+T\d\d:30:00Z +\w{3} \S+ 02:30:00 -0[45]:00\n$`, "next", "--spec", "30 2 28 * *", "--timezone", "America/New_York", "-n", "1")
	on(0, `(?s)^schedule +tick +UTC\n(- .*){3}$`, "next", "--spec", "@every 90s", "-n", "3")
	on(1, `spec "30 24 \* \* \*": hour "24" is not valid`, "next", "--spec", "30 24 * * *")
	on(1, `--timezone "Berlin" is not known`, "next", "--spec", "@daily", "--timezone", "Berlin")
	on(1, `--timezone goes with --spec`, "next", "warm", "--timezone", "UTC")
	on(1, `--queue goes with the id`, "next", "--spec", "@daily", "--queue", "default")
	on(1, `--queue goes with the id`, "next", "--file", file, "--queue", "default")
	on(1, `give the id of a schedule, --file or --spec, and only one of them`, "next")
	on(1, `only one of them`, "next", "warm", "--spec", "@daily")
	on(0, `has not ticked yet`, "history", "warm")
	on(0, `^task sched:warm:\d+ is enqueued\n$`, "trigger", "warm")
	on(0, `^schedule warm: 3 ticks; enqueued 0, there already 0, waiting 0, left out 3\n$`, span...)
	on(0, `^schedule warm: 3 ticks; enqueued 3, there already 0, waiting 0, left out 0\n$`, append(span, "--allow-overlap")...)
	on(0, `(?s)sched:warm:\d+ +pending \(by hand\).*- +missed: overlap`, "history", "warm")
	on(1, `to is in the future`, "backfill", "warm", "--from", hour.Format(time.RFC3339), "--to", hour.Add(2*time.Hour).Format(time.RFC3339))
	on(0, `^schedule warm is deleted; its tasks stay\n$`, "delete", "warm")
	on(1, "there is no schedule \"warm\"; `seri schedule list` shows all", "delete", "warm")
	on(1, "there is no schedule \"warm\" in the queue \"other\"; `seri schedule list` shows all", "next", "warm", "--queue", "other")

	if err := os.WriteFile(file, []byte("id: warm\nevery: 1\ntask: t\nlimit: 0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	on(1, `(?s)line 2: schedule warm: .*line 4: schedule warm: limit must be at least 1`, "set", file)
	schema := do(t, "schedule", "schema")
	if !json.Valid([]byte(schema.out)) || schema.code != 0 {
		t.Errorf("the schema is %d %s%s", schema.code, schema.out, schema.err)
	}
}
