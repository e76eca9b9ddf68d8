package worker_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/worker"
)

// A handler that ignores its timeout costs its worker a slot. Its task runs elsewhere, and a worker without slots ends,
// so that whoever started it can replace it.
func TestATaskOfAStuckHandlerRunsElsewhere(t *testing.T) {
	each(t, func(w *world) {
		task := seri.NewTask[string, string]("test:deaf", seri.Timeout(time.Second), seri.MaxRetries(1),
			seri.Retry(seri.Fixed(0)))
		release := make(chan struct{})
		defer close(release)
		ticket := put(w, task, "")
		var log journal
		first, err := worker.New(w.rdb, []seri.Handler{task.HandledBy(func(context.Context, string) (string, error) {
			<-release
			return "late", nil
		})}, worker.Config{Queues: map[string]int{w.queue: 1}, Slots: 1, StuckAfter: 50 * time.Millisecond, Grace: patience, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			w.t.Fatal(err)
		}

		ended := make(chan error, 1)
		go func() { ended <- first.Run(w.ctx) }()
		if err := receive(w, ended, "the worker's end"); !errors.Is(err, seri.ErrStuck) {
			w.t.Errorf("the worker ended with %v, want %v", err, seri.ErrStuck)
		}
		if n := first.Stuck(); n != 1 {
			w.t.Errorf("%d slots are stuck, want 1", n)
		}
		for _, text := range []string{"slot lost", "task_id=" + ticket.ID, "type=test:deaf", "stuck_test.go", "slots_left=0"} {
			if !strings.Contains(log.String(), text) {
				w.t.Errorf("the log lacks %q:\n%s", text, log.String())
			}
		}
		w.work(worker.Config{}, task.HandledBy(func(context.Context, string) (string, error) { return "done", nil }))

		if got, err := ticket.Wait(w.ctx); err != nil || got != "done" {
			w.t.Errorf("result %q, %v", got, err)
		}
		retried := w.until(ticket.ID, seri.EventRetrying)
		if info := w.end(ticket.ID); info.Attempt != 2 || info.Crashes != 0 || !strings.Contains(retried.Data.Error, "ignores the end of its context") {
			w.t.Errorf("attempt %d, %d crashes, the first attempt failed with %q", info.Attempt, info.Crashes, retried.Data.Error)
		}
	})
}
