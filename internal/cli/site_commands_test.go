package cli_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/hibiken/asynq"

	"github.com/seri-queue/seri/internal/cli"
	"github.com/seri-queue/seri/internal/wire"
)

func TestEnqueuePrintsTheIDAndWaitTheResult(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	file := filepath.Join(t.TempDir(), "args.json")
	if err := os.WriteFile(file, []byte(`{"text":"from a file"}`), 0o600); err != nil {
		t.Fatal(err)
	}

	if out := s.must("enqueue", "published.echo", "--id", "mine", "--header", "a=1;b=2"); out != "mine\n" {
		t.Errorf("enqueue prints %q, want the id", out)
	}
	for name, c := range map[string]struct {
		in   string
		args []string
		want string
	}{
		"an argument":                {"", []string{`{"text":"x"}`}, `{"text":"x"}`},
		"the standard input":         {`{"text": "in"}`, []string{"-"}, `{"text":"in"}`},
		"a file":                     {"", []string{"@" + file}, `{"text":"from a file"}`},
		"a task that is not kept":    {"", []string{`{"text":"gone"}`, "--retention", "0s"}, `{"text":"gone"}`},
		"a task that starts later":   {"", []string{`{"text":"late"}`, "--delay", "1s"}, `{"text":"late"}`},
		"what a terminal would obey": {"", []string{`{"text":"\u001b[2J` + "\u009b" + `"}`}, `{"text":"\u001b[2J\u009b"}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := s.runIn(t.Context(), c.in, append([]string{"enqueue", "published.echo", "--wait"}, c.args...)...)
			if r.code != 0 || r.out != c.want+"\n" || r.err != "" {
				t.Errorf("ends with %d, prints %q %q, want %q", r.code, r.out, r.err, c.want)
			}
		})
	}
	shown := s.until("succeeded", "inspect", "--task", "mine")
	if !strings.Contains(shown, "a: 1;b=2") {
		t.Errorf("the header has not arrived:\n%s", shown)
	}
}

func TestAFailureIsToldAndItsTextHarmless(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	payload, err := json.Marshal(map[string]string{"text": hostile})
	if err != nil {
		t.Fatal(err)
	}

	r := s.run("enqueue", "published.fail", string(payload), "--progress", "--id", "evil\u202eid")

	if r.code != 1 || r.out != "" || !strings.Contains(r.err, "(permanent)") || !strings.Contains(r.err, `\x1b]0;owned`) {
		t.Errorf("ends with %d, prints %q, %q", r.code, r.out, r.err)
	}
	texts := []string{r.err, s.must("inspect", "default"), s.must("inspect", "--task", "evil\u202eid"), s.must("inspect", "default", "--json")}
	for _, text := range texts {
		if i := strings.IndexFunc(text, func(r rune) bool { return r != '\n' && unicode.IsControl(r) || unicode.Is(unicode.Cf, r) }); i >= 0 {
			t.Errorf("a terminal would obey %q", text[i:])
		}
		if !strings.Contains(text, "evil") {
			t.Errorf("the task is not in %q", text)
		}
	}
	var listed struct{ Tasks []wire.Task }
	if err := json.Unmarshal([]byte(texts[3]), &listed); err != nil || len(listed.Tasks) != 1 || listed.Tasks[0].ID != "evil\u202eid" {
		t.Errorf("the JSON tells of %+v (%v)", listed.Tasks, err)
	}
}

func TestProblemsNameTheField(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.must("enqueue", "published.echo", "--id", "twice", "--delay", "1h")
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"a type that nearly exists": {[]string{"enqueue", "published.eco"}, "did you mean published.echo or"},
		"a field of the payload":    {[]string{"enqueue", "published.echo", `{"text":1}`}, "payload.text (1) is"},
		"several fields":            {[]string{"enqueue", "published.echo", `{"text":1,"n":"x"}`}, "2 things are wrong with the request:\n  payload."},
		"no JSON":                   {[]string{"enqueue", "published.echo", `{text:1}`}, "not JSON at line 1, column 2"},
		"an id that is taken":       {[]string{"enqueue", "published.echo", "--id", "twice"}, `has a task with the id "twice"; it is scheduled`},
		"a task that is not there":  {[]string{"inspect", "--task", "never"}, "no such task"},
		"a queue that is not there": {[]string{"inspect", "never"}, `no queue "never"`},
		"a number out of range":     {[]string{"enqueue", "published.echo", "--max-retries=-1"}, "max_retries"},
		"a state that is none":      {[]string{"inspect", "default", "--state", "gone"}, "--state"},
		"a command that is none":    {[]string{"enqueu"}, `did you mean "enqueue"?`},
		"a key that is none":        {[]string{"inspect", "--api-key", "a b"}, "SERI_API_KEY"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := s.run(c.args...)
			if r.code != 1 || r.out != "" || !strings.HasPrefix(r.err, "seri: ") || !strings.Contains(r.err, c.want) {
				t.Errorf("ends with %d, prints %q, %q; want %q", r.code, r.out, r.err, c.want)
			}
		})
	}
}

func TestCtrlCEndsTheWaitingAndNotTheTask(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ctx, interrupt := context.WithCancel(t.Context())
	errs := &safeBuffer{awaited: "half", seen: make(chan struct{})}
	code := make(chan int, 1)
	go func() {
		code <- cli.Main(ctx, []string{"enqueue", "published.gate", `{"text":""}`, "--progress", "--id", "long", "--api-url", s.url},
			cli.Streams{In: strings.NewReader(""), Out: errs, Err: errs})
	}()
	errs.await(t)

	interrupt()

	if got := <-code; got != 130 || !strings.Contains(errs.String(), "the task goes on. `seri inspect default --task long` shows it") {
		t.Errorf("ends with %d, prints %q", got, errs)
	}
	if out := s.must("inspect", "--task", "long"); !strings.Contains(out, "active") || !strings.Contains(out, "1 of 2 half") {
		t.Errorf("the task is\n%s", out)
	}
	s.release <- struct{}{}
	s.until("succeeded", "inspect", "--task", "long")
}

func TestQueuesCanBeSeenPausedAndResumed(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.must("enqueue", "published.echo", "--delay", "1h", "--id", "a")

	if out := s.must("pause", "default"); !strings.Contains(out, "default is paused") {
		t.Errorf("pause prints %q", out)
	}
	if out := s.must("inspect"); !strings.Contains(out, "default  paused") || !strings.Contains(out, "published.gate") {
		t.Errorf("the overview is\n%s", out)
	}
	if out := s.must("resume", "default"); !strings.Contains(out, "is not paused") {
		t.Errorf("resume prints %q", out)
	}
	if out := s.must("inspect", "default", "--state", "scheduled"); !strings.Contains(out, "starts in 60m") {
		t.Errorf("the queue is\n%s", out)
	}
	if out := s.must("revoke", "a"); !strings.Contains(out, "revoked") {
		t.Errorf("revoke prints %q", out)
	}
	if r := s.run("revoke", "a"); r.code != 1 || !strings.Contains(r.err, "it is revoked") {
		t.Errorf("revoke again ends with %d: %s", r.code, r.err)
	}
	var all struct {
		Queues []struct{ Name string }
		Types  []struct{ Name string }
	}
	if err := json.Unmarshal([]byte(s.must("inspect", "--json")), &all); err != nil || len(all.Queues) != 1 || len(all.Types) < 3 {
		t.Errorf("the JSON tells of %+v (%v)", all, err)
	}
}

func TestAServerOfStockAsynqIsShownWithWhatItMeans(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.must("enqueue", "published.echo", "--delay", "1h")
	if out := s.must("inspect"); strings.Contains(out, "not fenced") {
		t.Errorf("without such a server the overview is\n%s", out)
	}

	server := asynq.NewServerFromRedisClient(s.rdb, asynq.Config{Queues: map[string]int{"default": 1}, LogLevel: asynq.FatalLevel})
	if err := server.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error { return nil })); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Shutdown)
	out := s.until("not fenced", "inspect")

	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("%s:%d:", host, os.Getpid())
	if !strings.Contains(out, "default is not fenced: asynq's server "+name) || !strings.Contains(out, "can end what a worker of Seri's holds") {
		t.Errorf("the overview is\n%s", out)
	}
	var all struct {
		Queues []struct {
			Foreign []string `json:"foreign_servers"`
		}
	}
	if err := json.Unmarshal([]byte(s.must("inspect", "--json")), &all); err != nil || len(all.Queues) != 1 || len(all.Queues[0].Foreign) != 1 ||
		!strings.HasPrefix(all.Queues[0].Foreign[0], name) {
		t.Errorf("the JSON tells of %+v (%v)", all, err)
	}
}

func TestARevokedTaskIsAFailureForThoseWhoWait(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	errs := &safeBuffer{awaited: "half", seen: make(chan struct{})}
	code := make(chan int, 1)
	go func() {
		code <- cli.Main(t.Context(), []string{"enqueue", "published.gate", `{"text":""}`, "--progress", "--id", "r", "--api-url", s.url},
			cli.Streams{In: strings.NewReader(""), Out: errs, Err: errs})
	}()
	errs.await(t)

	if out := s.must("revoke", "r"); !strings.Contains(out, "asked to stop") && !strings.Contains(out, "is revoked") { // it may have stopped already
		t.Errorf("revoke prints %q", out)
	}
	if got := <-code; got != 1 || !strings.Contains(errs.String(), "seri: task r was revoked") {
		t.Errorf("ends with %d, prints %q", got, errs)
	}
}
