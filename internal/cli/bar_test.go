package cli

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/cli/term"
	"github.com/seri-queue/seri/internal/wire"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var noon = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

// moments are tasks as they may be when they are shown, in the order of the golden file.
var moments = []struct {
	name string
	bar  bar
}{
	{"a task that waits for a worker", bar{task: wire.Task{State: seri.Pending}}},
	{"one that waits for its time", bar{task: wire.Task{State: seri.Scheduled, DueAt: new(noon.Add(90 * time.Second))}}},
	{"one that no worker knows", bar{task: wire.Task{State: seri.Scheduled, Type: "mail.send", Reason: seri.ReasonNoWorker, DueAt: &noon}}},
	{"one that has begun", bar{task: wire.Task{State: seri.Active}}},
	{"one whose progress is known", bar{task: active(31, 50, "rows 310,000 of 500,000"), elapsed: 12 * time.Second}},
	{"one that is nearly done", bar{task: active(999, 1000, ""), elapsed: 59*time.Minute + 59*time.Second}},
	{"one that claims more than there is", bar{task: active(7, 5, "over"), elapsed: 3*time.Hour + 2*time.Second}},
	{"one that claims less than nothing", bar{task: active(-7, 5, "")}},
	{"one without a total", bar{task: active(1234, 0, "lines read")}},
	{"one with wide letters", bar{task: active(1, 2, "処理中です、しばらくお待ちください。処理中です、しばらくお待ちください")}},
	{"one with a hostile message", bar{task: active(1, 2, "\x1b[2J\r\nowned\u202e")}},
	{"one that is tried again", bar{task: wire.Task{State: seri.Retrying, DueAt: new(noon.Add(4 * time.Second)), Error: "smtp: 421 try later\nstack"}}},
	{"one whose worker has vanished", bar{task: wire.Task{State: seri.Retrying, Reason: seri.ReasonCrashed}}},
	{"one that has succeeded", bar{task: wire.Task{State: seri.Succeeded}, elapsed: 83 * time.Second}},
	{"one that has failed", bar{task: wire.Task{State: seri.Failed, Error: "no such file"}}},
	{"one that was revoked", bar{task: wire.Task{State: seri.Revoked, Reason: seri.ReasonExpired}}},
	{"one that cannot be seen", bar{task: active(1, 2, "hidden"), trouble: "the API cannot be reached, waiting for it"}},
	{"a terminal without Unicode", bar{task: active(1, 3, ""), ascii: true}},
}

func active(done, total int64, message string) wire.Task {
	return wire.Task{State: seri.Active, Progress: &seri.ProgressInfo{Done: done, Total: total, Message: message}}
}

func TestTheBarIsAsInTheGoldenFile(t *testing.T) {
	t.Parallel()
	var drawn strings.Builder
	for _, m := range moments {
		m.bar.now = noon
		fmt.Fprintf(&drawn, "# %s\n", m.name)
		for _, columns := range []int{100, 60, 40, 24} {
			fmt.Fprintf(&drawn, "%3d |%s|\n", columns, m.bar.line(columns))
		}
	}
	golden := filepath.Join("testdata", "bar.golden")
	if *update {
		if err := os.WriteFile(golden, []byte(drawn.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if drawn.String() != string(want) {
		t.Errorf("drawn is\n%s\nwant (-update rewrites it)\n%s", drawn.String(), want)
	}
}

func TestTheBarFitsEveryWidth(t *testing.T) {
	t.Parallel()
	for _, m := range moments {
		for columns := range 150 {
			line := m.bar.line(columns)
			if n := term.Columns(line); n > columns || strings.ContainsAny(line, "\r\n\x1b") {
				t.Errorf("%s, %d columns: %q takes %d", m.name, columns, line, n)
			}
		}
	}
}

func TestWhatIsFarOffHasADate(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	for when, want := range map[time.Time]string{
		now.Add(4 * time.Second):                         "in 4s",
		now.AddDate(0, 0, 30):                            "in 30d",
		now.AddDate(0, 0, 31):                            "on 2026-02-01",
		time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC): "on 9999-12-31",
	} {
		if got := until(when, now); got != want {
			t.Errorf("%v is %q, want %q", when, got, want)
		}
	}
}

func TestSpansAreInTheirGreatestUnit(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		0: "0ms", 250 * time.Millisecond: "250ms", 4 * time.Second: "4s", 90 * time.Second: "90s", 3 * time.Minute: "3m",
		5 * time.Hour: "5h", 12 * 24 * time.Hour: "12d",
	} {
		if got := span(d); got != want {
			t.Errorf("%v is %s, want %s", d, got, want)
		}
	}
}
