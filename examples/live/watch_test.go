package live_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/web/webtest"
)

// script opens a page that runs a module, in which watch is imported, SERI is the server, and TASK and TOKEN are a task and a
// token for it. before is run before the module is.
func script(t *testing.T, browser *webtest.Browser, ttl int, before, module string) (r *rig, tab context.Context, task string) {
	t.Helper()
	mux, origin := site(t)
	r = newRig(t, origin)
	task, token := r.enqueue(ttl)
	mux.HandleFunc("GET /token", func(w http.ResponseWriter, _ *http.Request) { // what an application would have
		var made struct{ Token string }
		r.call("/v1/tokens", map[string]any{"tasks": []string{task}, "ttl": ttl}, &made)
		_, _ = io.WriteString(w, made.Token)
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, `<!doctype html><title>test</title><script>%s</script><script type="module">
			import { watch } from "%s/seri.js";
			const SERI = %[2]q, TASK = %[3]q, TOKEN = %[4]q;
			%[5]s</script>`, before, r.net.url(), task, token, module)
	})
	return r, navigate(t, browser, origin), task
}

// collect is a module that keeps what the callbacks and the iterator are given.
const collect = `
	window.seen = []; window.iterated = []; window.connections = [];
	const w = watch(TASK, { token: TOKEN, onupdate: (task) => seen.push(task.seq), onconnection: (live) => connections.push(live) });
	for await (const task of w) iterated.push(task.state);
	window.result = (await w.done).result;`

// TestWatchTellsEachChangeOnce cuts the network at every second change. The page is told of all of them, in order and once.
func TestWatchTellsEachChangeOnce(t *testing.T) {
	t.Parallel()
	browser := webtest.Start(t)
	r, tab, task := script(t, browser, 900, "", collect)
	const steps = 12
	for n := range int64(steps) {
		if n%2 == 0 {
			was := r.net.cut()
			r.progress(task, n+1, steps)
			r.net.lead(was)
		} else {
			r.progress(task, n+1, steps)
		}
		until(t, tab, fmt.Sprintf(`window.seen?.at(-1) >= %d`, n+1)) // queued is 1, started 2; a moment's progress may be one event
	}
	was := r.net.cut()
	r.finish(task)
	r.net.lead(was)
	until(t, tab, `window.result === "report.pdf"`)

	seen := evaluate[[]int](t, tab, `window.seen`)
	for i, seq := range seen {
		if i > 0 && seq != seen[i-1]+1 {
			t.Errorf("after %d came %d: %v", seen[i-1], seq, seen)
		}
	}
	if iterated := evaluate[[]string](t, tab, `window.iterated`); iterated[len(iterated)-1] != "succeeded" {
		t.Errorf("the iterator gave %v", iterated)
	}
	if evaluate[int](t, tab, `window.connections.filter((live) => !live).length`) == 0 {
		t.Error("the connection was never lost")
	}
}

// noWebSocket is a browser, or a proxy before it, that lets no WebSocket through.
const noWebSocket = `window.tried = 0; window.WebSocket = class { constructor() { tried++; setTimeout(() => this.onclose({ reason: "" })); } close() {} };`

func TestWatchFallsBackToServerSentEvents(t *testing.T) {
	t.Parallel()
	browser := webtest.Start(t)
	r, tab, task := script(t, browser, 900, noWebSocket, collect)
	r.progress(task, 1, 2)
	until(t, tab, `window.seen?.at(-1) >= 3 && window.connections.at(-1)`)
	was := r.net.cut()
	until(t, tab, `window.connections.at(-1) === false`)
	r.progress(task, 2, 2)
	r.finish(task)
	r.net.lead(was)

	until(t, tab, `window.result === "report.pdf"`)
	seen := evaluate[[]int](t, tab, `window.seen`)
	for i, seq := range seen {
		if i > 0 && seq != seen[i-1]+1 {
			t.Errorf("after %d came %d: %v", seen[i-1], seq, seen)
		}
	}
}

// TestWatchBringsAFreshTokenBeforeTheOldOneExpires lives through three tokens of ten seconds each, the shortest there are.
func TestWatchBringsAFreshTokenBeforeTheOldOneExpires(t *testing.T) {
	t.Parallel()
	browser := webtest.Start(t)
	r, tab, task := script(t, browser, 10, `window.asked = 0`, `
		window.lost = 0;
		const token = async () => { asked++; return (await fetch("/token")).text(); };
		watch(TASK, { token, onupdate: (task) => (window.state = task.state), onconnection: (live) => live || lost++, onerror: (e) => (window.error = e.message) });`)
	r.progress(task, 1, 2)
	until(t, tab, `window.state === "active"`)

	until(t, tab, `window.asked >= 3`)
	r.finish(task)

	until(t, tab, `window.state === "succeeded"`)
	if lost, err := evaluate[int](t, tab, `window.lost`), evaluate[string](t, tab, `window.error ?? ""`); lost > 0 || err != "" {
		t.Errorf("the connection was lost %d times, %s", lost, err)
	}
}

func TestWatchSaysWhyATaskCannotBeWatched(t *testing.T) {
	t.Parallel()
	browser := webtest.Start(t)
	for transport, before := range map[string]string{"WebSocket": "", "Server-Sent Events": noWebSocket} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			_, tab, _ := script(t, browser, 900, before, `
				const cases = {
					another: ["another", { token: TOKEN }], none: [TASK, {}], wrong: [TASK, { token: TOKEN + "x" }],
					got: [TASK, { token: async () => "no token" }],
				};
				const [id, options] = cases[location.search.slice(1)] ?? cases.none;
				window.answer = await watch(id, options).done.then(() => 0, (error) => error.status);`)
			for which, want := range map[string]int{"another": 403, "none": 401, "wrong": 401, "got": 401} {
				url := evaluate[string](t, tab, `location.origin`) + "/?" + which
				if err := chromedp.Do(tab, chromedp.Navigate(url)); err != nil {
					t.Fatal(err)
				}
				until(t, tab, `typeof window.answer === "number"`)
				if got := evaluate[int](t, tab, `window.answer`); got != want {
					t.Errorf("%s: %d, want %d", which, got, want)
				}
			}
		})
	}
}

func TestManyWatchesShareOneWebSocket(t *testing.T) {
	t.Parallel()
	browser := webtest.Start(t)
	r, tab, task := script(t, browser, 900, `
		window.sockets = 0;
		window.WebSocket = class extends WebSocket { constructor(...all) { super(...all); sockets++; } };`, `
		window.ended = 0;
		for (let i = 0; i < 20; i++) watch(TASK, { token: TOKEN, onend: () => ended++ });
		const early = watch(TASK, { token: TOKEN, onend: () => ended++ });
		early.close();`)
	r.finish(task)

	until(t, tab, `window.ended === 20`)
	if n := evaluate[int](t, tab, `window.sockets`); n != 1 {
		t.Errorf("%d WebSockets", n)
	}
}

// TestElementCanBeHeard looks at what a screen reader is told.
func TestElementCanBeHeard(t *testing.T) {
	t.Parallel()
	browser := webtest.Start(t)
	r, tab, task := script(t, browser, 900, "", `
		const element = document.createElement("seri-progress");
		for (const [name, value] of Object.entries({ task: TASK, token: TOKEN, url: SERI, "aria-label": "Your report" })) element.setAttribute(name, value);
		window.said = [];
		new MutationObserver(() => said.push(element.shadowRoot.querySelector("[aria-live]").textContent))
			.observe(element.shadowRoot, { subtree: true, childList: true, characterData: true });
		element.addEventListener("seri-end", (event) => (window.ended = event.detail.state));
		document.body.append(element);`)
	r.progress(task, 1, 4)
	until(t, tab, elementShows("running", 25))
	r.progress(task, 2, 4)
	until(t, tab, elementShows("running", 50))

	if got := evaluate[string](t, tab, bar+`.getAttribute("aria-label") + " " + `+bar+`.getAttribute("aria-valuemin") + " " + `+bar+`.getAttribute("aria-valuemax")`); got != "Your report 0 100" {
		t.Errorf("the bar says %q", got)
	}
	r.tell(task, step{end: true, fail: seri.Permanent(errors.New("the printer is on fire"))})
	until(t, tab, `window.ended === "failed"`)

	said := evaluate[string](t, tab, `[...new Set(window.said)].join("; ")`)
	if want := "Your report: Queued; Your report: Running; Your report: Failed"; said != want && said != strings.TrimPrefix(want, "Your report: Queued; ") {
		t.Errorf("it said %q", said)
	}
	if shown := evaluate[string](t, tab, `document.querySelector("seri-progress").shadowRoot.querySelector("[part=message]").textContent`); shown != "the printer is on fire" {
		t.Errorf("it shows %q", shown)
	}
}

// TestElementTellsThatATaskIsTriedAgain has the first attempt fail, and revokes the task before the second.
func TestElementTellsThatATaskIsTriedAgain(t *testing.T) {
	t.Parallel()
	browser := webtest.Start(t)
	mux, origin := site(t)
	r := newRig(t, origin)
	var made struct{ ID, Token string }
	r.call("/v1/tasks?token_ttl=900", map[string]any{"type": "report.make", "payload": struct{}{}, "max_retries": 1}, &made)
	mux.Handle("GET /{$}", fill(t, "plain.html", r, made.ID, made.Token))
	tab := navigate(t, browser, origin)
	message := `document.querySelector("seri-progress").shadowRoot.querySelector("[part=message]").textContent`

	r.progress(made.ID, 1, 4)
	until(t, tab, elementShows("running", 25))
	r.tell(made.ID, step{end: true, fail: errors.New("the printer is out of paper")})
	until(t, tab, elementShows("retrying", 25))
	if shown := evaluate[string](t, tab, message); shown != "the printer is out of paper" {
		t.Errorf("it shows %q", shown)
	}
	shoot(t, tab, "retrying")
	r.ask(http.MethodDelete, "/v1/tasks/"+made.ID, nil, new(struct{}))

	until(t, tab, elementShows("failed", -1))
	if shown := evaluate[string](t, tab, `document.querySelector("seri-progress").shadowRoot.querySelector("[part=status]").textContent`); shown != "Revoked" {
		t.Errorf("it shows %q", shown)
	}
}

// TestWatchEndsWithATaskThatIsLost is about the event of a task of which only the ID was left: its number is 0.
func TestWatchEndsWithATaskThatIsLost(t *testing.T) {
	t.Parallel()
	browser := webtest.Start(t)
	r, tab, task := script(t, browser, 900, "", `
		watch(TASK, { token: TOKEN, onupdate: (task) => (window.state = task.state), onend: (task) => (window.ended = `+"`${task.state}, ${task.reason}`"+`) });`)
	r.progress(task, 1, 2)
	until(t, tab, `window.state === "active"`)

	err := r.redis.Client().XAdd(t.Context(), &redis.XAddArgs{
		Stream: keys.Queue("default").Events(),
		Values: []string{"e", fmt.Sprintf(`[{"kind":"failed","task":%q,"type":"","seq":0,"at":%d,"data":{"reason":"lost"}}]`, task, time.Now().UnixMilli())},
	}).Err()
	if err != nil {
		t.Fatal(err)
	}

	until(t, tab, `window.ended === "failed, lost"`)
}
