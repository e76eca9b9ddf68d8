package worker_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/client"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/internal/store"
	"github.com/seri-queue/seri/internal/wire"
	"github.com/seri-queue/seri/worker"
)

// patience is how long a test waits for what must happen, on a machine that is busy with others.
const patience = 30 * time.Second

// world is a queue of the test's own, and who uses it.
type world struct {
	*client.Client
	t     *testing.T
	rdb   redis.UniversalClient
	queue string
	ctx   context.Context
}

func newWorld(t *testing.T, rdb redis.UniversalClient) *world {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return &world{client.New(rdb, client.Config{}), t, rdb, redistest.Queue(t), ctx}
}

// each runs a test on one Redis and on a cluster of three masters.
func each(t *testing.T, test func(w *world)) {
	t.Helper()
	t.Parallel()
	redistest.Each(t, func(t *testing.T, rdb redis.UniversalClient) { test(newWorld(t, rdb)) })
}

// journal keeps a worker's log, for the reader of a failure.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// work runs a worker until the test ends or stop is called, which returns when the worker has. It serves the world's
// queue unless config names others.
func (w *world) work(config worker.Config, handlers ...seri.Handler) (stop func()) {
	w.t.Helper()
	if config.Queues == nil {
		config.Queues = map[string]int{w.queue: 1}
	}
	log := &journal{}
	config.Logger = slog.New(slog.NewTextHandler(log, nil))
	runner, err := worker.New(w.rdb, handlers, config)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- runner.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		w.t.Helper()
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				w.t.Errorf("the worker ended with %v", err)
			}
		case <-time.After(patience):
			w.t.Error("the worker does not end")
		}
		if w.t.Failed() {
			w.t.Logf("the worker's log:\n%s", log)
		}
	})
	w.t.Cleanup(stop)
	return stop
}

// put enqueues a task of the world's queue and returns its ticket.
func put[A, R any](w *world, task *seri.Task[A, R], args A, options ...seri.Option) *seri.Ticket[R] {
	w.t.Helper()
	ticket, err := task.Enqueue(w.ctx, w, args, append([]seri.Option{seri.Queue(w.queue)}, options...)...)
	if err != nil {
		w.t.Fatal(err)
	}
	return ticket
}

// end waits for the end of a task.
func (w *world) end(id string) seri.Info {
	w.t.Helper()
	info, err := w.Wait(w.ctx, w.queue, id)
	if err != nil {
		w.t.Fatalf("wait for task %s: %v", id, err)
	}
	return info
}

// follow shows see every event of the world's queue from the first one on, until it returns true.
func (w *world) follow(see func(seri.Event) bool) {
	w.t.Helper()
	for position := "0-0"; ; {
		streams, err := w.rdb.XRead(w.ctx, &redis.XReadArgs{
			Streams: []string{keys.Queue(w.queue).Events(), position}, Block: time.Second,
		}).Result()
		if w.ctx.Err() != nil {
			w.t.Fatal("waited in vain for an event")
		}
		if errors.Is(err, redis.Nil) {
			continue
		}
		if err != nil {
			w.t.Fatal(err)
		}
		for _, entry := range streams[0].Messages {
			position = entry.ID
			events, err := wire.DecodeEvents(w.queue, entry.Values["e"].(string))
			if err != nil {
				w.t.Fatal(err)
			}
			if slices.ContainsFunc(events, see) {
				return
			}
		}
	}
}

// until waits for an event of one task.
func (w *world) until(id string, kind seri.EventKind) (found seri.Event) {
	w.t.Helper()
	w.follow(func(e seri.Event) bool {
		found = e
		return e.Task == id && e.Kind == kind
	})
	return found
}

// spy is a hook that tells of commands before they are sent.
type spy func(cmd redis.Cmder)

func (s spy) DialHook(next redis.DialHook) redis.DialHook { return next }

func (s spy) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		s(cmd)
		return next(ctx, cmd)
	}
}

func (s spy) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// lease takes the next task of the world's queue as a worker would that dies at once.
func (w *world) lease(length time.Duration) *store.Lease {
	w.t.Helper()
	batch, err := store.New(w.rdb, store.Config{}).Dequeue(w.ctx, keys.Queue(w.queue),
		store.Wanted{Tasks: 1, Lease: length, Worker: "host:1:dead"})
	if err != nil || len(batch.Leases) != 1 {
		w.t.Fatalf("no task to lease: %+v, %v", batch, err)
	}
	return &batch.Leases[0]
}

// receive returns what comes out of a channel.
func receive[T any](w *world, from <-chan T, what string) T {
	w.t.Helper()
	select {
	case v := <-from:
		return v
	case <-w.ctx.Done():
		w.t.Fatalf("waited in vain for %s", what)
		panic("unreachable")
	}
}

// clock returns Redis' time.
func (w *world) clock() time.Time {
	w.t.Helper()
	now, err := w.rdb.Time(w.ctx).Result()
	if err != nil {
		w.t.Fatal(err)
	}
	return now
}

func (w *world) want(info seri.Info, state seri.State, reason seri.Reason, text string) {
	w.t.Helper()
	if info.State != state || info.Reason != reason || info.Error != text {
		w.t.Errorf("task %s is %s, reason %q, error %q; want %s, %q, %q", info.ID, info.State, info.Reason, info.Error, state, reason, text)
	}
}

type sum struct {
	A int `json:"a"`
	B int `json:"b"`
}

var add = seri.NewTask[sum, int]("math:add")

func handleAdd() seri.Handler {
	return add.HandledBy(func(_ context.Context, args sum) (int, error) { return args.A + args.B, nil })
}

// blocking is a task whose handler says when it starts, and ends when it is told to or when its context does.
type blocking struct {
	task    *seri.Task[string, string]
	started chan context.Context
	release chan string
}

func newBlocking(name string, options ...seri.Option) *blocking {
	return &blocking{seri.NewTask[string, string](name, options...), make(chan context.Context, 100), make(chan string, 100)}
}

func (b *blocking) handler() seri.Handler {
	return b.task.HandledBy(func(ctx context.Context, _ string) (string, error) {
		b.started <- ctx
		select {
		case result := <-b.release:
			return result, nil
		case <-ctx.Done():
			return "", fmt.Errorf("stopped: %w", context.Cause(ctx))
		}
	})
}
