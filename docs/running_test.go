package docs_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/seri-queue/seri/internal/cli"
	"github.com/seri-queue/seri/internal/web/webtest"
)

// site runs `seri dev` in this process and returns its address, where the manual says http://127.0.0.1:8080.
func site(t *testing.T) string {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	out, in := io.Pipe()
	ended := make(chan int, 1)
	go func() {
		args := []string{"dev", "--http-addr", "127.0.0.1:0", "--dir", t.TempDir(), "--output-dir", t.TempDir(), "--log-level", "error", "--grace", "1s"}
		ended <- cli.Main(ctx, args, cli.Streams{In: strings.NewReader(""), Out: in, Err: t.Output()})
		in.Close()
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	go io.Copy(io.Discard, out)
	t.Cleanup(func() {
		stop()
		if code := <-ended; code != 0 {
			t.Errorf("seri dev ended with code %d", code)
		}
	})
	url := regexp.MustCompile(`http://[0-9.:]+`).FindString(line)
	if err != nil || url == "" {
		t.Fatalf("seri dev said %q, %v", line, err)
	}
	return url
}

// watched runs instead of curl: it takes the same arguments and prints the status. A stream (-N) does not end by itself and is
// left after some seconds; everything else has time to answer, on a busy machine too.
const watched = `curl() {
	case " $* " in *" -N "*) limit=3 ;; *) limit=30 ;; esac
	command curl -sS --max-time "$limit" -o /dev/null -w '%{http_code} %{method} %{url}\n' "$@" || true
}
`

// Every command that begins with curl is run, in the order of the page.
func TestCurlExamplesWork(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("no curl on the PATH; `make test` installs it")
		}
		t.Skip("no curl on the PATH: its examples are NOT tested")
	}
	url := site(t)
	for _, name := range []string{"README.md", "docs/http-api.md"} {
		for _, b := range pageNamed(t, name).blocks {
			if b.language != "sh" || !strings.HasPrefix(b.code, "curl ") {
				continue
			}
			script := watched + strings.ReplaceAll(b.code, "http://127.0.0.1:8080", url)
			output, err := exec.CommandContext(t.Context(), "sh", "-c", script).Output()
			if err != nil || len(output) == 0 {
				t.Errorf("%s:%d: %v", name, b.line, err)
			}
			for line := range strings.Lines(string(output)) {
				want := "2"
				switch {
				case strings.Contains(b.code, "image.thumbnial"): // the mistake, and what it is answered with
					want = "422"
				case strings.Contains(line, "DELETE"): // it may have ended by now
					want = ""
				}
				if !strings.HasPrefix(line, want) {
					t.Errorf("%s:%d: answered %s", name, b.line, line)
				}
			}
		}
	}
}

func TestJavaScriptExamplesWork(t *testing.T) {
	t.Parallel()
	browser := webtest.Start(t)
	url := site(t)
	examples := make(map[string]string) // by what they contain
	for _, b := range pageNamed(t, "docs/http-api.md").blocks {
		for _, mark := range []string{"await fetch(", "new EventSource(", "new WebSocket("} {
			if b.language == "js" && strings.Contains(b.code, mark) {
				code := strings.NewReplacer("http://127.0.0.1:8080", url, "wss://", "ws://").Replace(b.code)
				examples[mark] = code
			}
		}
	}
	enqueue := func(id string) {
		body := fmt.Sprintf(`{"type": "http.request", "payload": {"url": %q}, "id": %q, "owner": "user:42", "countdown": 1}`, url+"/healthz", id)
		response, err := http.Post(url+"/v1/tasks", "application/json", strings.NewReader(body))
		if err != nil || response.StatusCode != http.StatusAccepted {
			t.Fatalf("enqueue %s: %v, %v", id, response, err)
		}
		response.Body.Close()
	}
	open := func() context.Context {
		tab := browser.Tab(t)
		must(t, tab, chromedp.Navigate(url)) // a page of the API's origin, whose policy lets it connect there
		return tab
	}
	run := func(tab context.Context, before, example, after string) {
		t.Helper()
		must(t, tab, chromedp.Evaluate[chromedp.Void]("(async () => {"+before+examples[example]+after+"})()", chromedp.EvalAwaitPromise))
	}

	run(open(), `const process = {env: {}};`, "await fetch(", "")

	tab := open()
	enqueue("one")
	run(tab, `const id = "one"; window.shown = []; const show = (task) => shown.push(task.state);`, "new EventSource(", "window.source = source;")
	must(t, tab, webtest.Until(`source.readyState === EventSource.CLOSED`))
	if shown := value[[]string](t, tab, "shown"); shown[len(shown)-1] != "succeeded" {
		t.Errorf("the EventSource showed %v", shown)
	}

	tab = open()
	run(tab, `window.types = []; const handle = (event) => types.push(event.type.replace("dev.seri.", "") + " " + (event.subject ?? ""));
		const WebSocket = class extends window.WebSocket { constructor(...of) { super(...of); window.socket = this; } };`, "new WebSocket(", "")
	must(t, tab, webtest.Until(`types.length > 0`))
	enqueue("two")
	must(t, tab, webtest.Until(`types.includes("task.succeeded two")`))
	must(t, tab, chromedp.Evaluate[chromedp.Void](`socket.close()`))
	enqueue("three") // while nobody listens
	must(t, tab, webtest.Until(`types.includes("task.succeeded three")`))
	got := fmt.Sprint(value[[]string](t, tab, `types.filter((type) => /^snapshot| (two|three)$/.test(type) && !type.includes("progress"))`))
	want := "[snapshot  task.scheduled two task.queued two task.started two task.succeeded two " +
		"task.scheduled three task.queued three task.started three task.succeeded three]"
	if got != want {
		t.Errorf("the WebSocket handled %s, want %s", got, want)
	}
}

func must(t *testing.T, tab context.Context, do chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(tab, do); err != nil {
		t.Fatal(err)
	}
}

// value reads a JavaScript expression.
func value[T any](t *testing.T, tab context.Context, expression string) (v T) {
	t.Helper()
	text, err := chromedp.Run(tab, chromedp.Evaluate[string]("JSON.stringify("+expression+")"))
	if err == nil {
		err = json.Unmarshal([]byte(text), &v)
	}
	if err != nil {
		t.Fatalf("read %s: %v", expression, err)
	}
	return v
}
