package run_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seri-queue/seri/internal/run"
)

var (
	errBroken = errors.New("broken")
	errFlush  = errors.New("flush")
	errTerm   = errors.New("SIGTERM")
)

// diary records what happens in which order.
type diary struct {
	mu      sync.Mutex
	entries []string
}

func (d *diary) write(entry string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.entries = append(d.entries, entry)
}

func (d *diary) read() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.entries)
}

// part lives until it is asked to end, takes its time to do so, and returns err.
func (d *diary) part(name string, takes time.Duration, err error) run.Part {
	return run.Part{Name: name, Run: func(ctx context.Context) error {
		d.write(name + " runs")
		<-ctx.Done()
		d.write(name + " stops")
		time.Sleep(takes) // the bubble's clock
		d.write(name + " gone")
		return err
	}}
}

func after(d time.Duration, err error) run.Part {
	return run.Part{Name: "short", Run: func(context.Context) error {
		time.Sleep(d)
		return err
	}}
}

func TestStackStopsFromTheTopEachAfterAllAbove(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var d diary
		begin := time.Now()
		time.AfterFunc(time.Minute, cancel)
		err := run.Stack(ctx,
			d.part("heartbeat", time.Second, nil),
			d.part("completer", 2*time.Second, nil),
			d.part("slots", 25*time.Second, nil),
		)
		if err != nil {
			t.Errorf("error %v, want none: it was asked to end", err)
		}
		got := d.read()
		slices.Sort(got[:3]) // goroutines enter Run in any order
		want := []string{
			"completer runs", "heartbeat runs", "slots runs",
			"slots stops", "slots gone", "completer stops", "completer gone", "heartbeat stops", "heartbeat gone",
		}
		if !slices.Equal(got, want) {
			t.Errorf("got  %q\nwant %q", got, want)
		}
		if took := time.Since(begin); took != 88*time.Second {
			t.Errorf("took %v, want the minute and 28s to stop", took)
		}
	})
}

func TestStackReturns(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		parts []run.Part
		want  []error // each must be in the chain
		text  string  // exactly
	}{
		"nothing, if every part returns the end of its context": {
			parts: []run.Part{
				{Name: "err", Run: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }},
				{Name: "cause", Run: func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) }},
			},
		},
		"nothing without parts": {},
		"the first error under the name of its part": {
			parts: []run.Part{new(diary).part("other", 0, nil), after(time.Second, errBroken), new(diary).part("above", 0, nil)},
			want:  []error{errBroken},
			text:  "short: broken",
		},
		"an error for a part that ends unasked": {
			parts: []run.Part{after(time.Second, nil), new(diary).part("above", 0, nil)},
			want:  []error{run.ErrEnded},
			text:  "short: ended without having been asked to",
		},
		"an error of context.Canceled that nobody asked for": {
			parts: []run.Part{after(time.Second, context.Canceled)},
			want:  []error{context.Canceled},
			text:  "short: context canceled",
		},
		"errors of the stop after the one that caused it": {
			parts: []run.Part{new(diary).part("completer", 0, errFlush), after(time.Second, errBroken)},
			want:  []error{errBroken, errFlush},
			text:  "short: broken\ncompleter: flush",
		},
		"errors of the stop alone": {
			parts: []run.Part{new(diary).part("completer", 0, errFlush)},
			want:  []error{errFlush},
			text:  "completer: flush",
		},
		"an error for a goroutine that was ended": {
			parts: []run.Part{{Name: "test", Run: func(context.Context) error { runtime.Goexit(); return nil }}},
			text:  "test: its goroutine was ended",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				err := run.Stack(ctx, c.parts...)
				for _, want := range c.want {
					if !errors.Is(err, want) {
						t.Errorf("error %v does not wrap %v", err, want)
					}
				}
				if text := errorText(err); text != c.text {
					t.Errorf("error %q, want %q", text, c.text)
				}
			})
		})
	}
}

func TestPartsSeeValuesAndCauseButNoDeadline(t *testing.T) {
	t.Parallel()
	type key struct{}
	synctest.Test(t, func(t *testing.T) {
		ctx := context.WithValue(t.Context(), key{}, "value")
		ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, errTerm)
		defer cancel()
		err := run.Stack(ctx, run.Part{Name: "part", Run: func(ctx context.Context) error {
			if _, has := ctx.Deadline(); has || ctx.Value(key{}) != "value" {
				t.Errorf("deadline %v, value %v", has, ctx.Value(key{}))
			}
			<-ctx.Done()
			if cause := context.Cause(ctx); cause != errTerm {
				t.Errorf("cause %v, want %v", cause, errTerm)
			}
			return nil
		}})
		if err != nil {
			t.Error(err)
		}
	})
}

func TestStackStartsNothingIfItsContextHasEnded(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := run.Stack(ctx, run.Part{Name: "part", Run: func(context.Context) error {
		t.Error("the part was started")
		return nil
	}})
	if err != nil {
		t.Error(err)
	}
}

// The test runs its own binary as the process that the panic ends.
func TestPanicOfAPartEndsTheProcess(t *testing.T) {
	t.Parallel()
	if os.Getenv("SERI_RUN_PANICS") != "" {
		err := run.Stack(t.Context(), run.Part{Name: "part", Run: func(context.Context) error { panic("boom") }})
		t.Logf("survived: %v", err)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestPanicOfAPartEndsTheProcess$", "-test.v")
	cmd.Env = append(os.Environ(), "SERI_RUN_PANICS=1")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "panic: boom") {
		t.Errorf("err %v, output:\n%s", err, out)
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
