package cli_test

import (
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
	for _, want := range []string{`(?m)^ended +default +- +1 +0`, `(?m)^nightly +default +- +0 +0 +since \d{4}-\S+Z: for \\x1b repair$`} {
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
	if r := on("resume", "other"); r.code != 1 || !strings.Contains(r.err, "schedule other: ") {
		t.Errorf("resume of one that is not there: %+v", r)
	}
}
