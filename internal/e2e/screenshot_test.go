package e2e_test

import (
	"context"
	"flag"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/web/webtest"
)

var screenshots = flag.String("screenshots", "", "write screenshots of the page, as a real process serves it, into this folder")

// TestScreenshots takes pictures of a dev process at work, for people to look at. docs/screenshot.png is the upper part of
// desktop.png.
func TestScreenshots(t *testing.T) {
	if *screenshots == "" {
		t.Skip("takes pictures only with -screenshots DIR")
	}
	browser := webtest.Start(t)
	_, site, _ := dev(t, t.TempDir(), "SERI_HTTP_ADDR=127.0.0.1:8080") // it is in the pictures
	atWork(t, site)

	for name, view := range map[string]struct {
		width, height int64
		scheme        string
		scroll        string
	}{
		"desktop":       {1280, 900, "light", "body"},
		"desktop-dark":  {1280, 900, "dark", "body"},
		"desktop-tasks": {1280, 900, "light", "#task-list > :nth-child(6)"},
		"phone":         {390, 844, "light", "body"},
		"phone-dark":    {390, 844, "dark", "#tasks"},
		"phone-tasks":   {390, 844, "light", "#task-list > :nth-child(6)"},
	} {
		t.Run(name, func(t *testing.T) {
			tab := browser.Tab(t)
			scheme := chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
				_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
					Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: view.scheme}},
				})
				return err
			})
			do(t, tab, chromedp.EmulateViewport(view.width, view.height), scheme, open(site),
				shows("#task-list > :nth-child(8)"),
				chromedp.Evaluate[chromedp.Void](`document.querySelector("`+view.scroll+`").scrollIntoView(); undefined`),
				webtest.Until(`[...document.images].filter(i => i.offsetParent && i.getBoundingClientRect().top < innerHeight).every(i => i.complete && i.naturalWidth > 0)`),
			)
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

// atWork brings tasks into most of the states that there are, the handsome ones last.
func atWork(t *testing.T, site endpoint) {
	t.Helper()
	watch := site.watch("")
	busy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "busy", http.StatusServiceUnavailable)
	}))
	t.Cleanup(busy.Close)
	source := newSource(t, 1)
	enqueue := func(typ string, payload map[string]any, more map[string]any) string {
		request := map[string]any{"type": typ, "payload": payload}
		maps.Copy(request, more)
		return site.post(request).ID
	}

	watch.untilSucceeded(enqueue("csv.profile", map[string]any{"source": site.url + "/samples/cities.csv", "top": 3}, nil))
	revoked := enqueue("http.request", map[string]any{"url": site.url + "/healthz"}, map[string]any{"countdown": 3600})
	site.call("DELETE", "/v1/tasks/"+revoked, nil)
	watch.untilKind(revoked, seri.EventRevoked)
	watch.untilKind(enqueue("image.thumbnail", map[string]any{"source": site.url + "/samples/cities.csv", "sizes": []int{64}}, nil), seri.EventFailed)
	watch.untilKind(enqueue("http.request", map[string]any{"url": busy.URL}, map[string]any{"owner": "user:42"}), seri.EventRetrying)
	watch.untilKind(enqueue("csv.profile", map[string]any{"source": site.url + "/samples/cities.csv"}, map[string]any{"countdown": 7200}), seri.EventScheduled)
	watch.untilSucceeded(enqueue("http.request", map[string]any{"url": site.url + "/healthz"}, nil))
	running := enqueue("csv.profile", map[string]any{"source": source.url}, map[string]any{"owner": "user:42"})
	watch.untilKind(running, seri.EventProgress)
	watch.untilSucceeded(enqueue("image.thumbnail", map[string]any{"source": site.url + "/samples/photo.jpeg", "sizes": []int{128, 64, 32}}, nil))
}
