package web_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/web/webtest"
)

var screenshots = flag.String("screenshots", "", "write screenshots of the page into this folder")

// TestScreenshots takes pictures of the page for people to look at: go test ./internal/web -run Screenshots -screenshots DIR
func TestScreenshots(t *testing.T) {
	if *screenshots == "" {
		t.Skip("takes pictures only with -screenshots DIR")
	}
	full, empty, locked := newFake(t), newFake(t), newFake(t)
	everyState(full)
	empty.photo = landscape(150, 103)
	locked.key = "secret"
	browser := webtest.Start(t)

	for name, view := range map[string]struct {
		server        *fake
		width, height int64
		scheme        string
		prepare       action
	}{
		"desktop-light": {full, 1280, 900, "light", chromedp.Steps()},
		"desktop-dark":  {full, 1280, 900, "dark", chromedp.Steps()},
		"wide-csv":      {full, 1760, 1000, "light", chromedp.Steps(click("#tab-csv"), click("#panel-csv .curl summary"))},
		"csv-result":    {full, 1100, 800, "light", chromedp.Evaluate[chromedp.Void](`document.querySelector("#task-list table").scrollIntoView({block: "center"})`)},
		"phone-csv":     {full, 375, 812, "light", chromedp.Evaluate[chromedp.Void](`document.querySelector("#task-list table").scrollIntoView({block: "center"})`)},
		"phone-list":    {full, 375, 812, "light", chromedp.Evaluate[chromedp.Void](`document.querySelector("#tasks").scrollIntoView()`)},
		"empty":         {empty, 1280, 800, "light", chromedp.Steps()},
		"empty-dark":    {empty, 390, 1400, "dark", chromedp.Steps()},
		"locked":        {locked, 1280, 800, "light", chromedp.Steps()},
		"phone-light":   {full, 375, 812, "light", chromedp.Steps()},
		"phone-dark":    {full, 390, 844, "dark", chromedp.Evaluate[chromedp.Void](`document.querySelector("#tasks").scrollIntoView()`)},
		"phone-narrow":  {full, 360, 640, "light", chromedp.Evaluate[chromedp.Void](`document.querySelector("#task-list").lastElementChild.scrollIntoView({block: "end"})`)},
		"http-options":  {full, 1280, 900, "light", chromedp.Steps(click("#tab-http"), click("#panel-http .options summary"))},
		"fault": {full, 1280, 900, "dark", chromedp.Steps(
			chromedp.SetValue(chromedp.CSS("#image-sizes"), "large"), click("#panel-image .primary"), webtest.Until(`document.querySelector("#panel-image .fault")`),
		)},
		"failed": {full, 1280, 700, "light", chromedp.Steps(click(".chip[data-state=failed]"), click("#task-list .more"))},
	} {
		t.Run(name, func(t *testing.T) {
			tab := browser.Tab(t)
			err := chromedp.Do(tab,
				chromedp.EmulateViewport(view.width, view.height),
				colorScheme(view.scheme),
				chromedp.Navigate(view.server.URL),
				webtest.Until(`document.querySelector("#task-list .task, #empty:not([hidden]), dialog[open]")`),
				webtest.Until(`[...document.images].filter(i => i.offsetParent && i.getBoundingClientRect().top < innerHeight).every(i => i.complete)`),
				view.prepare,
			)
			if err != nil {
				t.Fatal(err)
			}
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

func colorScheme(scheme string) action {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		return err
	})
}

// everyState fills f with one or more tasks in each state.
func everyState(f *fake) {
	now := time.Now()
	n := 0
	add := func(info seri.Info) {
		n++
		info.ID = fmt.Sprintf("%s%02d", []string{"K7QX2MBW", "TR4ZJ9PA", "V3HN8CDE", "M5WYQ2LK"}[n%4], n)
		info.Queue = "default"
		info.MaxRetries = seri.DefaultMaxRetries
		info.EnqueuedAt = now.Add(-time.Duration(n*n) * 4 * time.Second)
		if info.State != seri.Scheduled && info.State != seri.Pending {
			info.StartedAt = info.EnqueuedAt.Add(40 * time.Millisecond)
			info.Attempt = max(info.Attempt, 1)
		}
		if info.State.Terminal() {
			info.FinishedAt = info.StartedAt.Add(time.Duration(n*n*87) * time.Millisecond)
		}
		f.Add(info)
	}
	add(seri.Info{Type: "image.thumbnail", State: seri.Pending})
	add(seri.Info{Type: "csv.profile", State: seri.Active, Progress: &seri.ProgressInfo{Done: 34_200_000, Total: 52_000_000, Message: "34 of 52 MB read"}, Owner: "user:42"})
	add(seri.Info{Type: "image.thumbnail", State: seri.Succeeded, Result: []byte(`{"thumbnails":[
		{"path":"demo/640.jpeg","width":640,"height":427,"bytes":48211},
		{"path":"demo/320.jpeg","width":320,"height":213,"bytes":14802},
		{"path":"demo/160.jpeg","width":160,"height":107,"bytes":5120}]}`)})
	add(seri.Info{Type: "http.request", State: seri.Succeeded, Result: []byte(`{"status":200,"headers":{"Content-Type":"application/json"},"body":"{\"status\":\"ok\"}"}`)})
	add(seri.Info{Type: "csv.profile", State: seri.Succeeded, Result: []byte(`{"rows":1204,"columns":[
		{"name":"city","type":"string","nulls":0,"distinct":1190,"min":"Aachen","max":"Zürich","top":[{"value":"San José","count":4},{"value":"Valencia","count":3}]},
		{"name":"country","type":"string","nulls":2,"distinct":128,"min":"Albania","max":"Zimbabwe","top":[{"value":"India","count":104},{"value":"China","count":98}]},
		{"name":"population","type":"integer","nulls":31,"distinct":1150,"min":"10231","max":"37400068","mean":812345.5,"top":[{"value":"120000","count":5}]}]}`)})
	add(seri.Info{Type: "http.request", State: seri.Retrying, Attempt: 3, Error: "call https://api.example.org/hook: 503 Service Unavailable", DueAt: now.Add(95 * time.Second)})
	add(seri.Info{Type: "image.thumbnail", State: seri.Failed, Reason: seri.ReasonPermanent, Error: "decode image: the image has 412 megapixels, the limit is 100", Payload: []byte(`{"source":"https://example.org/huge.png","sizes":[640]}`)})
	add(seri.Info{Type: "csv.profile", State: seri.Scheduled, DueAt: now.Add(2 * time.Hour)})
	add(seri.Info{Type: "report.render", State: seri.Revoked, Reason: seri.ReasonRevoked})
	add(seri.Info{Type: "report.render", State: seri.Succeeded, Result: []byte(`{"pages":12,"url":"s3://reports/2026/11.pdf","warnings":[]}`)})
}
