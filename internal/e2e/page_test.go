package e2e_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/seri-queue/seri/internal/web/webtest"
)

type action = chromedp.Action[chromedp.Void]

// The first ten minutes of a newcomer, in a real browser against a real process.
func TestANewcomerEnqueuesAndWatchesEachTask(t *testing.T) {
	t.Parallel()
	browser := webtest.Start(t)
	_, site, _ := dev(t, t.TempDir())
	tab := browser.Tab(t)

	do(t, tab, chromedp.EmulateViewport(1280, 900), open(site),
		webtest.Until(`document.querySelector("#panel-image .sample img").naturalWidth > 0`),
		click("#panel-image .primary"), reaches("image.thumbnail", "succeeded"),
		webtest.Until(`(() => {
			const images = [...document.querySelectorAll(".thumbnails img")];
			return images.length >= 3 && images.every((image) => image.naturalWidth > 0 && image.checkVisibility());
		})()`),

		click("#tab-http"), click("#panel-http .primary"), reaches("http.request", "succeeded"),
		says(".response", "200"),
		says(".response ~ pre, .task-result pre", `"status"`),
	)

	// CSV by keyboard alone: from the tab of the HTTP form back to that of the table.
	do(t, tab, chromedp.Focus(chromedp.CSS("#tab-http")),
		press(kb.ArrowLeft), focusIs("#tab-csv"), says("#panel-csv .sample pre", "country"),
		press(kb.Tab), focusIs("#panel-csv .sample pre"), // it scrolls, so it can be reached
		press(kb.Tab), focusIs("#csv-source"), press(kb.Enter),
		reaches("csv.profile", "succeeded"), says("#task-list table", "country"),
	)

	// A task that waits is revoked.
	do(t, tab, click("#tab-http"), click("#panel-http .options summary"),
		chromedp.SendKeys(chromedp.CSS("#http-request-countdown"), "3600"), click("#panel-http .primary"),
		shows("[data-task][data-state=scheduled]"), click("[data-state=scheduled] .revoke"), shows("[data-task][data-state=revoked]"),
	)

	// One that takes its time, enqueued by somebody else.
	source := newSource(t, 1)
	row := fmt.Sprintf(`[data-task="%s"]`, site.profile(source.url).ID)
	do(t, tab, shows(row+`[data-state=active] [role=progressbar][aria-valuenow]`), says(row+" .progress-message", "rows"))
	source.finish()
	do(t, tab, shows(row+`[data-state=succeeded]`), says(row+" table", "somebody"))

	for _, width := range []int64{320, 390, 768} {
		do(t, tab, chromedp.EmulateViewport(width, 844))
		for _, form := range []string{"image", "csv", "http"} {
			do(t, tab, click("#tab-"+form))
			if wide := evaluate[int64](t, tab, `document.documentElement.scrollWidth`); wide > width {
				t.Errorf("at %d px with form %s the page is %d px wide", width, form, wide)
			}
		}
	}
}

// reaches waits until a task of the type is shown in the state.
func reaches(typ, state string) action {
	return webtest.Until(fmt.Sprintf(`[...document.querySelectorAll("[data-task][data-state=%s] .task-type")].some((e) => e.textContent === %q)`, state, typ))
}

func do(t *testing.T, tab context.Context, actions ...action) {
	t.Helper()
	limited, cancel := context.WithTimeout(tab, patience)
	defer cancel()
	if err := chromedp.Do(limited, actions...); err != nil {
		text, _ := chromedp.Run(tab, chromedp.Evaluate[string](`document.activeElement.outerHTML.slice(0, 300) + "\n" + document.querySelector("#tasks").innerText.slice(0, 2000)`))
		t.Fatalf("%v\nthe focus is on, and the tasks say:\n%s", err, text)
	}
}

func open(site endpoint) action {
	return chromedp.Steps(chromedp.Navigate(site.url), shows("#connection[data-status=live]"))
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
	return webtest.Until(fmt.Sprintf(`[...document.querySelectorAll(%q)].some((e) => e.textContent.includes(%q))`, selector, text))
}

func focusIs(selector string) action {
	return webtest.Until(fmt.Sprintf(`document.activeElement.matches(%q)`, selector))
}
