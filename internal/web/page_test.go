package web_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/web/webtest"
	"github.com/seri-queue/seri/internal/wire"
)

type action = chromedp.Action[chromedp.Void]

// TestPage clicks and types through the page in a real browser, against a scripted server.
func TestPage(t *testing.T) {
	t.Parallel()
	browser := webtest.Start(t)

	for name, test := range map[string]func(*testing.T, *fake, context.Context){
		"enqueues and follows a task by keyboard alone":     keyboardAlone,
		"enqueues each of its samples as it stands":         samplesAsTheyStand,
		"proposes sizes that the sample can be shrunk to":   sizesThatFit,
		"shows what tasks say as text":                      hostileText,
		"resumes where it was when the stream is cut":       resumes,
		"reads a task again when an event is missing":       readsAgain,
		"asks for a key and keeps it in the tab":            asksForKey,
		"says at the field what the server refuses":         faultsAtFields,
		"says below the form what concerns no field":        faultsBelow,
		"revokes a task and keeps the focus near":           revokes,
		"shows the log of a task while it is written":       showsLog,
		"shows the newest 200 of many tasks and counts all": manyTasks,
		"fits the phone": fitsPhone,
		"shows what the tasks that come with Seri have to show": showsResults,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newFake(t), browser.Tab(t))
		})
	}
}

func keyboardAlone(t *testing.T, f *fake, tab context.Context) {
	do(t, tab, open(f),
		press(kb.Tab), focusIs("a.skip"),
		press(kb.Tab, kb.Tab, kb.Tab, kb.Tab), focusIs("#tab-image"),
		press(kb.ArrowRight), focusIs("#tab-csv"), shows("#panel-csv:not([hidden])"),
		press(kb.ArrowLeft), focusIs("#tab-image"),
		press(kb.Tab), focusIs("#image-source"),
		press(kb.Tab), focusIs("#image-sizes"),
		press(kb.End), press(", 80"),
		press(kb.Enter), shows(`[data-task=POSTED1][data-state=pending]`),
	)
	posted(t, f, `{"type":"image.thumbnail","payload":{"source":"`+f.URL+`/samples/photo.jpeg","sizes":[640,320,160,80]}}`)

	f.Emit("POSTED1", seri.EventStarted, seri.EventData{Attempt: 1})
	do(t, tab, shows(`[data-task=POSTED1][data-state=active]`))
	f.Emit("POSTED1", seri.EventProgress, seri.EventData{Progress: &seri.ProgressInfo{Done: 1, Total: 4, Message: "640 px written"}})
	do(t, tab, shows(`[data-task=POSTED1] [role=progressbar][aria-valuenow="1"][aria-valuemax="4"]`), says(".progress-message", "640 px written"), says(".progress-number", "25 %"))
	f.Emit("POSTED1", seri.EventProgress, seri.EventData{Progress: &seri.ProgressInfo{Done: 3, Total: 4, Message: "160 px written"}})
	do(t, tab, shows(`[data-task=POSTED1] [role=progressbar][aria-valuenow="3"]`))
	f.Emit("POSTED1", seri.EventSucceeded, seri.EventData{Attempt: 1, Result: []byte(`{"thumbnails":[{"path":"demo/80.jpeg","width":80,"height":53,"bytes":900}]}`)})
	do(t, tab,
		shows(`[data-task=POSTED1][data-state=succeeded] img[src="/files/demo/80.jpeg"]`),
		webtest.Until(`document.querySelector("#task-list img").naturalWidth === 80`),
		says("#announcer", "image.thumbnail POSTED1 succeeded."),
		// From the field on: format, options, submit, and the link to the new task.
		press(kb.Tab, kb.Tab, kb.Tab, kb.Tab), focusIs("#panel-image .outcome .link"),
		press(kb.Enter), focusIs("[data-task=POSTED1]"),
	)
}

func samplesAsTheyStand(t *testing.T, f *fake, tab context.Context) {
	do(t, tab, open(f),
		webtest.Until(`document.querySelector("#panel-image .sample img").naturalWidth === 1280`),
		click("#panel-image .primary"), shows("[data-task=POSTED1]"),
		click("#tab-csv"), says("#panel-csv .sample pre", "Tokyo,Japan,13960000,1457"),
		click("#panel-csv .primary"), shows("[data-task=POSTED2]"),
		click("#tab-http"), click("#panel-http .options summary"),
		chromedp.SendKeys(chromedp.CSS("#http-request-countdown"), "2.5"),
		chromedp.SendKeys(chromedp.CSS("#http-request-max_retries"), "0"),
		chromedp.SendKeys(chromedp.CSS("#http-request-owner"), "user:42"),
		chromedp.SendKeys(chromedp.CSS("#http-headers"), "Accept: text/plain"),
		click("#panel-http .curl summary"), says("#panel-http .curl code", `"countdown": 2.5`),
		click("#panel-http .primary"), shows("[data-task=POSTED3]"),
	)
	posted(t, f, `{"type":"image.thumbnail","payload":{"source":"`+f.URL+`/samples/photo.jpeg","sizes":[640,320,160]}}`,
		`{"type":"csv.profile","payload":{"source":"`+f.URL+`/samples/cities.csv"}}`,
		`{"type":"http.request","payload":{"url":"`+f.URL+`/healthz","method":"GET","headers":{"Accept":"text/plain"}},"countdown":2.5,"max_retries":0,"owner":"user:42"}`)
}

func showsLog(t *testing.T, f *fake, tab context.Context) {
	f.Add(seri.Info{ID: "t1", Type: "image.thumbnail", Queue: "default", State: seri.Active, Attempt: 1, StartedAt: time.Now(), Seq: 1})
	line := func(level, message string, attrs map[string]json.RawMessage) {
		f.Locked(func() {
			f.lines = append(f.lines, wire.LogLine{Time: time.Now(), Level: level, Message: message, Attempt: 2, Attrs: attrs})
		})
	}
	const log = `[data-task=t1] .task-log`
	do(t, tab, open(f), click("[data-task=t1] .more"), says("[data-task=t1] .log-notice", "The log cannot be read: CloudWatch does not answer."))
	line("INFO", "begun", map[string]json.RawMessage{"size": json.RawMessage("512"), "file": json.RawMessage(`"a.csv"`)})
	f.Emit("t1", seri.EventProgress, seri.EventData{Progress: &seri.ProgressInfo{Done: 1, Total: 2}})
	do(t, tab, says(log, "begun"), says(log, "file=a.csv size=512 attempt=2"), webtest.Until(`document.querySelector("[data-task=t1] .log-notice").hidden`))
	line("ERROR", hostile[0], nil) // is read although nothing tells of it: the task runs
	do(t, tab, says(log, "ERROR "+hostile[0]), webtest.Until(`window.hacked === undefined`))
	line("INFO", "more", nil)
	line("INFO", "the last", nil)
	f.Emit("t1", seri.EventSucceeded, seri.EventData{Attempt: 2})
	do(t, tab, says(log, "the last"), says(log, "There is more than is shown here."),
		click("[data-task=t1] .more"), webtest.Until(`document.querySelector("`+log+`").hidden`))
}

func sizesThatFit(t *testing.T, f *fake, tab context.Context) {
	f.photo = landscape(150, 103)
	do(t, tab, open(f), webtest.Until(`document.querySelector("#image-sizes").value === "128, 64, 32"`),
		click("#image-sizes"), press(kb.End, ", 300"), press(kb.Tab), // beyond the image, but the visitor's own choice
		chromedp.SendKeys(chromedp.CSS("#image-source"), "?again"), press(kb.Tab),
		webtest.Until(`document.querySelector("#panel-image img").src.endsWith("?again") && document.querySelector("#panel-image img").complete`),
		webtest.Until(`document.querySelector("#image-sizes").value === "128, 64, 32, 300"`))
}

// hostile is text that would run, load or break something if a page took it for more than text.
var hostile = []string{
	`<script>window.hacked = 1</script>`,
	`<img src=x onerror="window.hacked = 1">`,
	`"><svg/onload=window.hacked=1>`,
	`javascript:window.hacked=1`,
	`</pre></details><iframe srcdoc="<script>parent.hacked=1</script>">`,
	`{{constructor.constructor('window.hacked=1')()}}`,
	"\u202egnp.exe\u2066 <b>bidi</b>",
	`__proto__`,
}

func hostileText(t *testing.T, f *fake, tab context.Context) {
	for n, text := range hostile {
		quoted, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		fill := func(shape string) []byte { return []byte(strings.ReplaceAll(shape, "TEXT", string(quoted))) }
		for kind, info := range map[string]seri.Info{
			"active":   {State: seri.Active, Type: text, Progress: &seri.ProgressInfo{Done: 1, Total: 2, Message: text}},
			"failed":   {State: seri.Failed, Type: text, Error: text, Reason: seri.Reason(text), Payload: fill(`{"a":TEXT}`), Headers: map[string]string{text: text}},
			"json":     {State: seri.Succeeded, Type: text, Result: fill(`{TEXT:TEXT}`)},
			"images":   {State: seri.Succeeded, Type: "image.thumbnail", Result: fill(`{"thumbnails":[{"path":TEXT,"width":TEXT,"height":1,"bytes":TEXT},{"url":TEXT},{"path":"../../v1/tasks"}]}`)},
			"profile":  {State: seri.Succeeded, Type: "csv.profile", Result: fill(`{"rows":TEXT,"columns":[null,7,{"name":TEXT,"type":TEXT,"nulls":TEXT,"distinct":{"x":TEXT},"min":TEXT,"max":[TEXT],"mean":TEXT,"top":[TEXT,null,{"value":TEXT,"count":TEXT}]}]}`)},
			"response": {State: seri.Succeeded, Type: "http.request", Result: fill(`{"status":200,"headers":{"Content-Type":TEXT},"body":TEXT}`)},
		} {
			info.ID, info.Queue, info.Owner, info.Attempt = fmt.Sprintf("%s-%d-%s", kind, n, text), text, text, 1
			info.EnqueuedAt, info.StartedAt = time.Now(), time.Now()
			f.Add(info)
		}
	}
	do(t, tab, open(f),
		webtest.Until(fmt.Sprintf(`document.querySelectorAll("#task-list .task").length === %d`, 6*len(hostile))),
		chromedp.Evaluate[chromedp.Void](`document.querySelectorAll(".more").forEach((button) => button.click())`),
		webtest.Until(`[...document.querySelectorAll(".task-details")].every((list) => list.children.length > 0)`),
	)

	for what, expression := range map[string]string{
		"nothing has run":                    `window.hacked === undefined && Object.prototype.hacked === undefined`,
		"no element has come from text":      `document.querySelectorAll("main :is(script, iframe, object, embed, b:not(.caption b, .response b), [onerror], [onload])").length === 0`,
		"every link and image is of ours":    `[...document.querySelectorAll("#task-list [src], #task-list [href]:not(use)")].every((e) => (e.src ?? e.href).startsWith(location.origin + "/files/"))`,
		"no image leads out of /files/":      `![...document.images].some((i) => i.src.includes("/v1/"))`,
		"the texts can be read in the page":  fmt.Sprintf(`%s.every((text) => document.querySelector("#task-list").textContent.includes(text))`, quoteList(hostile)),
		"types and errors are read verbatim": fmt.Sprintf(`%s.every((text) => [...document.querySelectorAll(".task-type")].some((e) => e.textContent === text) && [...document.querySelectorAll(".task-error")].some((e) => e.textContent === text))`, quoteList(hostile)),
	} {
		if !evaluate[bool](t, tab, expression) {
			t.Errorf("it should hold that %s", what)
		}
	}
}

func resumes(t *testing.T, f *fake, tab context.Context) {
	f.Add(seri.Info{ID: "A", Type: "csv.profile", Queue: "default", State: seri.Pending, EnqueuedAt: time.Now(), Seq: 1})
	do(t, tab, open(f), shows("[data-task=A][data-state=pending]"))
	f.Emit("A", seri.EventStarted, seri.EventData{Attempt: 1})
	do(t, tab, shows("[data-task=A][data-state=active]"))

	f.Locked(func() { f.closed = true })
	f.Cut()
	do(t, tab, shows("#connection[data-status=reconnecting]"))
	f.Emit("A", seri.EventProgress, seri.EventData{Progress: &seri.ProgressInfo{Done: 1, Total: 2}})
	f.Emit("A", seri.EventSucceeded, seri.EventData{Attempt: 1, Result: []byte(`"done"`)})
	f.Locked(func() { f.closed = false })

	do(t, tab, shows("#connection[data-status=live]"), shows("[data-task=A][data-state=succeeded]"))
	f.Locked(func() {
		if f.resumed[0] != "" || slices.ContainsFunc(f.resumed[1:], func(id string) bool { return id != "1" }) {
			t.Errorf("streams were resumed after %q, want the first from nowhere and the others after 1", f.resumed)
		}
		if f.readings != 0 {
			t.Errorf("tasks were read %d times, want never: no event was lost", f.readings)
		}
	})
}

func readsAgain(t *testing.T, f *fake, tab context.Context) {
	f.Add(seri.Info{ID: "A", Type: "csv.profile", Queue: "default", State: seri.Pending, EnqueuedAt: time.Now(), Seq: 1})
	f.Add(seri.Info{ID: "B", Type: "report.render", Queue: "default", State: seri.Active, EnqueuedAt: time.Now(), Seq: 2, Result: []byte(`{"large":"result"}`)})
	do(t, tab, open(f), shows("[data-task=A][data-state=pending]"))

	f.Lose("A", seri.EventStarted, seri.EventData{Attempt: 1})
	f.Emit("A", seri.EventProgress, seri.EventData{Progress: &seri.ProgressInfo{Done: 1, Total: 2}})
	f.Emit("B", seri.EventSucceeded, seri.EventData{Attempt: 1, Truncated: true})

	do(t, tab,
		shows(`[data-task=A][data-state=active] [aria-valuenow="1"]`),
		says("[data-task=B] .task-result", `"large": "result"`))
	f.Locked(func() {
		if f.readings != 2 {
			t.Errorf("tasks were read %d times, want 2: once for the event lost, once for the result that did not travel", f.readings)
		}
	})
}

func asksForKey(t *testing.T, f *fake, tab context.Context) {
	f.Locked(func() { f.key = "right" })
	do(t, tab, chromedp.Navigate(f.URL), shows("#key-dialog[open]"), focusIs("#key-input"),
		press("wrong", kb.Enter), says("#key-why", "did not accept"), shows("#key-dialog[open]"),
		press(kb.Escape), shows("#connection[data-status=locked]"),
		click("#connection-retry"), shows("#key-dialog[open]"), click("#key-cancel"), shows("#connection[data-status=locked]"),
		click("#panel-image .primary"), shows("#key-dialog[open]"),
		press("right", kb.Enter), shows("[data-task=POSTED1]"), shows("#connection[data-status=live]"),
	)

	if got := evaluate[string](t, tab, `JSON.stringify([{...sessionStorage}, {...localStorage}, document.cookie, location.href])`); got != `[{"seri.api-key":"right"},{},"","`+f.URL+`/"]` {
		t.Errorf("what the tab keeps is %s, want the key in its session storage alone", got)
	}
}

func faultsAtFields(t *testing.T, f *fake, tab context.Context) {
	f.Locked(func() {
		f.refuse = &problem{Status: 422, Title: "Unprocessable", Detail: "validation failed", Errors: []fault{
			{"body.payload.sizes[1]", "must be at least 1"}, {"#/queue", "no such queue"},
		}}
	})
	do(t, tab, open(f),
		chromedp.SetValue(chromedp.CSS("#image-sizes"), "640, small"), click("#panel-image .primary"),
		says("#image-sizes-fault", "Give whole numbers"), focusIs("#image-sizes"), // said without asking the server
		chromedp.SetValue(chromedp.CSS("#image-sizes"), "640, 0"), click("#panel-image .primary"),
		says("#image-sizes-fault", "Must be at least 1."), focusIs("#image-sizes[aria-invalid=true]"),
		says("#image-thumbnail-queue-fault", "No such queue."), shows("#panel-image .options[open]"),
		press(kb.End, "40"), webtest.Until(`!document.querySelector("#image-sizes-fault")`),
		click("#panel-image .primary"), shows("[data-task=POSTED2]"),
	)
}

func faultsBelow(t *testing.T, f *fake, tab context.Context) {
	f.Locked(func() { f.refuse = &problem{Status: 409, Title: "Conflict", Detail: "an equal task exists"} })
	do(t, tab, open(f), click("#panel-image .primary"), says("#panel-image .problem", "An equal task exists."))
	f.Locked(func() {
		f.refuse = &problem{Status: 422, Detail: "validation failed", Errors: []fault{{"body.type", "no worker knows image.thumbnail"}}}
	})
	do(t, tab, click("#panel-image .primary"), says("#panel-image .problem", "No worker knows image.thumbnail"))
}

func revokes(t *testing.T, f *fake, tab context.Context) {
	f.Add(seri.Info{ID: "A", Type: "csv.profile", Queue: "mail/urgent", State: seri.Active, EnqueuedAt: time.Now(), Seq: 2})
	do(t, tab, open(f), chromedp.Focus(chromedp.CSS("[data-task=A] .revoke")), press(kb.Enter),
		shows("[data-task=A][data-state=revoked]"), focusIs("[data-task=A]"),
		webtest.Until(`!document.querySelector("[data-task=A] .revoke").checkVisibility()`))
}

func manyTasks(t *testing.T, f *fake, tab context.Context) {
	for n := range 1000 {
		state := seri.Pending
		if n%4 == 0 {
			state = seri.Failed
		}
		f.Add(seri.Info{ID: fmt.Sprintf("T%04d", n), Type: "t", Queue: "default", State: state, EnqueuedAt: time.Unix(int64(n), 0), Seq: 1})
	}
	rows := func(n int) action {
		return webtest.Until(fmt.Sprintf(`document.querySelectorAll("#task-list .task").length === %d`, n))
	}
	do(t, tab, open(f), rows(200), says("#more-note", "newest 200 of 1,000 tasks"), shows(`[data-task=T0999]:first-child`),
		says(".chip[data-state=failed]", "250"), says(".chip[data-state=pending]", "750"),
		click(".chip[data-state=failed]"), says("#more-note", "newest 200 of 250 tasks"), shows(`[data-task=T0996]:first-child`),
		click(".chip[data-state=active]"), rows(0), says("#empty", "No task is active now."))

	f.Emit("T0001", seri.EventStarted, seri.EventData{Attempt: 1})
	do(t, tab, rows(1), shows("[data-task=T0001]"), says(".chip[data-state=active]", "1"))
	for n := range 300 {
		f.Emit(fmt.Sprintf("T%04d", 1+4*(n%200)), seri.EventProgress, seri.EventData{Progress: &seri.ProgressInfo{Done: int64(n), Total: 300}})
	}
	do(t, tab, says(".chip[data-state=active]", "200"), rows(200))
}

func fitsPhone(t *testing.T, f *fake, tab context.Context) {
	everyState(f)
	long := strings.Repeat("supercalifragilistic", 12)
	f.Add(seri.Info{ID: long, Type: long, Queue: long, Owner: long, State: seri.Failed, Error: long, Reason: seri.Reason(long), Attempt: 3, EnqueuedAt: time.Now()})
	f.Add(seri.Info{ID: "wide", Type: "t", Queue: "default", State: seri.Succeeded, Result: []byte(`{"a":"` + long + `"}`), EnqueuedAt: time.Now()})
	const id = "R4ZFQ2M5KXW7TJ3NB6VYAH2CLE" // as long as those that Seri makes
	f.Add(seri.Info{ID: id, Type: "image.thumbnail", Queue: "default", Owner: "user:42", State: seri.Pending, EnqueuedAt: time.Now()})
	for _, width := range []int64{320, 360, 375, 390, 768, 1024, 1280} {
		do(t, tab, chromedp.EmulateViewport(width, 844), open(f), shows("[data-task=wide]"), shows("[data-task="+id+"] .revoke"))
		for what, whole := range map[string]string{
			"the ID is cut":     `(() => { const e = document.querySelector("[data-task=` + id + `] code"); return e.textContent === "` + id + `" && e.scrollWidth <= e.clientWidth })()`,
			"Revoke is cut":     `(() => { const e = document.querySelector("[data-task=` + id + `] .revoke"); return e.scrollWidth <= e.clientWidth && e.getBoundingClientRect().width >= 60 })()`,
			"the result is cut": `[...document.querySelectorAll(".scroll")].every((e) => e.scrollWidth <= e.clientWidth)`,
		} {
			if !evaluate[bool](t, tab, whole) {
				t.Errorf("at %d px %s", width, what)
			}
		}
		for _, form := range []string{"image", "csv", "http"} {
			do(t, tab, click("#tab-"+form), click("#panel-"+form+" .options summary"), click("#panel-"+form+" .curl summary"))
			if wide := evaluate[int64](t, tab, `document.documentElement.scrollWidth`); wide > width {
				t.Errorf("at %d px with form %s the page is %d px wide, because of %s", width, form, wide, evaluate[string](t, tab,
					`[...document.querySelectorAll("body *")].filter((e) => e.getBoundingClientRect().right > innerWidth && !e.closest("pre, .scroll, .sample")).map((e) => e.tagName + "." + e.className).join(" ")`))
			}
		}
	}
}

func showsResults(t *testing.T, f *fake, tab context.Context) {
	everyState(f)
	do(t, tab, open(f), shows(`[data-task=K7QX2MBW04]`),
		says("#task-list", "Profile: 1,204 rows, 3 columns"),
		says("#task-list table", "37,400,068"),
		says("#task-list table", "San José×4"),
		says("[data-task=K7QX2MBW04] .response", "200 application/json"),
		says("[data-task=K7QX2MBW04] pre", `{"status":"ok"}`),
		says("[data-task=M5WYQ2LK07] .pill", "failed: permanent error"),
		says("[data-task=V3HN8CDE06] .task-facts", "attempt 3"),
		webtest.Until(`document.querySelectorAll("[data-task=M5WYQ2LK03] .thumbnails img").length === 3`),
	)
}

func do(t *testing.T, tab context.Context, actions ...action) {
	t.Helper()
	if err := chromedp.Do(tab, actions...); err != nil {
		text, _ := chromedp.Run(tab, chromedp.Evaluate[string](`document.activeElement.outerHTML.slice(0, 300) + "\n" + document.querySelector("#tasks").innerText.slice(0, 2000)`))
		t.Fatalf("%v\nthe focus is on, and the tasks say:\n%s", err, text)
	}
}

func open(f *fake) action {
	return chromedp.Steps(chromedp.Navigate(f.URL), shows("#connection[data-status=live]"))
}

func evaluate[T any](t *testing.T, tab context.Context, expression string) T {
	t.Helper()
	value, err := chromedp.Run(tab, chromedp.Evaluate[T](expression))
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func click(selector string) action { return chromedp.Click(chromedp.CSS(selector)) }

func press(keys ...string) action { return chromedp.KeyEvent(strings.Join(keys, "")) }

func shows(selector string) action {
	return webtest.Until(fmt.Sprintf(`document.querySelector(%q)`, selector))
}

func says(selector, text string) action {
	return webtest.Until(fmt.Sprintf(`document.querySelector(%q)?.textContent.includes(%q)`, selector, text))
}

func focusIs(selector string) action {
	return webtest.Until(fmt.Sprintf(`document.activeElement.matches(%q)`, selector))
}

func posted(t *testing.T, f *fake, bodies ...string) {
	t.Helper()
	f.Locked(func() {
		if !slices.Equal(f.bodies, bodies) {
			t.Errorf("posted:\n%s\nwant:\n%s", strings.Join(f.bodies, "\n"), strings.Join(bodies, "\n"))
		}
	})
}

func quoteList(texts []string) string {
	encoded, err := json.Marshal(texts)
	if err != nil {
		panic(err)
	}
	return string(encoded)
}
