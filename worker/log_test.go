package worker_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/client"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/worker"
)

// Whatever becomes of a task: every line about it says which one it is and which attempt, and none shows what it was
// given, what it returned, or who it belongs to.
func TestLinesAboutATaskSayWhichAndNothingSecret(t *testing.T) {
	t.Parallel()
	w := newWorld(t, redistest.New(t))
	const secret = "hunter2"
	type args struct {
		Password string `json:"password"`
		Number   int    `json:"number"`
	}
	type result struct {
		Secret string `json:"secret"`
	}
	outcomes := map[string]func(ctx context.Context) error{
		"log:succeeds": func(context.Context) error { return nil },
		"log:retries":  func(context.Context) error { return errors.New("not yet") },
		"log:fails":    func(context.Context) error { return seri.Permanent(errors.New("never")) },
		"log:panics":   func(context.Context) error { panic("oh") },
		"log:hangs":    func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
	}
	log := &journal{}
	var handlers []seri.Handler
	tasks := make(map[string]*seri.Task[args, result])
	for name, do := range outcomes {
		tasks[name] = seri.NewTask[args, result](name, seri.MaxRetries(1), seri.Retry(seri.Fixed(time.Millisecond)), seri.Timeout(time.Second))
		handlers = append(handlers, tasks[name].HandledBy(func(ctx context.Context, _ args) (result, error) {
			seri.Log(ctx).Info("a line of the handler's", "n", 1)
			seri.Progress(ctx, 1, 2, "half")
			return result{secret}, do(ctx)
		}))
	}
	runner, err := worker.New(w.rdb, handlers, worker.Config{
		Queues: map[string]int{w.queue: 1}, StuckAfter: 100 * time.Millisecond,
		Logger: slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(w.ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- runner.Run(ctx) }()

	var ids []string
	for _, task := range tasks {
		m, err := task.Message(args{Password: secret}, seri.Queue(w.queue), seri.Owner(secret), seri.Header("Authorization", secret))
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Enqueue(w.ctx, m); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, m.ID)
	}
	broken, err := seri.NewMessage("log:fails", []byte(`{"password":7,"number":"`+secret+`"}`), seri.Queue(w.queue)) // of types that do not fit
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Enqueue(w.ctx, broken); err != nil {
		t.Fatal(err)
	}
	for _, id := range append(ids, broken.ID) {
		w.end(id)
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}

	about, seen := 0, make(map[string]bool)
	for line := range strings.Lines(log.String()) {
		if strings.Contains(line, secret) {
			t.Errorf("a line shows the secret: %s", line)
		}
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatal(err)
		}
		if fields["task_id"] == nil {
			continue
		}
		about++
		seen[fields["msg"].(string)] = true
		for _, name := range []string{"queue", "type", "attempt", "token"} {
			if fields[name] == nil || fields[name] == "" || fields[name] == 0.0 {
				t.Errorf("a line about a task has no %s: %s", name, line)
			}
		}
	}
	for _, message := range []string{"task succeeded", "attempt failed", "task ended", "a line of the handler's"} {
		if !seen[message] {
			t.Errorf("nothing says %q", message)
		}
	}
	if about < 15 {
		t.Errorf("%d lines about tasks in\n%s", about, log)
	}
}

func TestATasksOwnLogCanBeRead(t *testing.T) {
	each(t, func(w *world) {
		partitions := w.divide(4)
		task := seri.NewTask[string, seri.None]("log:rows", seri.MaxRetries(1), seri.Retry(seri.Fixed(time.Millisecond)))
		w.work(worker.Config{Partitions: partitions}, task.HandledBy(func(ctx context.Context, name string) (seri.None, error) {
			execution, _ := seri.ExecutionFrom(ctx)
			seri.Log(ctx).Info("begun", "name", name)
			if execution.Attempt == 1 {
				seri.Log(ctx).Warn("too early")
				return seri.None{}, errors.New("too early")
			}
			return seri.None{}, nil
		}))
		a, b := put(w, task, "a", seri.ID("a")), put(w, task, "b", seri.ID("b"))
		w.end(a.ID)
		w.end(b.ID)

		for _, id := range []string{"a", "b"} {
			w.eventually("its log is whole", func() bool {
				got, err := w.Log(w.ctx, w.queue, id)
				if err != nil {
					w.t.Fatal(err)
				}
				return len(got.Lines) == 3 && got.Lines[0].Message == "begun" && string(got.Lines[0].Attrs["name"]) == `"`+id+`"` &&
					got.Lines[1].Level == "WARN" && got.Lines[1].Attempt == 1 && got.Lines[2].Attempt == 2
			})
		}
		if _, err := w.Log(w.ctx, w.queue, "no such"); !errors.Is(err, seri.ErrNotFound) {
			w.t.Errorf("of no task: %v", err)
		}
	})
}

// The log of a task that is gone is not that of the next one with its ID.
func TestALogBelongsToOneLife(t *testing.T) {
	t.Parallel()
	w := newWorld(t, redistest.New(t))
	task := seri.NewTask[string, seri.None]("log:life", seri.Retention(0))
	release := make(chan struct{})
	w.work(worker.Config{}, task.HandledBy(func(ctx context.Context, name string) (seri.None, error) {
		seri.Log(ctx).Info(name)
		if name == "second" {
			select {
			case <-release:
			case <-ctx.Done():
			}
			return seri.None{}, nil
		}
		// The lines of a task that is not kept come in before its end, or not at all: Redis has nobody left to ask.
		_, err := await(ctx, w, name)
		return seri.None{}, err
	}))
	put(w, task, "first", seri.ID("t1"))
	w.eventually("the first is gone", func() bool {
		_, err := w.Task(w.ctx, w.queue, "t1")
		return errors.Is(err, seri.ErrNotFound)
	})
	put(w, task, "second", seri.ID("t1"))
	w.eventually("the second's log is its own", func() bool {
		got, err := w.Log(w.ctx, w.queue, "t1")
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range got.Lines {
			if l.Message != "second" {
				t.Fatalf("the second's log is %+v", got.Lines)
			}
		}
		return len(got.Lines) == 1
	})
	close(release)
}

// eventually asks again and again until the answer is yes.
func (w *world) eventually(what string, ask func() bool) {
	w.t.Helper()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for !ask() {
		select {
		case <-again.C:
		case <-w.ctx.Done():
			w.t.Fatalf("not true in time: %s", what)
		}
	}
}

// await returns the task's log once it has the line.
func await(ctx context.Context, w *world, line string) (client.TaskLog, error) {
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		got, err := w.Log(ctx, w.queue, "t1")
		if err != nil || len(got.Lines) > 0 && got.Lines[len(got.Lines)-1].Message == line {
			return got, err
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return got, ctx.Err()
		}
	}
}
