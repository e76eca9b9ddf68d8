// Package webtest drives a real Chromium in tests.
//
//	browser := webtest.Start(t) // skips without a browser; fails if CI is set
//	tab := browser.Tab(t)       // cookies and storage of its own
//	err := chromedp.Do(tab, chromedp.Navigate(url), webtest.Until(`document.title === "Done"`))
package webtest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// patience limits what one tab may take, so that a page that never gets there fails its test and not the whole run.
const patience = 2 * time.Minute

// Browser is a running Chromium. It is safe for concurrent use.
type Browser struct{ ctx context.Context }

// Start starts a headless Chromium that ends with the test. Without one on the PATH the test is skipped, or fails
// where the environment variable CI is set.
func Start(t testing.TB) *Browser {
	t.Helper()
	program, ok := find()
	if !ok {
		const message = "no Chromium or Chrome on the PATH: the page is NOT tested"
		if os.Getenv("CI") != "" {
			t.Fatal(message)
		}
		t.Skip(message)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(program),
		chromedp.NoSandbox, // containers run tests as root, where the sandbox cannot start
		chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
	)
	// Not t.Context(), which is cancelled before the cleanups run: the browser is to be closed, not killed.
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	t.Cleanup(func() { _ = chromedp.Cancel(ctx) }) // waits for the end; its error is of no interest to the test
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start %s: %v", program, err)
	}
	return &Browser{ctx}
}

func find() (program string, ok bool) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"} {
		if program, err := exec.LookPath(name); err == nil {
			return program, true
		}
	}
	return "", false
}

// Tab opens a tab that shares no cookies and no storage with the others, and closes it with the test.
// A script that throws, or a page that breaks its own content security policy, fails the test.
func (b *Browser) Tab(t testing.TB) context.Context {
	t.Helper()
	var faults faults
	ctx, cancel := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext(), chromedp.WithListener(faults.notice))
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil { // without the deadline, which would end with the tab
		t.Fatalf("open a tab: %v", err)
	}
	t.Cleanup(func() {
		for _, text := range faults.all() {
			t.Errorf("the page: %s", text)
		}
	})
	ctx, cancel = context.WithTimeout(ctx, patience)
	t.Cleanup(cancel)
	return ctx
}

// Until waits until the JavaScript expression is true. It stands in for [chromedp.Poll], which makes functions from
// text inside the page, as our content security policy forbids.
func Until(expression string) chromedp.Action[chromedp.Void] {
	wait := fmt.Sprintf(`new Promise((done) => {
		const look = () => { if (%s) done(true); else setTimeout(look, 20); };
		look();
	})`, expression)
	return func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := chromedp.Evaluate[bool](wait, chromedp.EvalAwaitPromise)(ctx, t)
		if err != nil {
			err = fmt.Errorf("wait until %s: %w", expression, err)
		}
		return chromedp.Void{}, err
	}
}

// faults collects what a page did wrong. Events arrive on chromedp's goroutine.
type faults struct {
	mu    sync.Mutex
	texts []string
}

func (f *faults) notice(event any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		text := e.ExceptionDetails.Text
		if e.ExceptionDetails.Exception != nil {
			text += " " + e.ExceptionDetails.Exception.Description
		}
		f.texts = append(f.texts, text)
	case *log.EventEntryAdded:
		// Answers such as 401 are logged as errors too; whether they are wrong is for the test to say.
		if e.Entry.Level == log.EntryLevelError && e.Entry.Source != log.EntrySourceNetwork {
			f.texts = append(f.texts, fmt.Sprintf("%s: %s (%s)", e.Entry.Source, e.Entry.Text, e.Entry.URL))
		}
	}
}

func (f *faults) all() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.texts
}
