package worker_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/worker"
)

// The uniqueness lock is for a second; the task takes two and a half. An equal one is refused all the while, and taken
// when it is over.
func TestAnEqualTaskIsRefusedForAsLongAsOneRuns(t *testing.T) {
	each(t, func(w *world) {
		task := seri.NewTask[string, seri.None]("test:long", seri.UniqueFor(time.Second))
		running, finish := make(chan struct{}, 2), make(chan struct{})
		w.work(worker.Config{Lease: 600 * time.Millisecond}, task.HandledBy(func(ctx context.Context, _ string) (seri.None, error) {
			running <- struct{}{}
			select {
			case <-finish:
			case <-ctx.Done():
			}
			return seri.None{}, context.Cause(ctx)
		}))
		first := put(w, task, "same")
		receive(w, running, "the start of the first task")

		tries := time.NewTicker(100 * time.Millisecond)
		defer tries.Stop()
		for over := time.After(2500 * time.Millisecond); ; {
			if _, err := task.Enqueue(w.ctx, w, "same", seri.Queue(w.queue)); !errors.Is(err, seri.ErrDuplicate) {
				w.t.Fatalf("beside the running task an equal one is answered with %v, want %v", err, seri.ErrDuplicate)
			}
			select {
			case <-tries.C:
				continue
			case <-over:
			}
			break
		}
		close(finish)
		w.end(first.ID)

		w.end(put(w, task, "same").ID)
	})
}
