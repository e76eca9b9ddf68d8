package worker_test

import (
	"context"
	"io"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/worker"
)

// deaf is a hook that loses the first reply with leases, as a connection does that breaks at the wrong moment.
type deaf struct{ lost atomic.Bool }

func (d *deaf) DialHook(next redis.DialHook) redis.DialHook { return next }

func (d *deaf) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if script, ok := cmd.(*redis.Cmd); ok && err == nil {
			if reply, ok := script.Val().([]any); ok && len(reply) == 3+4 && d.lost.CompareAndSwap(false, true) {
				cmd.SetErr(io.EOF)
				return io.EOF
			}
		}
		return err
	}
}

func (d *deaf) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// Nobody would have the task until its lease of 30 s ran out, and it would count a crash.
func TestATaskThatWasLeasedInALostReplyIsRunByItsHolder(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t)
	w, hook := newWorld(t, rdb), &deaf{}
	rdb.AddHook(hook)
	ticket := put(w, add, sum{1, 2})

	w.work(worker.Config{}, handleAdd())

	if got, err := ticket.Wait(w.ctx); err != nil || got != 3 {
		t.Errorf("result %d, %v", got, err)
	}
	if info := w.end(ticket.ID); info.Crashes != 0 || info.Attempt != 1 {
		t.Errorf("%d crashes, attempt %d; want 0 and 1", info.Crashes, info.Attempt)
	}
	if !hook.lost.Load() {
		t.Error("no reply was lost")
	}
}
