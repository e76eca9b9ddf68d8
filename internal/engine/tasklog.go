package engine

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/meter"
	"github.com/seri-queue/seri/internal/pause"
	"github.com/seri-queue/seri/internal/store"
	"github.com/seri-queue/seri/internal/wire"
)

// The bounds of tasks' own logs in a worker. Handlers never wait; what goes beyond is dropped, counted, and told in the log.
const (
	logEvery   = 200 * time.Millisecond // between two writes: a chatty handler shares a call with itself and others
	logTimeout = 5 * time.Second        // of one call
	logLast    = 2 * time.Second        // for what is left at the end
	maxLogLine = 16 << 10               // bytes of one line
	maxLogCall = 512 << 10              // bytes of one call, roughly
	maxPending = 8 << 20                // bytes of all attempts that are not written yet
)

// bookkeeper is what the logs of tasks need of the store.
type bookkeeper interface {
	Log(ctx context.Context, q keys.Queue, written []store.Written, most int) ([]error, error)
}

// taskLogs writes what attempts log to their tasks' own logs or, where the worker's log is in CloudWatch anyway, the place of
// it: once for each attempt that logs anything.
type taskLogs struct {
	store  bookkeeper
	most   int // bytes of a task's log; 0: none is kept
	place  *wire.LogPlace
	meters *meter.Worker
	logger *slog.Logger
	wake   chan struct{}

	mu      sync.Mutex
	pending []*attempt // with lines that are not written yet
	bytes   int        // of them
}

// page is what an attempt has logged and is not written yet. It belongs to the taskLogs, under their lock.
type page struct {
	lines   []byte
	dropped int
	placed  bool // the place of the log is written, or about to be
}

func newTaskLogs(s bookkeeper, most int, place *wire.LogPlace, meters *meter.Worker, logger *slog.Logger) *taskLogs {
	return &taskLogs{store: s, most: most, place: place, meters: meters, logger: logger, wake: make(chan struct{}, 1)}
}

// of returns the logger of an attempt, made when the handler asks for it first: most never do.
func (t *taskLogs) of(a *attempt) *slog.Logger {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.log == nil {
		a.log = t.logger.With(a.about()...)
		switch {
		case t.place != nil:
			a.log = slog.New(both{a.log.Handler(), placing{t, a}})
		case t.most > 0:
			lines := slog.NewJSONHandler(pageWriter{t, a}, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: readable})
			own := lines.WithAttrs([]slog.Attr{slog.Int("attempt", a.lease.Attempt()), slog.Uint64("token", a.lease.Token)})
			a.log = slog.New(both{a.log.Handler(), own})
		}
	}
	return a.log
}

// readable writes durations as the worker's own log does.
func readable(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}

// both hands records to the worker's log and to the task's. The task's takes what the worker's would not from the level of
// information on: who looks at one task wants to know.
type both struct{ worker, task slog.Handler }

func (b both) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelInfo || b.worker.Enabled(ctx, level)
}

func (b both) Handle(ctx context.Context, r slog.Record) error {
	_ = b.task.Handle(ctx, r.Clone()) // into memory
	if !b.worker.Enabled(ctx, r.Level) {
		return nil
	}
	return b.worker.Handle(ctx, r)
}

func (b both) WithAttrs(attrs []slog.Attr) slog.Handler {
	return both{b.worker.WithAttrs(attrs), b.task.WithAttrs(attrs)}
}

func (b both) WithGroup(name string) slog.Handler {
	return both{b.worker.WithGroup(name), b.task.WithGroup(name)}
}

// placing notes that an attempt has logged something: where is known.
type placing struct {
	logs *taskLogs
	of   *attempt
}

func (p placing) Enabled(context.Context, slog.Level) bool { return true }

func (p placing) Handle(context.Context, slog.Record) error {
	p.logs.add(p.of, nil)
	return nil
}

func (p placing) WithAttrs([]slog.Attr) slog.Handler { return p }
func (p placing) WithGroup(string) slog.Handler      { return p }

// pageWriter takes the lines of an attempt.
type pageWriter struct {
	logs *taskLogs
	of   *attempt
}

// Write implements [io.Writer]. It waits for nobody.
func (w pageWriter) Write(line []byte) (int, error) {
	w.logs.add(w.of, line)
	return len(line), nil
}

func (t *taskLogs) add(a *attempt, line []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := &a.page
	if t.place != nil {
		if p.placed {
			return
		}
		p.placed = true
		place := *t.place
		place.From = time.Now()
		line = place.Encode(a.lease.Token)
	}
	first := len(p.lines) == 0 && p.dropped == 0
	if len(line) > maxLogLine || len(p.lines)+len(line) > t.most || t.bytes+len(line) > maxPending {
		p.dropped++
		t.meters.LinesDropped.Add(1)
	} else {
		p.lines = append(p.lines, line...)
		t.bytes += len(line)
	}
	if first {
		t.pending = append(t.pending, a)
		select {
		case t.wake <- struct{}{}:
		default:
		}
	}
}

// stamp notes where the lines about an attempt are that has not ended well, whether its handler has logged anything or not:
// the worker does.
func (t *taskLogs) stamp(o outcome) {
	if t != nil && t.place != nil && o.kind != succeeded {
		t.add(o.attempt, nil)
	}
}

// run writes the first lines of a quiet time at once, and then what comes in, every [logEvery].
func (t *taskLogs) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), logLast)
			defer cancel()
			t.write(last)
			return nil
		case <-t.wake:
			t.write(context.WithoutCancel(ctx)) // what is under way at the end may come to its end
			pause.For(ctx, logEvery)
		}
	}
}

// take takes all lines that are not written yet, by queue.
func (t *taskLogs) take() map[keys.Queue][]store.Written {
	t.mu.Lock()
	defer t.mu.Unlock()
	taken := make(map[keys.Queue][]store.Written)
	for _, a := range t.pending {
		lines := a.page.lines
		if n := a.page.dropped; n > 0 {
			lines = fmt.Appendf(lines, "{\"time\":%q,\"level\":\"WARN\",\"msg\":\"lines were dropped: too many at once, or too long\",\"attempt\":%d,\"token\":%d,\"count\":%d}\n",
				time.Now().Format(time.RFC3339Nano), a.lease.Attempt(), a.lease.Token, n)
		}
		a.page.lines, a.page.dropped = nil, 0
		taken[a.lease.Queue] = append(taken[a.lease.Queue], store.Written{Lease: &a.lease, Lines: lines})
	}
	t.pending, t.bytes = nil, 0
	return taken
}

// write writes what there is, once: a log is no reason to keep Redis busy that does not answer.
func (t *taskLogs) write(ctx context.Context) {
	for q, all := range t.take() {
		for len(all) > 0 {
			n, size := 0, 0
			for n < len(all) && n < 100 && (n == 0 || size+len(all[n].Lines) <= maxLogCall) {
				size += len(all[n].Lines)
				n++
			}
			t.call(ctx, q, all[:n])
			all = all[n:]
		}
	}
}

func (t *taskLogs) call(ctx context.Context, q keys.Queue, batch []store.Written) {
	call, cancel := context.WithTimeout(ctx, logTimeout)
	defer cancel()
	answers, err := t.store.Log(call, q, batch, t.most)
	if err != nil {
		for _, w := range batch {
			t.meters.LinesDropped.Add(bytes.Count(w.Lines, []byte("\n")))
		}
		t.logger.WarnContext(ctx, "lines of tasks' own logs not written", "queue", q, "tasks", len(batch), "error", err)
		return
	}
	for _, refused := range answers {
		if refused != nil {
			t.meters.Refused.Log.Add(1)
		}
	}
}
