// Package worker runs tasks inside your own program.
//
//	w, err := worker.New(rdb, tasks.Handlers(mailer), worker.Config{Queues: map[string]int{"mail": 3, "default": 1}})
//	…
//	err = w.Run(ctx) // until ctx ends; then running tasks get a grace period
//
// Any number of workers may serve a queue. Each task is leased to one at a time; a worker that dies loses its leases, and
// their tasks are run by another. Handlers should be idempotent: see package [github.com/seri-queue/seri].
package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/engine"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/meter"
	"github.com/seri-queue/seri/internal/partition"
	"github.com/seri-queue/seri/internal/store"
	"github.com/seri-queue/seri/internal/wire"
)

// Config tunes a [Worker]. The zero value is ready to use.
type Config struct {
	// Queues maps each queue to serve to its weight: with weights 3 and 1, the first comes first three times out of four.
	// Default: {"default": 1}.
	Queues map[string]int
	// Strict serves a queue only while all of greater weight are empty. Default: false.
	Strict bool
	// Partitions divides queues that are too big for one node of a Redis Cluster: into how many partitions, at most 64, by
	// name. A worker that serves a queue serves all of its partitions, which share the queue's weight. It must look
	// wherever producers place tasks: [Worker.Run] returns a [*seri.PartitionsError] at once if there are more partitions
	// on record than it would serve, and complains in its log if that comes to be while it runs. Queues that it does not
	// serve may be named. Default: none is divided.
	Partitions map[string]int
	// Slots is how many tasks run at once. Default: 10.
	Slots int
	// Lease is how long a task stays this worker's without a sign of life; three signs are given within nine tenths of it.
	// A dead worker's tasks run again a second or two after it. Default: 30 s, as asynq's.
	Lease time.Duration
	// Grace is how long running tasks may take to end once the worker is told to stop; then their contexts end with
	// [seri.ErrStopping] and the tasks are handed back. Default: 25 s, which leaves 5 s of the 30 s that ECS and
	// Kubernetes grant.
	Grace time.Duration
	// StuckAfter is how long a handler may go on once its context has ended, be it by a timeout, a revocation or a lost
	// lease. Then the log names it and shows its stack, its attempt ends as if it had returned that error, and its slot is
	// used no more until it does return. Default: 30 s.
	StuckAfter time.Duration
	// Crashes is after how many of its workers' deaths a task is archived as poison. Default: 3.
	Crashes int
	// ArchiveAge is how long failed and revoked tasks are kept: at least 1 s. What goes is told by an event and counted.
	// Default: 90 days, as asynq's.
	ArchiveAge time.Duration
	// ArchiveSize is how many of them a queue keeps: the oldest go first. Default: 9,999, as asynq's. A stock server or
	// Inspector that archives a task keeps no more than that, and tells nobody.
	ArchiveSize int
	// Asynq runs the types that no handler names: an existing [asynq.Handler] or [*asynq.ServeMux]. With it the worker
	// takes tasks of every type; one that no pattern of the mux matches fails its attempt, as in asynq.
	// The functions of package asynq that read its own context (GetTaskID, GetRetryCount, …) find nothing there, and
	// [asynq.Task.ResultWriter] is nil: use [seri.ExecutionFrom] instead. Default: none.
	Asynq asynq.Handler
	// MaxEvents is about how many entries each queue's event stream keeps. Default: 10,000.
	MaxEvents int
	// Events says how events travel: "streams", "memory", "pubsub" or "sharded-pubsub", as docs/events.md explains. All
	// programs on one Redis must say the same. Default: "streams".
	Events string
	// LogBytes is how many bytes of each task's own log are kept in Redis: what its handler writes to [seri.Log], for
	// GET /v1/tasks/{id}/logs and the page. The oldest lines go first. Default: 64 KiB; negative: none is kept.
	LogBytes int
	// LogStream is the stream of CloudWatch Logs in which the lines of Logger end up, as JSON. Then not the lines are kept
	// in Redis but where they are. Default: they do not end up there.
	LogStream *LogStream
	// Protector is asked to keep the platform from stopping this worker, to scale in or to deploy, while it runs tasks that
	// Grace may be too short for: package [github.com/seri-queue/seri/worker/ecs] has one. No task waits for it, or fails
	// by it. Default: nobody is asked.
	Protector Protector
	// ProtectFor is for how long at a time it is asked to, at most, so that deployments get their turn: more than the
	// longest task takes. At least 1 min. Default: it is not asked.
	ProtectFor time.Duration
	// Alive is called at least every 5 s while the loop that keeps leases alive turns as it should: also while Redis cannot
	// be reached, be it before the first task, and until the last outcome is written. A worker that has not called it for a minute hangs and should be
	// replaced. It must not block. Default: nobody is told.
	Alive func()
	// Logger receives the worker's log. Default: [slog.Default].
	Logger *slog.Logger
}

// Protector keeps the platform from stopping a worker on purpose.
type Protector = engine.Protector

// LogStream names a stream of CloudWatch Logs.
type LogStream struct {
	Region string // empty: that of who reads it
	Group  string
	Stream string
}

// defaultLogBytes is a few hundred lines: what a person reads.
const defaultLogBytes = 64 << 10

// Worker runs tasks. Make it with [New].
type Worker struct {
	engine     *engine.Engine
	store      *store.Store
	served     []keys.Queue
	rdb        redis.UniversalClient
	partitions *partition.Table
	queues     []string // as their producers name them
	alive      func()
	logger     *slog.Logger
}

// New returns a worker that runs the given handlers' types of task. rdb must be a [*redis.Client] or a
// [*redis.ClusterClient] with MaxRetries: -1; client.OpenRedis makes one. The error lists every fault of the configuration.
func New(rdb redis.UniversalClient, handlers []seri.Handler, config Config) (*Worker, error) {
	if len(config.Queues) == 0 {
		config.Queues = map[string]int{seri.DefaultQueue: 1}
	}
	if config.Alive == nil {
		config.Alive = func() {}
	}
	w := &Worker{
		rdb: rdb, queues: slices.Sorted(maps.Keys(config.Queues)), alive: config.Alive, logger: cmp.Or(config.Logger, slog.Default()),
	}
	var wrong, fault error
	if w.partitions, config.Queues, wrong = divide(config); wrong == nil && w.partitions != nil {
		handlers = slices.Clone(handlers)
		for i, h := range handlers {
			handlers[i] = undivided(w.partitions, h)
		}
	}
	if config.LogStream != nil && (config.LogStream.Group == "" || config.LogStream.Stream == "") {
		wrong = errors.Join(wrong, errors.New("option LogStream names no group or no stream"))
	}
	carrier, err := store.ParseCarrier(config.Events)
	if err != nil {
		wrong = errors.Join(wrong, fmt.Errorf("option Events: %w", err))
	}
	w.store = store.New(rdb, store.Config{MaxEvents: config.MaxEvents, Events: carrier})
	for _, name := range slices.Sorted(maps.Keys(config.Queues)) {
		w.served = append(w.served, keys.Queue(name))
	}
	w.engine, fault = engine.New(w.store, engine.Config{
		Queues: config.Queues, Strict: config.Strict, Slots: config.Slots, Lease: config.Lease, Grace: config.Grace,
		StuckAfter: config.StuckAfter, Crashes: config.Crashes,
		ArchiveAge: config.ArchiveAge, ArchiveSize: config.ArchiveSize, Handlers: handlers, Fallback: fallback(config.Asynq, w.partitions), Alive: config.Alive,
		LogBytes: max(cmp.Or(config.LogBytes, defaultLogBytes), 0), LogPlace: config.LogStream.place(), Logger: config.Logger,
		Protector: config.Protector, ProtectFor: config.ProtectFor,
	})
	if err := errors.Join(wrong, fault); err != nil {
		return nil, fmt.Errorf("worker: %w", err)
	}
	return w, nil
}

func (s *LogStream) place() *wire.LogPlace {
	if s == nil {
		return nil
	}
	return &wire.LogPlace{Region: s.Region, Group: s.Group, Stream: s.Stream}
}

// Run takes tasks and runs them until ctx ends, and then stops as [Config.Grace] says. When it returns, every lease is
// settled or handed back. It returns an error if the worker could not go on; at once if it would leave partitions of a queue
// unserved, or if its Redis user may not do all that a worker does to a queue; [seri.ErrStuck] if handlers that ignore the end of their context hold every slot, which only a new process can
// free.
func (w *Worker) Run(ctx context.Context) error {
	err := w.permitted(ctx)
	if err == nil {
		err = w.agree(ctx)
	}
	if err != nil {
		if ctx.Err() != nil {
			return nil // asked to stop before it began
		}
		return err
	}
	watching, end := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { w.watch(watching, watchEvery) })
	defer watch.Wait()
	defer end()
	return w.engine.Run(ctx)
}

// Measure hands the worker's figures to report. It is for package [github.com/seri-queue/seri/metrics], which shows them.
func (w *Worker) Measure(ctx context.Context, report meter.Report) { w.engine.Measure(ctx, report) }

// Stuck returns how many slots are lost to handlers that ignore the end of their context. It is for health checks: a
// worker that has lost many may as well be replaced.
func (w *Worker) Stuck() int { return w.engine.Stuck() }
