package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/client"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redistest"
)

func newMessage(t *testing.T, queue string, options ...seri.Option) seri.Message {
	t.Helper()
	m, err := seri.NewMessage("test:task", []byte(`{}`), append([]seri.Option{seri.Queue(queue)}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// scripts counts the calls of scripts, and may do harm to one of them after Redis has run it.
type scripts struct {
	calls atomic.Int64
	lose  func(call int64) error // nil error: the reply arrives
}

func (s *scripts) DialHook(next redis.DialHook) redis.DialHook { return next }

func (s *scripts) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if !strings.HasPrefix(cmd.Name(), "eval") || err != nil && strings.HasPrefix(err.Error(), "NOSCRIPT") {
			return err
		}
		if n := s.calls.Add(1); s.lose != nil {
			if lost := s.lose(n); lost != nil {
				cmd.SetErr(lost)
				return lost
			}
		}
		return err
	}
}

func (s *scripts) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func TestConcurrentCallsShareRoundTrips(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, rdb redis.UniversalClient) {
		q, ctx := redistest.Queue(t), within(t, 20*time.Second)
		counter := &scripts{}
		rdb.AddHook(counter)
		c := client.New(rdb, client.Config{})
		const n = 100
		begin := make(chan struct{})
		var all sync.WaitGroup
		for range n {
			m := newMessage(t, q)
			all.Go(func() {
				<-begin
				if err := c.Enqueue(ctx, m); err != nil {
					t.Error(err)
				}
			})
		}
		close(begin)
		all.Wait()

		if info, err := c.Queue(ctx, q); err != nil || info.Pending != n {
			t.Errorf("%d tasks are pending, %v; want %d", info.Pending, err, n)
		}
		if calls := counter.calls.Load(); calls > n/3 {
			t.Errorf("%d calls for %d tasks", calls, n)
		}
	})
}

func TestALostReplyIsNoConflict(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, rdb redis.UniversalClient) {
		q, ctx := redistest.Queue(t), within(t, 20*time.Second)
		c := client.New(rdb, client.Config{})
		taken := newMessage(t, q, seri.ID("taken"))
		if err := c.Enqueue(ctx, taken); err != nil {
			t.Fatal(err)
		}
		rdb.AddHook(&scripts{lose: func(call int64) error {
			if call == 1 {
				return &net.OpError{Op: "read", Err: io.ErrUnexpectedEOF}
			}
			return nil
		}})
		mine, unique := newMessage(t, q), newMessage(t, q, seri.UniqueFor(time.Hour))
		other := newMessage(t, q, seri.ID("taken"), seri.MaxRetries(1))

		errs := c.EnqueueBatch(ctx, []seri.Message{mine, other, unique})

		if errs[0] != nil || !errors.Is(errs[1], seri.ErrConflict) || errs[2] != nil {
			t.Errorf("answers: %v; want the second refused", errs)
		}
		if info, err := c.Queue(ctx, q); err != nil || info.Pending != 3 {
			t.Errorf("%d tasks are pending, %v; want 3", info.Pending, err)
		}
	})
}

// Sent again, it would run again if it has succeeded meanwhile: nothing is left of it that could tell.
func TestATaskThatIsNotKeptIsNotSentTwice(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, rdb redis.UniversalClient) {
		q, ctx := redistest.Queue(t), within(t, 20*time.Second)
		c := client.New(rdb, client.Config{})
		lost := &net.OpError{Op: "read", Err: io.ErrUnexpectedEOF}
		counter := &scripts{lose: func(call int64) error {
			if call == 1 {
				return lost
			}
			return nil
		}}
		rdb.AddHook(counter)

		errs := c.EnqueueBatch(ctx, []seri.Message{newMessage(t, q, seri.Retention(0)), newMessage(t, q)})

		if !errors.Is(errs[0], lost) || errs[1] != nil {
			t.Errorf("answers: %v; want the first not to be known", errs)
		}
		if info, err := c.Queue(ctx, q); err != nil || info.Pending != 2 || counter.calls.Load() != 2 {
			t.Errorf("%d tasks are pending after %d calls, %v; want 2 and 2", info.Pending, counter.calls.Load(), err)
		}
	})
}

func TestAnErrorThatIsNoLostReplyIsNotRepeated(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t)
	q := redistest.Queue(t)
	counter := &scripts{lose: func(int64) error { return errors.New("OOM command not allowed") }}
	rdb.AddHook(counter)
	c := client.New(rdb, client.Config{})

	err := c.Enqueue(t.Context(), newMessage(t, q))

	if err == nil || !strings.Contains(err.Error(), "OOM") || counter.calls.Load() > 1 {
		t.Errorf("%v after %d calls", err, counter.calls.Load())
	}
}

func TestABatchHasAnAnswerForEachTask(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, rdb redis.UniversalClient) {
		q, ctx := redistest.Queue(t), within(t, 20*time.Second)
		c := client.New(rdb, client.Config{})
		const n = 2500
		tasks := make([]seri.Message, n)
		for i := range tasks {
			tasks[i] = newMessage(t, fmt.Sprintf("%s-%d", q, i%2), seri.ID(fmt.Sprint(i)))
		}
		tasks[7].Type = ""             // not valid
		tasks[9].ID = tasks[11].ID     // of the same queue
		tasks[2400].ID = tasks[100].ID // in another call

		errs := c.EnqueueBatch(ctx, tasks)

		var refused []int
		for i, err := range errs {
			if err != nil {
				refused = append(refused, i)
			}
		}
		if !slices.Equal(refused, []int{7, 11, 2400}) || !errors.Is(errs[11], seri.ErrConflict) || !errors.Is(errs[2400], seri.ErrConflict) {
			t.Errorf("refused: %v", refused)
		}
		total := 0
		for _, suffix := range []string{"-0", "-1"} {
			for _, err := range c.Tasks(ctx, q+suffix, seri.Pending) {
				if err != nil {
					t.Fatal(err)
				}
				total++
			}
		}
		if total != n-3 {
			t.Errorf("%d tasks are pending, want %d", total, n-3)
		}
		if len(c.EnqueueBatch(ctx, nil)) != 0 {
			t.Error("an answer to nothing")
		}
	})
}

func TestEnqueueLooksAtTheTaskAndTheContextFirst(t *testing.T) {
	t.Parallel()
	nobody := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1}) // must not be asked
	t.Cleanup(func() { _ = nobody.Close() })
	c := client.New(nobody, client.Config{})
	if err := c.Enqueue(t.Context(), seri.Message{}); err == nil || !strings.Contains(err.Error(), "id is empty") {
		t.Errorf("an empty message: %v", err)
	}
	gone := errors.New("the browser is gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(gone)
	if err := c.Enqueue(ctx, newMessage(t, "q")); !errors.Is(err, gone) {
		t.Errorf("a cancelled call: %v", err)
	}
}

func TestWait(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, rdb redis.UniversalClient) {
		q, ctx := redistest.Queue(t), within(t, 20*time.Second)
		c := client.New(rdb, client.Config{})
		if _, err := c.Wait(ctx, q, "nobody"); !errors.Is(err, seri.ErrNotFound) {
			t.Errorf("an unknown task: %v", err)
		}
		m := newMessage(t, q)
		if err := c.Enqueue(ctx, m); err != nil {
			t.Fatal(err)
		}
		short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		defer cancel()
		begun := time.Now()
		if _, err := c.Wait(short, q, m.ID); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a wait that is too short: %v", err)
		}
		if took := time.Since(begun); took > 1500*time.Millisecond {
			t.Errorf("a wait for 50 ms took %v", took)
		}
	})
}

// A stock Inspector writes no events. In a queue that never rests the end is noticed all the same.
func TestWaitNoticesAnEndWithoutAnEventInABusyQueue(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t)
	q, ctx := redistest.Queue(t), within(t, 20*time.Second)
	c := client.New(rdb, client.Config{})
	m := newMessage(t, q)
	if err := c.Enqueue(ctx, m); err != nil {
		t.Fatal(err)
	}
	inspector := asynq.NewInspector(asynq.RedisClientOpt{Addr: rdb.Options().Addr, DB: rdb.Options().DB})
	t.Cleanup(func() { _ = inspector.Close() })
	busy, quiet := context.WithCancel(ctx)
	var noise sync.WaitGroup
	noise.Go(func() { // an event of another task every few milliseconds
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-busy.Done():
				return
			case <-tick.C:
				rdb.XAdd(ctx, &redis.XAddArgs{Stream: keys.Queue(q).Events(), Values: []any{"e",
					`[{"seq":1,"at":1,"kind":"queued","task":"other","type":"test:task"}]`}})
			}
		}
	})
	defer func() { quiet(); noise.Wait() }()
	waited := make(chan error, 1)
	go func() {
		info, err := c.Wait(ctx, q, m.ID)
		if err == nil && (info.State != seri.Failed || info.Reason != seri.ReasonArchived) {
			err = fmt.Errorf("the task is %s, reason %q", info.State, info.Reason)
		}
		waited <- err
	}()
	if err := inspector.ArchiveTask(q, m.ID); err != nil {
		t.Fatal(err)
	}
	if err := <-waited; err != nil {
		t.Error(err)
	}
}

func TestFindAndRevoke(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, rdb redis.UniversalClient) {
		q, ctx := redistest.Queue(t), within(t, 20*time.Second)
		c := client.New(rdb, client.Config{})
		m := newMessage(t, q)
		if err := c.Enqueue(ctx, m); err != nil {
			t.Fatal(err)
		}
		if info, err := c.Find(ctx, m.ID); err != nil || info.Queue != q || info.State != seri.Pending {
			t.Errorf("found %+v, %v", info, err)
		}
		if _, err := c.Find(ctx, "nobody"); !errors.Is(err, seri.ErrNotFound) {
			t.Errorf("an unknown task: %v", err)
		}
		for _, queue := range []string{q, ""} {
			infos, err := c.TasksByID(ctx, queue, "nobody", m.ID)
			if err != nil || len(infos) != 1 || infos[0].ID != m.ID || infos[0].Queue != q {
				t.Errorf("of queue %q: %+v, %v", queue, infos, err)
			}
		}
		if info, err := c.Revoke(ctx, q, m.ID); err != nil || info.State != seri.Revoked {
			t.Errorf("revoked: %+v, %v", info, err)
		}
		if info, err := c.Revoke(ctx, q, m.ID); !errors.Is(err, seri.ErrNotRevocable) || info.State != seri.Revoked {
			t.Errorf("revoked again: %+v, %v", info, err)
		}
		for name, call := range map[string]func(context.Context, string) error{"pause": c.Pause, "resume": c.Resume} {
			if err := call(ctx, q+"-unknown"); !errors.Is(err, seri.ErrNotFound) {
				t.Errorf("%s of an unknown queue: %v", name, err)
			}
			if err := errors.Join(call(ctx, q), call(ctx, q)); err != nil {
				t.Errorf("%s, twice: %v", name, err)
			}
		}
	})
}

func TestPages(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, rdb redis.UniversalClient) {
		q, ctx := redistest.Queue(t), within(t, 20*time.Second)
		c := client.New(rdb, client.Config{})
		owner := "user of " + q // whose tasks are looked for in all queues
		var want []string
		for i := range 25 {
			m := newMessage(t, q, seri.ID(fmt.Sprint(i)), seri.Owner(owner))
			want = append(want, m.ID)
			if err := c.Enqueue(ctx, m); err != nil {
				t.Fatal(err)
			}
		}
		var got []string
		for cursor, pages := "", 0; ; pages++ {
			tasks, next, err := c.Page(ctx, q, seri.Pending, cursor, 10)
			if err != nil || pages > 3 {
				t.Fatal(pages, err)
			}
			for _, info := range tasks {
				got = append(got, info.ID)
			}
			if cursor = next; cursor == "" {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("the pages hold %q, want %q", got, want)
		}
		for _, wrong := range []string{"x", "-1", "1e3"} {
			if _, _, err := c.Page(ctx, q, seri.Pending, wrong, 10); err == nil {
				t.Errorf("cursor %q is accepted", wrong)
			}
		}
		for _, limit := range []int{0, -1, client.MaxPage + 1} {
			if _, _, err := c.Page(ctx, q, seri.Pending, "", limit); err == nil {
				t.Errorf("limit %d is accepted", limit)
			}
		}
		for limit, truncated := range map[int]bool{3: true, len(want): false} {
			owned, more, err := c.Owned(ctx, "", owner, limit)
			if err != nil || len(owned) != limit || more != truncated {
				t.Errorf("the owner's newest %d: %d, more: %t, %v", limit, len(owned), more, err)
			}
		}
	})
}
