package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/cli"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/worker"
)

// hostile is what a task might say to take over a terminal.
const hostile = "\x1b]0;owned\x07\x1b[2J \u009b31m \u202eevil"

// site is an api and a worker on a Redis of their own.
type site struct {
	t       *testing.T
	url     string
	rdb     redis.UniversalClient
	release chan struct{} // a value lets one task of type "gate" go on
}

// newSite runs both until the test ends.
func newSite(t *testing.T) *site {
	t.Helper()
	return newSiteOn(t, redistest.New(t), worker.Config{})
}

// newSiteOn is newSite on a given Redis, with a worker that is configured so.
func newSiteOn(t *testing.T, rdb redis.UniversalClient, config worker.Config, api ...string) *site {
	t.Helper()
	s := &site{t: t, rdb: rdb, release: make(chan struct{})}
	s.serve(api...)
	config.Grace, config.Logger = time.Second, slog.New(slog.DiscardHandler)
	w, err := worker.New(s.rdb, s.handlers(), config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	var parts sync.WaitGroup
	parts.Go(func() {
		if err := w.Run(ctx); err != nil && ctx.Err() == nil {
			t.Errorf("worker: %v", err)
		}
	})
	t.Cleanup(parts.Wait)
	t.Cleanup(stop)
	s.until("published", "inspect") // the worker's types
	return s
}

// serve runs `seri api` on a free port, with more flags if given.
func (s *site) serve(flags ...string) {
	s.t.Helper()
	log := &addressLog{found: make(chan string, 1)}
	ctx, stop := context.WithCancel(context.WithoutCancel(s.t.Context()))
	done := make(chan int, 1)
	go func() {
		args := []string{"api", "--insecure-dev", "--http-addr=127.0.0.1:0", "--http-grace=1s", "--redis-url", redistest.URL(s.rdb)}
		done <- cli.Main(ctx, append(args, flags...),
			cli.Streams{In: strings.NewReader(""), Out: &log.out, Err: log})
	}()
	s.t.Cleanup(func() {
		stop()
		if code := <-done; code != 0 && code != 130 {
			s.t.Errorf("seri api ended with %d", code)
		}
	})
	select {
	case addr := <-log.found:
		s.url = "http://" + addr
	case code := <-done:
		done <- code
		s.t.Fatalf("seri api ended with %d: %s", code, log.text())
	}
}

func (s *site) handlers() []seri.Handler {
	type args struct {
		Text string `json:"text,omitempty"`
		N    int    `json:"n,omitempty"`
	}
	echo := seri.NewTask[args, args]("published.echo")
	fail := seri.NewTask[args, args]("published.fail")
	gate := seri.NewTask[args, args]("published.gate")
	return []seri.Handler{
		echo.HandledBy(func(_ context.Context, a args) (args, error) { return a, nil }),
		fail.HandledBy(func(_ context.Context, a args) (args, error) { return a, seri.Permanent(errorText(a.Text)) }),
		gate.HandledBy(func(ctx context.Context, a args) (args, error) {
			seri.Progress(ctx, 1, 2, "half "+a.Text)
			select {
			case <-s.release:
				return a, nil
			case <-ctx.Done():
				return a, context.Cause(ctx)
			}
		}),
	}
}

type errorText string

func (e errorText) Error() string { return string(e) }

// result is what a command has left behind.
type result struct {
	code     int
	out, err string
}

// run runs a command against the site.
func (s *site) run(args ...string) result { return s.runIn(s.t.Context(), "", args...) }

func (s *site) runIn(ctx context.Context, in string, args ...string) result {
	s.t.Helper()
	var out, errs safeBuffer
	code := cli.Main(ctx, append(args, "--api-url", s.url), cli.Streams{In: strings.NewReader(in), Out: &out, Err: &errs})
	return result{code, out.String(), errs.String()}
}

// must is run for a command that has to succeed; it returns its output.
func (s *site) must(args ...string) string {
	s.t.Helper()
	r := s.run(args...)
	if r.code != 0 {
		s.t.Fatalf("seri %q ends with %d: %s%s", args, r.code, r.out, r.err)
	}
	return r.out
}

// until repeats a command until its output holds text: what it waits for is announced by nobody.
func (s *site) until(text string, args ...string) string {
	s.t.Helper()
	return s.untilMatch(regexp.QuoteMeta(text), args...)
}

// untilMatch is until for a regular expression.
func (s *site) untilMatch(pattern string, args ...string) string {
	s.t.Helper()
	wanted := regexp.MustCompile(pattern)
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	late := time.After(20 * time.Second)
	for {
		out := s.must(args...)
		if wanted.MatchString(out) {
			return out
		}
		select {
		case <-again.C:
		case <-late:
			s.t.Fatalf("seri %q never shows %q: %s", args, pattern, out)
		}
	}
}

// safeBuffer is a buffer for several goroutines, which tells when it first holds what is waited for.
type safeBuffer struct {
	mu      sync.Mutex
	buffer  bytes.Buffer
	awaited string
	seen    chan struct{}
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n, err := b.buffer.Write(p)
	if b.awaited != "" && strings.Contains(b.buffer.String(), b.awaited) {
		close(b.seen)
		b.awaited = ""
	}
	return n, err
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}

// await returns when the buffer holds what is awaited.
func (b *safeBuffer) await(t *testing.T) {
	t.Helper()
	select {
	case <-b.seen:
	case <-time.After(20 * time.Second):
		t.Fatalf("never printed: %q; but %q", b.awaited, b)
	}
}

// addressLog finds in the log of an api where it listens.
type addressLog struct {
	out   safeBuffer
	all   safeBuffer
	found chan string
}

func (l *addressLog) Write(p []byte) (int, error) {
	var line struct{ Msg, Addr string }
	if json.Unmarshal(p, &line) == nil && line.Msg == "api started" {
		l.found <- line.Addr
	}
	return l.all.Write(p)
}

func (l *addressLog) text() string { return l.all.String() }
