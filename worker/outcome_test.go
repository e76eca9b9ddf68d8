package worker_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/worker"
)

func TestATaskFromEnqueueToItsResult(t *testing.T) {
	t.Parallel()
	redistest.EachWithEmbedded(t, func(t *testing.T, rdb redis.UniversalClient) {
		w := newWorld(t, rdb)
		before := put(w, add, sum{2, 3}) // is there before the worker
		w.work(worker.Config{}, handleAdd())
		after := put(w, add, sum{20, 30}, seri.Owner("user:42"))

		for ticket, want := range map[*seri.Ticket[int]]int{before: 5, after: 50} {
			if got, err := ticket.Wait(w.ctx); err != nil || got != want {
				t.Errorf("result %d, %v; want %d", got, err, want)
			}
		}
		info := w.end(after.ID)
		if info.Attempt != 1 || info.Owner != "user:42" || info.FinishedAt.IsZero() || info.StartedAt.Before(info.EnqueuedAt) {
			t.Errorf("on record: %+v", info)
		}
	})
}

func TestAHandlerLearnsItsTermsAndReportsProgress(t *testing.T) {
	each(t, func(w *world) {
		task := seri.NewTask[seri.None, seri.None]("test:progress", seri.Header("shared", "yes"))
		reported, told := make(chan struct{}), make(chan seri.Execution, 1)
		ticket := put(w, task, seri.None{}, seri.Owner("user:7"), seri.Header("trace", "abc"))
		w.work(worker.Config{}, task.HandledBy(func(ctx context.Context, _ seri.None) (seri.None, error) {
			execution, _ := seri.ExecutionFrom(ctx)
			told <- execution
			seri.Progress(ctx, 3, 10, "three of ten")
			<-reported // the report report is seen while the task runs
			return seri.None{}, nil
		}))

		if e := receive(w, told, "the handler"); e.ID != ticket.ID || e.Owner != "user:7" || e.Queue != w.queue || e.Attempt != 1 ||
			e.Token == 0 || e.Headers["shared"] != "yes" || e.Headers["trace"] != "abc" {
			w.t.Errorf("the handler is told %+v", e)
		}
		progress := w.until(ticket.ID, seri.EventProgress).Data.Progress
		if progress == nil || *progress != (seri.ProgressInfo{Done: 3, Total: 10, Message: "three of ten"}) {
			w.t.Errorf("progress: %+v", progress)
		}
		close(reported)
		w.end(ticket.ID)

		var events []seri.Event
		w.follow(func(e seri.Event) bool {
			events = append(events, e)
			return e.Kind.Terminal()
		})
		var kinds []string
		for i, e := range events {
			kinds = append(kinds, string(e.Kind))
			if e.Owner != "user:7" || e.Seq != uint64(i+1) {
				w.t.Errorf("event %+v; want owner user:7 and number %d", e, i+1)
			}
		}
		if got := strings.Join(kinds, " "); got != "queued started progress succeeded" {
			w.t.Errorf("events: %s", got)
		}
	})
}

func TestHowTasksEnd(t *testing.T) {
	boom := errors.New("boom")
	type handle = func(ctx context.Context, attempt int) (string, error)
	at := seri.Retry(seri.Fixed(time.Millisecond))
	cases := map[string]struct {
		options []seri.Option
		retry   seri.Option
		handle  handle
		state   seri.State
		reason  seri.Reason
		error   string // how it begins
		attempt int
	}{
		"a failed attempt is repeated": {
			handle: func(_ context.Context, attempt int) (string, error) {
				if attempt < 3 {
					return "", boom
				}
				return "done", nil
			}, state: seri.Succeeded, error: "boom", attempt: 3,
		},
		"RetryAfter comes before the policy": {
			retry: seri.Retry(seri.Fixed(time.Hour)),
			handle: func(_ context.Context, attempt int) (string, error) {
				if attempt == 1 {
					return "", seri.RetryAfter(boom, time.Millisecond)
				}
				return "done", nil
			}, state: seri.Succeeded, error: "boom", attempt: 2,
		},
		"a permanent error is the last": {
			handle: func(context.Context, int) (string, error) { return "", seri.Permanent(boom) },
			state:  seri.Failed, reason: seri.ReasonPermanent, error: "boom", attempt: 1,
		},
		"retries are exhausted": {
			options: []seri.Option{seri.MaxRetries(2)},
			handle:  func(context.Context, int) (string, error) { return "", boom },
			state:   seri.Failed, reason: seri.ReasonExhausted, error: "boom", attempt: 3,
		},
		"a panic is a failure": {
			options: []seri.Option{seri.MaxRetries(0)},
			handle:  func(context.Context, int) (string, error) { panic("at the disco") },
			state:   seri.Failed, reason: seri.ReasonExhausted, error: "panic: at the disco", attempt: 1,
		},
		"a time-out is a failure": {
			options: []seri.Option{seri.MaxRetries(0), seri.Timeout(time.Millisecond)}, // rounded up to a second
			handle: func(ctx context.Context, _ int) (string, error) {
				<-ctx.Done()
				return "", context.Cause(ctx)
			},
			state: seri.Failed, reason: seri.ReasonExhausted, error: "task timed out", attempt: 1,
		},
		"no attempt is made after the deadline": {
			options: []seri.Option{seri.Deadline(time.Now().Add(-time.Minute))},
			handle:  func(context.Context, int) (string, error) { return "", errors.New("started all the same") },
			state:   seri.Failed, reason: seri.ReasonExhausted, error: "task timed out", attempt: 1,
		},
		"a task that has expired is not started": {
			options: []seri.Option{seri.Expires(time.Now().Add(-time.Minute))},
			handle:  func(context.Context, int) (string, error) { return "", errors.New("started all the same") },
			state:   seri.Revoked, reason: seri.ReasonExpired,
		},
	}
	each(t, func(w *world) {
		var handlers []seri.Handler
		tickets := map[string]*seri.Ticket[string]{}
		for sentence, c := range cases {
			if c.retry == nil {
				c.retry = at
			}
			task := seri.NewTask[seri.None, string](sentence, c.retry)
			handlers = append(handlers, task.HandledBy(func(ctx context.Context, _ seri.None) (string, error) {
				execution, _ := seri.ExecutionFrom(ctx)
				return c.handle(ctx, execution.Attempt)
			}))
			tickets[sentence] = put(w, task, seri.None{}, c.options...)
		}

		w.work(worker.Config{}, handlers...)

		for sentence, c := range cases {
			info := w.end(tickets[sentence].ID)
			if info.State != c.state || info.Reason != c.reason || info.Attempt != c.attempt || !strings.HasPrefix(info.Error, c.error) || (c.error == "") != (info.Error == "") {
				w.t.Errorf("%s: %s, reason %q, attempt %d, error %q; want %s, %q, %d, %q…", sentence,
					info.State, info.Reason, info.Attempt, info.Error, c.state, c.reason, c.attempt, c.error)
			}
			result, err := tickets[sentence].Wait(w.ctx)
			failed, isFailed := errors.AsType[*seri.FailedError](err)
			if c.state == seri.Succeeded && (err != nil || result != "done") || c.state != seri.Succeeded && (!isFailed || failed.Reason != c.reason) {
				w.t.Errorf("%s: the ticket says %q, %v", sentence, result, err)
			}
		}
	})
}

func TestArgumentsThatDoNotDecodeFailForGood(t *testing.T) {
	each(t, func(w *world) {
		m, err := seri.NewMessage(add.Name(), []byte(`{"a":"two"}`), seri.Queue(w.queue))
		if err != nil {
			w.t.Fatal(err)
		}
		if err := w.Enqueue(w.ctx, m); err != nil {
			w.t.Fatal(err)
		}
		w.work(worker.Config{}, handleAdd())

		info := w.end(m.ID)
		if info.State != seri.Failed || info.Reason != seri.ReasonPermanent || !strings.Contains(info.Error, "decode arguments of math:add") {
			w.t.Errorf("the task is %s, reason %q, error %q", info.State, info.Reason, info.Error)
		}
	})
}

func TestAResultWithoutRetentionReachesWhoeverWaits(t *testing.T) {
	each(t, func(w *world) {
		waiting := make(chan struct{}, 100)
		w.rdb.AddHook(spy(func(cmd redis.Cmder) {
			if cmd.Name() == "xread" {
				waiting <- struct{}{}
			}
		}))
		b := newBlocking("test:block", seri.Retention(0))
		ticket := put(w, b.task, "", seri.UniqueFor(time.Hour))
		w.work(worker.Config{}, b.handler())
		receive(w, b.started, "the handler")
		go func() {
			<-waiting // for the result that is gone when it is there
			b.release <- "the result"
		}()

		result, err := ticket.Wait(w.ctx)

		if err != nil || result != "the result" {
			w.t.Errorf("result %q, %v", result, err)
		}
		if _, err := w.Task(w.ctx, w.queue, ticket.ID); !errors.Is(err, seri.ErrNotFound) {
			w.t.Errorf("the task is still there: %v", err)
		}
		put(w, b.task, "", seri.UniqueFor(time.Hour)) // the lock is free again
		b.release <- ""
	})
}

func TestAnEqualTaskIsRefusedUntilTheFirstIsDone(t *testing.T) {
	each(t, func(w *world) {
		unique := []seri.Option{seri.Queue(w.queue), seri.UniqueFor(time.Hour)}
		first := put(w, add, sum{1, 1}, unique...)
		if _, err := add.Enqueue(w.ctx, w, sum{1, 1}, unique...); !errors.Is(err, seri.ErrDuplicate) {
			w.t.Errorf("an equal task: %v", err)
		}
		if _, err := add.Enqueue(w.ctx, w, sum{1, 2}, seri.Queue(w.queue), seri.ID(first.ID)); !errors.Is(err, seri.ErrConflict) {
			w.t.Errorf("the same ID again: %v", err)
		}
		put(w, add, sum{1, 2}, unique...)
		w.work(worker.Config{}, handleAdd())
		if _, err := first.Wait(w.ctx); err != nil {
			w.t.Error(err)
		}
		put(w, add, sum{1, 1}, unique...)
	})
}

func TestRevokedTasksDoNotRun(t *testing.T) {
	each(t, func(w *world) {
		b := newBlocking("test:block")
		pending := put(w, b.task, "pending")
		scheduled := put(w, b.task, "scheduled", seri.Delay(time.Hour))
		for _, ticket := range []*seri.Ticket[string]{pending, scheduled} {
			info, err := w.Revoke(w.ctx, w.queue, ticket.ID)
			if err != nil {
				w.t.Fatal(err)
			}
			w.want(info, seri.Revoked, seri.ReasonRevoked, "")
			if _, err := ticket.Wait(w.ctx); !errors.Is(err, seri.ErrRevoked) {
				w.t.Errorf("the ticket says %v", err)
			}
			if _, err := w.Revoke(w.ctx, w.queue, ticket.ID); !errors.Is(err, seri.ErrNotRevocable) {
				w.t.Errorf("revoked again: %v", err)
			}
		}
		running := put(w, b.task, "running")
		w.work(worker.Config{}, b.handler())
		ctx := receive(w, b.started, "the handler")

		begun := time.Now()
		info, err := w.Revoke(w.ctx, w.queue, running.ID)
		if err != nil || info.State != seri.Active && info.State != seri.Revoked {
			w.t.Errorf("revoke: %s, %v", info.State, err)
		}
		w.want(w.end(running.ID), seri.Revoked, seri.ReasonRevoked, "stopped: task revoked")
		if cause := context.Cause(ctx); !errors.Is(cause, seri.ErrRevoked) {
			w.t.Errorf("the handler's context ended with %v", cause)
		}
		if took := time.Since(begun); took > 8*time.Second { // a beat is 10 s; it takes milliseconds
			w.t.Errorf("the handler was told only after %v", took)
		}
		if _, err := w.Revoke(w.ctx, w.queue, "nobody"); !errors.Is(err, seri.ErrNotFound) {
			w.t.Errorf("an unknown task: %v", err)
		}
		if n := len(b.started); n != 0 {
			w.t.Errorf("%d revoked tasks were started", n)
		}
	})
}

func TestNothingStartsEarly(t *testing.T) {
	each(t, func(w *world) {
		task := seri.NewTask[time.Time, seri.None]("test:when")
		early := make(chan time.Duration, 20)
		w.work(worker.Config{}, task.HandledBy(func(_ context.Context, due time.Time) (seri.None, error) {
			early <- w.clock().Sub(due)
			return seri.None{}, nil
		}))
		base := w.clock()
		for i := range 10 {
			due := base.Add(300*time.Millisecond + time.Duration(i)*37*time.Millisecond)
			put(w, task, due, seri.ETA(due))
		}
		var late []time.Duration
		for range 10 {
			late = append(late, receive(w, early, "a delayed task"))
		}
		slices.Sort(late)
		if late[0] < 0 {
			w.t.Errorf("a task started %v early", -late[0])
		}
		if median := late[5]; median > time.Second { // by polling once a second it would be 0.5 s on an idle machine
			w.t.Errorf("tasks started %v late", late)
		}
	})
}
