package live_test

import (
	"compress/gzip"
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/seri-queue/seri/internal/proctest"
	"github.com/seri-queue/seri/internal/web/webtest"
)

var screenshots = flag.String("screenshots", "", "write screenshots of the examples into this folder")

// example is one of the folder's pages, and how a test sees what it shows.
type example struct {
	// open starts a site with the example, and shows it in a tab. The task is on its way then.
	open func(t *testing.T, browser *webtest.Browser) (r *rig, tab context.Context, task string)
	// shows is JavaScript: whether the page shows a state, named as <seri-progress> does, and so many per cent (-1: any).
	shows func(state string, percent int) string
}

var examples = map[string]example{
	"plain HTML": {openPlain, elementShows},
	"React":      {openReact, reactShows},
	"Django":     {openDjango, elementShows},
}

// bar is the element, wherever it is, and its bar.
const bar = `document.querySelector("seri-progress")?.shadowRoot?.querySelector("[role=progressbar]")`

func elementShows(state string, percent int) string {
	js := fmt.Sprintf(`document.querySelector("seri-progress")?.getAttribute("state") === %q`, state)
	if percent >= 0 {
		js += fmt.Sprintf(` && %s?.getAttribute("aria-valuenow") === "%d"`, bar, percent)
	}
	return js
}

func reactShows(state string, percent int) string {
	section := `document.querySelector("section")`
	js := map[string]string{
		"queued": section + `?.dataset.state === "pending"`, "running": section + `?.dataset.state === "active" && ` + section + `.dataset.live === "true"`,
		"done": section + `?.dataset.state === "succeeded"`, "offline": section + `?.dataset.live === "false"`,
	}[state]
	if percent >= 0 {
		js += fmt.Sprintf(` && Math.round(100 * document.querySelector("progress").position) === %d`, percent)
	}
	return js
}

// TestExamples opens each example in a real browser, and lets happen to it what happens to pages: whatever that is, the page
// shows in the end how the task has ended.
func TestExamples(t *testing.T) {
	t.Parallel()
	browser := webtest.Start(t)
	for name, e := range examples {
		for what, happens := range map[string]func(t *testing.T, r *rig, tab context.Context, task string, e example){
			"nothing happens":                        nothing,
			"the network is cut":                     networkCut,
			"the server is killed and started again": serverRestart,
			"the server stops for an upgrade":        serverUpgrade,
			"the tab sleeps":                         tabSleeps,
		} {
			t.Run(name+"/"+what, func(t *testing.T) {
				t.Parallel()
				r, tab, task := e.open(t, browser)
				r.progress(task, 1, 4)
				until(t, tab, e.shows("running", 25))

				happens(t, r, tab, task, e)

				until(t, tab, e.shows("done", -1))
				if name == "Django" {
					until(t, tab, `document.querySelector("article p")?.textContent === "Your report is here."`)
				}
				shoot(t, tab, strings.ReplaceAll(name+" "+what, " ", "-"))
			})
		}
	}
}

func nothing(t *testing.T, r *rig, tab context.Context, task string, e example) {
	r.progress(task, 3, 4)
	until(t, tab, e.shows("running", 75))
	shoot(t, tab, "running-"+strings.ReplaceAll(t.Name(), "/", "-"))
	r.finish(task)
}

// networkCut also ends the task while the page cannot hear of it.
func networkCut(t *testing.T, r *rig, tab context.Context, task string, e example) {
	was := r.net.cut()
	until(t, tab, e.shows("offline", -1))
	shoot(t, tab, "offline-"+strings.ReplaceAll(t.Name(), "/", "-"))
	r.progress(task, 2, 4)
	r.net.lead(was)
	until(t, tab, e.shows("running", 50))
	was = r.net.cut()
	r.finish(task)
	r.net.lead(was)
}

func serverRestart(t *testing.T, r *rig, tab context.Context, task string, e example) {
	r.api.Kill()
	r.progress(task, 2, 4)
	r.start()
	until(t, tab, e.shows("running", 50))
	r.api.Kill()
	r.finish(task)
	r.start()
}

// serverUpgrade starts a second api before the first has left.
func serverUpgrade(t *testing.T, r *rig, tab context.Context, task string, e example) {
	old := r.api
	r.start()
	stopGently(t, old)
	r.progress(task, 2, 4)
	until(t, tab, e.shows("running", 50))
	r.finish(task)
}

// tabSleeps freezes the page as a browser does with one in the background, for as long as it takes the server to give it up:
// here it is gone altogether when the page wakes.
func tabSleeps(t *testing.T, r *rig, tab context.Context, task string, e example) {
	lifecycle(t, tab, page.SetWebLifecycleStateStateFrozen)
	r.progress(task, 2, 4)
	r.api.Kill()
	r.finish(task)
	r.start()
	lifecycle(t, tab, page.SetWebLifecycleStateStateActive)
}

func lifecycle(t *testing.T, tab context.Context, state page.SetWebLifecycleStateState) {
	t.Helper()
	err := chromedp.Do(tab, chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, page.SetWebLifecycleState, page.SetWebLifecycleStateParams{State: state})
		return err
	}))
	if err != nil {
		t.Fatal(err)
	}
}

func until(t *testing.T, tab context.Context, js string) {
	t.Helper()
	if err := chromedp.Do(tab, webtest.Until(js)); err != nil {
		shoot(t, tab, "failed-"+strings.ReplaceAll(t.Name(), "/", "-"))
		t.Fatal(err)
	}
}

func evaluate[T any](t *testing.T, tab context.Context, js string) T {
	t.Helper()
	v, err := chromedp.Run(tab, chromedp.Evaluate[T](js))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// still is JavaScript: whether nothing glides any more to where it belongs.
const still = `![document, ...[...document.querySelectorAll("*")].map((e) => e.shadowRoot).filter(Boolean)]
	.some((root) => root.getAnimations().some((a) => a instanceof CSSTransition))`

func shoot(t *testing.T, tab context.Context, name string) {
	t.Helper()
	if *screenshots == "" {
		return
	}
	err := chromedp.Do(tab, webtest.Until(still))
	if err != nil {
		t.Log(err)
	}
	png, err := chromedp.Run(tab, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(filepath.Join(*screenshots, name+".png"), png, 0o644)
	}
	if err != nil {
		t.Log(err)
	}
}

// site serves pages of an origin of their own.
func site(t *testing.T) (mux *http.ServeMux, origin string) {
	mux = http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return mux, server.URL
}

// fill puts into an example what an application's template would.
func fill(t *testing.T, name string, r *rig, task, token string) http.HandlerFunc {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	filled := strings.NewReplacer("https://seri.example.com", r.net.url(), "TASK", task, "TOKEN", token).Replace(string(text))
	return func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", map[string]string{".html": "text/html; charset=utf-8", ".js": "text/javascript"}[filepath.Ext(name)])
		_, _ = io.WriteString(w, filled)
	}
}

// packed serves a library that testdata has as its makers publish it: React and htmx, both under the MIT or a freer licence.
func packed(t *testing.T, name string) http.HandlerFunc {
	text := unpack(t, name)
	return func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", "text/javascript")
		_, _ = w.Write(text)
	}
}

func unpack(t *testing.T, name string) []byte {
	t.Helper()
	file, err := os.Open("testdata/" + name + ".gz")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func navigate(t *testing.T, browser *webtest.Browser, url string) context.Context {
	t.Helper()
	tab := browser.Tab(t)
	if err := chromedp.Do(tab, chromedp.EmulateViewport(480, 320), chromedp.Navigate(url)); err != nil {
		t.Fatal(err)
	}
	return tab
}

func openPlain(t *testing.T, browser *webtest.Browser) (*rig, context.Context, string) {
	mux, origin := site(t)
	r := newRig(t, origin)
	task, token := r.enqueue(900)
	mux.Handle("GET /{$}", fill(t, "plain.html", r, task, token))
	return r, navigate(t, browser, origin), task
}

func openReact(t *testing.T, browser *webtest.Browser) (*rig, context.Context, string) {
	mux, origin := site(t)
	r := newRig(t, origin)
	task, token := r.enqueue(900)
	mux.Handle("GET /{$}", fill(t, "react/index.html", r, task, token))
	mux.Handle("GET /use-task.js", fill(t, "react/use-task.js", r, task, token))
	mux.Handle("GET /react.js", packed(t, "react.production.min.js"))
	mux.Handle("GET /react-dom.js", packed(t, "react-dom.production.min.js"))
	return r, navigate(t, browser, origin), task
}

// python returns a Python that has Django. Without one the test is skipped, or fails where the environment variable CI is set.
func python(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"/usr/bin/python3", "python3"} {
		if exec.Command(name, "-c", "import django").Run() == nil {
			return name
		}
	}
	const message = "no Python with Django: the example is NOT tested; scripts/deps.sh installs it"
	if os.Getenv("CI") != "" {
		t.Fatal(message)
	}
	t.Skip(message)
	return ""
}

func openDjango(t *testing.T, browser *webtest.Browser) (*rig, context.Context, string) {
	program := python(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().String()
	listener.Close() // for Django, which must be told where to listen
	r := newRig(t, "http://"+addr)
	static := t.TempDir()
	if err := os.WriteFile(filepath.Join(static, "htmx.min.js"), unpack(t, "htmx.min.js"), 0o600); err != nil {
		t.Fatal(err)
	}
	django := exec.CommandContext(t.Context(), program, "django/app.py", "runserver", "--noreload", addr)
	django.Env = append(os.Environ(), "SERI_API_URL="+r.net.url(), "SERI_API_KEY="+r.key, "STATIC_DIR="+static, `REPORT={"type":"report.make","payload":{}}`, "PYTHONDONTWRITEBYTECODE=1")
	var out strings.Builder
	django.Stdout, django.Stderr = &out, &out
	if err := django.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = django.Process.Kill()
		_ = django.Wait()
		if t.Failed() {
			t.Log(out.String())
		}
	})
	for deadline := time.Now().Add(patience); ; {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("Django does not start")
		}
	}
	tab := navigate(t, browser, "http://"+addr)
	if err := chromedp.Do(tab, chromedp.Click(chromedp.CSS("button")), webtest.Until(`document.querySelector("seri-progress")`)); err != nil {
		t.Fatal(err)
	}
	return r, tab, evaluate[string](t, tab, `document.querySelector("seri-progress").getAttribute("task")`)
}

// stopGently asks an api to end, and waits until it has.
func stopGently(t *testing.T, p *proctest.Process) {
	t.Helper()
	if err := p.Signal(terminate); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.Exited:
	case <-time.After(patience):
		t.Fatal("the api does not stop")
	}
}
