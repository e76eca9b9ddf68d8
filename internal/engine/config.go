package engine

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/meter"
	"github.com/seri-queue/seri/internal/store"
	"github.com/seri-queue/seri/internal/wire"
)

// Config tunes an [Engine].
type Config struct {
	// Queues maps each queue to serve to its weight: how often it comes first. Default: {"default": 1}.
	Queues map[string]int
	// Strict serves a queue only while all of greater weight are empty.
	Strict bool
	// Slots is how many tasks run at once. Default: 10.
	Slots int
	// Lease is how long a task stays this worker's without a sign of life. Default: 30 s, as asynq's.
	Lease time.Duration
	// Grace is how long running tasks may take to end once the worker is told to stop. Default: 25 s,
	// which leaves 5 s of the 30 s that ECS and Kubernetes grant.
	Grace time.Duration
	// StuckAfter is how long a handler may go on once its context has ended; then its attempt is ended without it and its
	// slot written off until it returns. Default: 30 s.
	StuckAfter time.Duration
	// Crashes is after how many of its workers' deaths a task is archived as poison. Default: 3.
	Crashes int
	// ArchiveAge is how long failed and revoked tasks are kept. Default: 90 days, as asynq's.
	ArchiveAge time.Duration
	// ArchiveSize is how many of them a queue keeps: the oldest go first. Default: 9,999, as asynq's.
	ArchiveSize int
	// Handlers are the types of task that this worker runs.
	Handlers []seri.Handler
	// Fallback finds a handler for a type that Handlers does not name; nil result: none. If set, the worker takes tasks
	// of every type and fails those that it cannot run.
	Fallback func(typ string) *seri.Handler
	// Alive is called whenever the heartbeat's loop turns, at least every 5 s while it is well: also while Redis cannot be
	// reached, and until the last outcome is written. It must not block. Default: nobody is told.
	Alive func()
	// LogBytes is how many bytes of each task's own log are kept; 0: none is.
	LogBytes int
	// LogPlace is where in CloudWatch the worker's log is; then the place is kept with each task in place of its log. nil: it
	// is not there.
	LogPlace *wire.LogPlace
	// Protector is asked, while tasks run that Grace is too short for, to keep the worker from being stopped. nil: nobody is.
	Protector Protector
	// ProtectFor is how long it is asked to at a time, at most; 0: it is not.
	ProtectFor time.Duration
	// Logger receives the worker's log. Default: [slog.Default].
	Logger *slog.Logger
}

func (c Config) withDefaults() (Config, error) {
	if len(c.Queues) == 0 {
		c.Queues = map[string]int{seri.DefaultQueue: 1}
	}
	c.Slots = cmp.Or(c.Slots, 10)
	c.Lease = cmp.Or(c.Lease, 30*time.Second)
	c.Grace = cmp.Or(c.Grace, 25*time.Second)
	c.StuckAfter = cmp.Or(c.StuckAfter, 30*time.Second)
	c.Crashes = cmp.Or(c.Crashes, 3)
	c.ArchiveAge = cmp.Or(c.ArchiveAge, 90*24*time.Hour)
	c.ArchiveSize = cmp.Or(c.ArchiveSize, 9_999)
	c.Logger = cmp.Or(c.Logger, slog.Default())
	if c.Alive == nil {
		c.Alive = func() {}
	}

	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for _, name := range slices.Sorted(maps.Keys(c.Queues)) {
		if name == "" || strings.ContainsAny(name, "{}") {
			fault("option Queues names %q, must not be empty or contain a brace", name)
		}
		if c.Queues[name] < 1 {
			fault("option Queues gives %q the weight %d, must be at least 1", name, c.Queues[name])
		}
	}
	if c.Slots < 1 || c.Slots > 100_000 {
		fault("option Slots is %d, must be between 1 and 100,000", c.Slots)
	}
	if c.Lease < 100*time.Millisecond || c.Lease > time.Hour {
		fault("option Lease is %v, must be between 100ms and 1h", c.Lease)
	}
	if c.Grace < 0 {
		fault("option Grace is %v, must not be negative", c.Grace)
	}
	if c.ProtectFor < 0 || c.ProtectFor > 0 && c.ProtectFor < time.Minute {
		fault("option ProtectFor is %v, must be 0 or at least 1m", c.ProtectFor)
	}
	if c.StuckAfter < 0 {
		fault("option StuckAfter is %v, must not be negative", c.StuckAfter)
	}
	if c.Crashes < 1 {
		fault("option Crashes is %d, must be at least 1", c.Crashes)
	}
	if c.ArchiveAge < time.Second {
		fault("option ArchiveAge is %v, must be at least 1s", c.ArchiveAge)
	}
	if c.ArchiveSize < 1 {
		fault("option ArchiveSize is %d, must be at least 1", c.ArchiveSize)
	}
	if len(c.Handlers) == 0 && c.Fallback == nil {
		fault("option Handlers is empty: the worker could run nothing")
	}
	seen := make(map[string]bool)
	for _, h := range c.Handlers {
		switch {
		case h.Type == "" || h.Run == nil:
			fault("option Handlers has a handler %q without a type or a function; make it with Task.HandledBy", h.Type)
		case seen[h.Type]:
			fault("option Handlers names %q twice", h.Type)
		}
		seen[h.Type] = true
	}
	return c, errors.Join(errs...)
}

// Engine runs tasks. Make it with [New].
type Engine struct {
	Config
	store    *store.Store
	name     string // "host:pid:id"
	host     string
	id       string
	queues   []keys.Queue
	handlers map[string]bound
	types    []string // nil: every type
	started  time.Time
	slots    atomic.Pointer[slots] // while it runs
	meters   meter.Worker
}

// bound is what runs tasks of a type, and what counts them.
type bound struct {
	handler *seri.Handler
	meter   *meter.Type
}

// Stuck returns how many slots are written off, because their handlers ignore the end of their context.
func (e *Engine) Stuck() int {
	if s := e.slots.Load(); s != nil {
		return s.stuck()
	}
	return 0
}

// New returns an engine on a store. The error lists every fault of the configuration.
func New(s *store.Store, config Config) (*Engine, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	e := &Engine{
		Config: config, store: s, host: host, id: strings.ToLower(rand.Text()[:10]),
		handlers: make(map[string]bound), started: time.Now(),
	}
	e.name = fmt.Sprintf("%s:%d:%s", host, os.Getpid(), e.id)
	for _, name := range slices.Sorted(maps.Keys(config.Queues)) {
		e.queues = append(e.queues, keys.Queue(name))
	}
	for i := range config.Handlers {
		typ := config.Handlers[i].Type
		e.handlers[typ] = bound{&config.Handlers[i], e.meters.Type(typ)}
	}
	if config.Fallback == nil {
		e.types = slices.Sorted(maps.Keys(e.handlers))
	}
	return e, nil
}

// handler finds what runs tasks of a type, nil for nothing here, and what counts them.
func (e *Engine) handler(typ string) (*seri.Handler, *meter.Type) {
	if b, ok := e.handlers[typ]; ok || e.Fallback == nil {
		return b.handler, b.meter
	}
	return e.Fallback(typ), e.meters.Type(typ)
}

// Measure implements [meter.Source].
func (e *Engine) Measure(ctx context.Context, report meter.Report) {
	e.meters.Measure(ctx, report)
	report.Value(meter.WorkerSlots, float64(e.Slots))
	busy := 0
	if s := e.slots.Load(); s != nil {
		busy = s.busy()
	}
	report.Value(meter.WorkerBusy, float64(busy))
	report.Value(meter.WorkerStuck, float64(e.Stuck()))
}
