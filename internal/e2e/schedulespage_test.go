package e2e_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/seri-queue/seri/internal/store"
	"github.com/seri-queue/seri/internal/web/webtest"
)

// timetable starts a process with schedules of several kinds, one of which comes from a file.
func timetable(t *testing.T, env ...string) endpoint {
	t.Helper()
	_, site, _ := dev(t, t.TempDir(), append(env, `SERI_SCHEDULES_TEXT=schedules: [{id: invoices, cron: "0 6 1 * *", timezone: Europe/Berlin, task: http.request, payload: {url: "http://127.0.0.1:1/"}, owner: "team:web"}]`)...)
	site.schedule("heartbeat", map[string]any{"every": "1s"})
	site.schedule("nightly-report", map[string]any{"cron": "30 2 * * *", "timezone": "Europe/Berlin", "overlap": "skip"})
	site.schedule("sunset-lights", map[string]any{"solar": map[string]any{"event": "sunset", "latitude": 52.52, "longitude": 13.405}, "jitter": "5m"})
	return site
}

// schedule makes a schedule that calls the api's own health.
func (e endpoint) schedule(id string, fields map[string]any) {
	e.t.Helper()
	body := map[string]any{"task": "http.request", "payload": map[string]any{"url": e.url + "/healthz"}}
	maps.Copy(body, fields)
	if status, answer := e.call("PUT", "/v1/schedules/"+id, body); status != 201 && status != 200 {
		e.t.Fatalf("PUT /v1/schedules/%s answers %d %s", id, status, answer)
	}
}

func openSchedules(site endpoint) action {
	return chromedp.Steps(chromedp.Navigate(site.url+"/schedules"), shows("#connection[data-status=live]"), shows("[data-schedule=nightly-report]"))
}

// The page of schedules, in a real browser against a real process with a beat and a worker.
func TestSchedulesAreSeenLiveAndChangedByHand(t *testing.T) {
	t.Parallel()
	browser := webtest.Start(t)
	site := timetable(t)
	tab := browser.Tab(t)
	row := func(id, rest string) string { return fmt.Sprintf("[data-schedule=%q]%s", id, rest) }

	do(t, tab, chromedp.EmulateViewport(1280, 900), openSchedules(site),
		says(row("nightly-report", " .schedule-spec"), "30 2 * * *"), says(row("nightly-report", " .task-facts"), "Europe/Berlin · runs http.request"),
		says(row("nightly-report", " .pill"), "has not ticked yet"), says(row("nightly-report", " .task-when"), "next in"),
		says(row("invoices", " .task-facts"), "from a file"),
		shows(row("heartbeat", "[data-state=succeeded]")), says(row("heartbeat", " .pill"), "last: succeeded"),
	)

	// What others do is seen without a reload.
	site.schedule("new-one", map[string]any{"every": "1h"})
	do(t, tab, shows(row("new-one", "")))
	site.schedule("new-one", map[string]any{"every": "2h"})
	do(t, tab, says(row("new-one", " .schedule-spec"), "every 2h"))
	site.call("DELETE", "/v1/schedules/new-one", nil)
	do(t, tab, webtest.Until(`!document.querySelector("[data-schedule=new-one]")`))

	// Pause and resume by keyboard alone; a note is text.
	const note = `<img src=x onerror="window.hacked=1">`
	do(t, tab, chromedp.Focus(chromedp.CSS(row("nightly-report", " .hold"))), press(kb.Enter), shows("#pause-dialog[open]"), focusIs("#pause-note"),
		press(kb.Escape), webtest.Until(`!document.querySelector("#pause-dialog[open]")`), focusIs(row("nightly-report", " .hold")),
		press(kb.Enter), focusIs("#pause-note"), press(note), press(kb.Enter),
		says(row("nightly-report", " .pill"), "paused: "+note), says(row("nightly-report", " .hold"), "Resume"), focusIs(row("nightly-report", " .hold")),
		press(kb.Enter), says(row("nightly-report", " .hold"), "Pause"), says(row("nightly-report", " .task-when"), "next in"),
		webtest.Until(`window.hacked === undefined`),
	)

	// Run now, also what comes from a file; the history moves on by itself.
	do(t, tab, click(row("nightly-report", " .more")), says(row("nightly-report", " .schedule-details"), "It has not ticked yet."),
		click(row("nightly-report", " .run")), says(row("nightly-report", " .task-notice"), "is enqueued"),
		says(row("nightly-report", " .pill"), "last: succeeded"),
		shows(row("nightly-report", " td .pill[data-state=succeeded]")), says(row("nightly-report", " table"), "by hand"),
		says(row("nightly-report", " .upcoming li:first-child"), "02:30:00 +0"),
		webtest.Until(`document.querySelectorAll("[data-schedule=nightly-report] .year .day").length === 365`),
		webtest.Until(`document.querySelectorAll("[data-schedule=nightly-report] .year .day.change").length === 2`),
		webtest.Until(`document.querySelectorAll("[data-schedule=nightly-report] .year .day.level-1").length === 365`),
		says(row("nightly-report", " .changes"), "the clock goes forward by 1 hour, 1 tick"),
		click(row("invoices", " .run")), says(row("invoices", " .task-notice"), "is enqueued"),
	)

	// What is not saved can be looked at.
	write := func(selector, text string) action {
		return chromedp.Steps(chromedp.Evaluate[chromedp.Void](`document.querySelector("`+selector+`").value = ""; undefined`), chromedp.SendKeys(chromedp.CSS(selector), text))
	}
	do(t, tab, write("#preview-zone", "America/New_York"), write("#preview-spec", "0 */6 * * mon-fri"),
		says("#preview-answer", "by the clock of America/New_York"), webtest.Until(`document.querySelectorAll("#preview-answer .upcoming li").length === 5`),
		webtest.Until(`document.querySelectorAll("#preview-answer .year .day.change").length === 2`),
		write("#preview-spec", "0 0 31 2 *"), says("#preview-fault", "never ticks"), shows("#preview-spec[aria-invalid=true]"),
		write("#preview-spec", "@every 90s"), says("#preview-answer", "No clock changes."), webtest.Until(`document.querySelector("#preview-fault").hidden`),
		write("#filter", "INVO"), webtest.Until(`document.querySelectorAll(".schedule:not([hidden])").length === 1`),
		write("#filter", "nothing of that name"), says("#empty", "No schedule contains that."), write("#filter", "e"),
	)

	for _, width := range []int64{320, 360, 390, 768, 1280} {
		do(t, tab, chromedp.EmulateViewport(width, 844))
		if wide := evaluate[int64](t, tab, `document.documentElement.scrollWidth`); wide > width {
			t.Errorf("at %d px the page is %d px wide, because of %s", width, wide, evaluate[string](t, tab,
				`[...document.querySelectorAll("body *")].filter((e) => e.getBoundingClientRect().right > innerWidth && !e.closest("pre, .scroll")).map((e) => e.tagName + "." + e.className).join(" ")`))
		}
		place := `((list, preview) => list.bottom <= preview.top ? "above" : list.left >= preview.right && list.top === preview.top ? "beside" : "elsewhere")(` +
			`document.querySelector("#schedules").getBoundingClientRect(), document.querySelector("#preview").closest("section").getBoundingClientRect())`
		want := "above"
		if width > 960 {
			want = "beside"
		}
		if got := evaluate[string](t, tab, place); got != want {
			t.Errorf("at %d px the list stands %s the preview, want %s", width, got, want)
		}
	}
}

func TestSchedulesAreShownAfterAKeyIsGiven(t *testing.T) {
	t.Parallel()
	browser := webtest.Start(t)
	s := newSite(t)
	s.schedule("behind-a-key", map[string]any{"every": "1h"})
	tab := browser.Tab(t)

	do(t, tab, chromedp.Navigate(s.url+"/schedules"), shows("#key-dialog[open]"), press(s.key), press(kb.Enter),
		shows("#connection[data-status=live]"), shows("[data-schedule=behind-a-key]"), says("#preview-answer", "Next, by the clock of"))
}

// What an older version has stored, and this one does not take, and what somebody has damaged.
func TestAScheduleAtFaultSaysWhyOnThePage(t *testing.T) {
	t.Parallel()
	browser := webtest.Start(t)
	s := newSite(t)
	s.schedule("sound", map[string]any{"every": "1h"})
	written, err := store.New(s.redis.Client(), store.Config{}).Plan(t.Context(), "default", store.Leader{}, []store.Plan{{
		Schedule: "old", Revision: "r1", Origin: store.OriginAPI, Definition: []byte(`{"id":"old","every":"90s","jitter":"2m","task":"t"}`), Next: time.Now(),
	}, {
		Schedule: "cut", Revision: "r1", Origin: store.OriginAPI, Definition: []byte(`{"id":`), Next: time.Now(),
	}})
	if err != nil || !written[0] || !written[1] {
		t.Fatal(written, err)
	}
	tab := browser.Tab(t)

	do(t, tab, chromedp.Navigate(s.url+"/schedules"), shows("#key-dialog[open]"), press(s.key), press(kb.Enter),
		shows("[data-schedule=sound][data-state=none]"), shows("[data-schedule=old][data-state=failed]"), shows("[data-schedule=cut][data-state=failed]"),
		says("[data-schedule=cut] .pill", "fault: unexpected end of JSON input"),
		says("[data-schedule=old] .pill", "fault: jitter is 2m0s, must be no longer than the interval of 1m30s"),
		says("[data-schedule=old] .task-when", "does not tick"), says("[data-schedule=old] .schedule-spec", "every 90s"),
		click("[data-schedule=old] .run"), says("[data-schedule=old] .task-notice", "on record is not usable"),
	)
}

// TestSchedulesScreenshots takes pictures of the page of schedules, for people to look at.
func TestSchedulesScreenshots(t *testing.T) {
	if *screenshots == "" {
		t.Skip("takes pictures only with -screenshots DIR")
	}
	browser := webtest.Start(t)
	site := timetable(t)
	site.call("POST", "/v1/schedules/invoices/pause", map[string]any{"note": "until the new template is there"})
	for name, view := range map[string]struct {
		width, height int64
		scheme        string
		prepare       action
	}{
		"schedules-desktop":       {1280, 900, "light", chromedp.Steps()},
		"schedules-desktop-dark":  {1280, 900, "dark", click("[data-schedule=nightly-report] .more")},
		"schedules-details":       {1280, 1000, "light", click("[data-schedule=nightly-report] .more")},
		"schedules-phone":         {390, 844, "light", chromedp.Steps()},
		"schedules-phone-list":    {390, 844, "light", chromedp.Evaluate[chromedp.Void](`document.querySelector("#schedules").scrollIntoView(); undefined`)},
		"schedules-phone-details": {360, 1200, "dark", chromedp.Steps(click("[data-schedule=heartbeat] .more"), says("[data-schedule=heartbeat]", "A year"), chromedp.Evaluate[chromedp.Void](`document.querySelector("#schedules").scrollIntoView(); undefined`))},
	} {
		t.Run(name, func(t *testing.T) {
			tab := browser.Tab(t)
			scheme := chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
				_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
					Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: view.scheme}},
				})
				return err
			})
			do(t, tab, chromedp.EmulateViewport(view.width, view.height), scheme, openSchedules(site), shows("#preview-answer .year"),
				shows("[data-schedule=heartbeat][data-state=succeeded]"), view.prepare, webtest.Until(`!document.querySelector("[aria-expanded=true]") || document.querySelector(".schedule-details .year")`))
			png, err := chromedp.Run(tab, chromedp.CaptureScreenshot())
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(*screenshots, name+".png"), png, 0o644); err != nil {
				t.Fatal(err)
			}
		})
	}
}
