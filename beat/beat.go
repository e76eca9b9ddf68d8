// Package beat enqueues tasks on a schedule.
//
//	file, err := beat.Read(reader)
//	…
//	b, err := beat.New(rdb, file.Schedules, beat.Config{Revision: file.Revision})
//	…
//	err = b.Run(ctx)
//
// Any number of beats may run on the same schedules: one leads, another takes over at once when it is stopped, and at
// the end of its lease when it dies.
//
// # Schedules in Redis
//
// The definition of a schedule and its next tick are kept in Redis, in the slot of the queue that its tasks go to. A beat
// that begins to lead applies its own list: what is new is added, what has changed is replaced, what has left the list is
// removed. Schedules that were made at run time are served too, and not touched. A schedule whose timing has not changed
// keeps its next tick, so that a deploy neither drops nor repeats one.
//
// While a deploy is under way, beats with different lists take turns to lead. With [Config.Revision] none goes back behind a
// list of a higher revision that was applied once: it serves that one, from Redis. Among equal revisions, the newest leader's
// list holds, and so in the end that of the beats that stay.
//
// # Guarantees
//
// Each tick is enqueued once in the surviving history of Redis, whatever the number of beats and even if two of them take
// themselves for the leader: a tick is compared and set in the same step in which its task is stored. A tick's task has
// an ID that names schedule and tick, so a tick that is fired again after a failover that lost writes is the same task.
// No task starts before its tick, by Redis' clock. What becomes of ticks that nobody fired in time is a matter of the
// schedule's policy; those that are not made up for are counted in an event.
package beat

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/meter"
	"github.com/seri-queue/seri/internal/pause"
	"github.com/seri-queue/seri/internal/permit"
	"github.com/seri-queue/seri/internal/schedule"
	"github.com/seri-queue/seri/internal/store"
	"github.com/seri-queue/seri/lock"
)

// Schedule is a periodic task: when, what, and under which terms and policies.
type Schedule = schedule.Schedule

// Policy says what a schedule does when something stands in the way of a tick. It is a part of a [Schedule].
type Policy = schedule.Policy

// File is what a file of schedules says.
type File = schedule.File

// The choices of a [Policy].
const (
	CatchupNone   = schedule.CatchupNone
	CatchupLatest = schedule.CatchupLatest
	CatchupAll    = schedule.CatchupAll

	OverlapAllow          = schedule.OverlapAllow
	OverlapSkip           = schedule.OverlapSkip
	OverlapBufferOne      = schedule.OverlapBufferOne
	OverlapBufferAll      = schedule.OverlapBufferAll
	OverlapCancelOther    = schedule.OverlapCancelOther
	OverlapTerminateOther = schedule.OverlapTerminateOther
)

// Read reads a YAML file of schedules; docs/schedules.md describes it. The error lists every fault with its line.
func Read(r io.Reader) (File, error) { return schedule.Read(r) }

// Load is [Read] for who is not interested in the file's revision.
func Load(r io.Reader) ([]Schedule, error) { return schedule.Load(r) }

// NewSchedule returns the schedule that enqueues task whenever spec says, in the given zone (nil: UTC). spec is a cron
// expression of five or six fields, a macro such as @daily, "@every 90s", "@at 2026-12-24T18:00:00",
// "@solar sunset 52.52 13.405", or "DTSTART:… RRULE:…" as in RFC 5545. The task's own ID, ETA, Deadline and UniqueFor are
// not honoured. Set the fields of [Policy] on what is returned; [New] checks them.
func NewSchedule(id, spec string, zone *time.Location, task seri.Message) (Schedule, error) {
	parsed, err := schedule.Parse(spec, zone)
	if err != nil {
		return Schedule{}, fmt.Errorf("schedule %s: %w", id, err)
	}
	s := Schedule{ID: id, Spec: parsed, Task: task, Enabled: true}
	if err := s.Validate(); err != nil {
		return Schedule{}, err
	}
	return s, nil
}

// Config tunes a [Beat]. The zero value is ready to use.
type Config struct {
	// Lock names the lock under which the beats of one set of schedules elect their leader. Default: "beat".
	Lock string
	// Lease is how long a leader that died keeps the others waiting. Default: 5 s.
	Lease time.Duration
	// Revision orders the lists of schedules: beats do not go back to a list of a lower one. Default: 0, the lowest.
	Revision uint64
	// MaxEvents is about how many entries each queue's event stream keeps. Default: 10,000.
	MaxEvents int
	// Events says how events travel: "streams", "memory", "pubsub" or "sharded-pubsub", as docs/events.md explains. All
	// programs on one Redis must say the same. Default: "streams".
	Events string
	// Alive is called at least every 10 s, and the time of a few calls to Redis, while the loop of the beat turns as it
	// should, be it leading or waiting to, also while Redis cannot be reached. It must not block. Default: nobody is told.
	Alive func()
	// Logger receives the beat's log. Default: [slog.Default].
	Logger *slog.Logger
}

// Beat enqueues the tasks of a set of schedules. Make it with [New].
type Beat struct {
	config   Config
	declared map[ref]*declaration // nil: no list, serve what is in Redis
	locks    *lock.Locks
	store    records
	patience time.Duration // how long it waits to lead before it looks up
	now      func(context.Context) (time.Time, error)
	meters   meter.Beat
	permit   func(context.Context) error // whether this beat's Redis user may do all that a beat does
}

// ref names a schedule.
type ref struct {
	queue keys.Queue
	id    string
}

// declaration is a schedule of the beat's own list, ready to be compared with the record of it.
type declaration struct {
	Schedule
	definition       []byte
	revision, timing string
}

// New returns a beat for schedules. Those that are not enabled are kept in Redis, but do not tick. nil stands for no list at
// all: the beat serves what is in Redis; an empty list removes what earlier lists have made. The error lists every fault.
// rdb needs the option MaxRetries: -1; client.OpenRedis makes one.
func New(rdb redis.UniversalClient, schedules []Schedule, config Config) (*Beat, error) {
	config.Lock = cmp.Or(config.Lock, "beat")
	config.Lease = cmp.Or(config.Lease, 5*time.Second)
	config.Logger = cmp.Or(config.Logger, slog.Default())
	var errs []error
	if config.Lease < 100*time.Millisecond {
		errs = append(errs, fmt.Errorf("option Lease is %v, must be at least 100ms", config.Lease))
	}
	carrier, err := store.ParseCarrier(config.Events)
	if err != nil {
		errs = append(errs, fmt.Errorf("option Events: %w", err))
	}
	declared, err := declare(schedules)
	if err := errors.Join(append(errs, err)...); err != nil {
		return nil, fmt.Errorf("beat: %w", err)
	}
	locks, records := lock.New(rdb), store.New(rdb, store.Config{MaxEvents: config.MaxEvents, Events: carrier})
	return &Beat{
		config:   config,
		declared: declared,
		locks:    locks,
		store:    records,
		patience: 10 * time.Second,
		now:      func(ctx context.Context) (time.Time, error) { return rdb.Time(ctx).Result() },
		permit: func(ctx context.Context) error {
			if err := locks.Permitted(ctx, config.Lock); err != nil {
				return err
			}
			queues := make(map[keys.Queue]bool)
			for r := range declared {
				queues[r.queue] = true
			}
			for _, q := range slices.Sorted(maps.Keys(queues)) {
				if err := records.Permit(ctx, q, store.Ticking); err != nil {
					return err
				}
			}
			return nil
		},
	}, nil
}

func declare(schedules []Schedule) (map[ref]*declaration, error) {
	if schedules == nil {
		return nil, nil
	}
	all, errs := make([]*declaration, len(schedules)), make([]error, len(schedules))
	var wg sync.WaitGroup
	part := len(schedules)/runtime.GOMAXPROCS(0) + 1
	for first := 0; first < len(schedules); first += part { // of many schedules this is a good part of the start
		wg.Go(func() {
			for i := first; i < min(first+part, len(schedules)); i++ {
				all[i], errs[i] = declarationOf(schedules[i])
			}
		})
	}
	wg.Wait()
	declared := make(map[ref]*declaration, len(schedules))
	seen := make(map[string]bool, len(schedules))
	for i := range schedules {
		s := &schedules[i]
		if seen[s.ID] {
			errs[i] = fmt.Errorf("two schedules have the id %q", s.ID)
			continue
		}
		seen[s.ID] = true
		if errs[i] == nil {
			declared[ref{keys.Queue(s.Task.Queue), s.ID}] = all[i]
		}
	}
	return declared, errors.Join(errs...)
}

func declarationOf(s Schedule) (*declaration, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	definition, err := s.MarshalJSON()
	if err != nil {
		return nil, err
	}
	return &declaration{s, definition, schedule.Digest(definition), s.Timing()}, nil
}

// defined returns the schedule of a definition on record.
func defined(definition []byte) (*Schedule, error) {
	s := new(Schedule)
	err := json.Unmarshal(definition, s)
	return s, err
}

// errWaited is why a beat that waits to lead looks up: it has waited long enough to show that it is alive.
var errWaited = errors.New("another beat leads")

// Run leads, or waits to lead, until ctx ends. It returns an error at once if the Redis user may not do all that a beat does.
func (b *Beat) Run(ctx context.Context) error {
	if err := b.permitted(ctx); err != nil {
		return fmt.Errorf("beat: %w", err)
	}
	defer b.config.Logger.InfoContext(ctx, "beat stopped")
	for ctx.Err() == nil {
		b.turn()
		waiting, end := context.WithCancelCause(ctx)
		patience := time.AfterFunc(b.patience, func() { end(errWaited) })
		err := b.locks.Do(waiting, b.config.Lock, b.config.Lease, func(ctx context.Context, token uint64) error {
			if !patience.Stop() {
				return errWaited
			}
			return b.lead(ctx, token)
		})
		patience.Stop()
		waited := context.Cause(waiting) == errWaited
		end(nil)
		if ctx.Err() != nil {
			return nil
		}
		if waited {
			continue
		}
		b.config.Logger.WarnContext(ctx, "beat does not lead", "error", err)
		pause.For(ctx, time.Second/2+rand.N(time.Second)) // beats that lost the same Redis do not come back in step
	}
	return nil
}

// Measure hands the beat's figures to report. It is for package [github.com/seri-queue/seri/metrics], which shows them.
func (b *Beat) Measure(ctx context.Context, report meter.Report) { b.meters.Measure(ctx, report) }

// permitted returns a [*permit.DeniedError] if something is denied. If Redis does not answer, the beat begins all the same.
func (b *Beat) permitted(ctx context.Context) error {
	if b.permit == nil {
		return nil
	}
	ask, cancel := context.WithTimeout(ctx, b.patience)
	defer cancel()
	err := b.permit(ask)
	if _, denied := errors.AsType[*permit.DeniedError](err); denied {
		return err
	}
	if err != nil && ctx.Err() == nil {
		b.config.Logger.WarnContext(ctx, "permissions not checked", "error", err)
	}
	return nil
}

// turn tells that the loop turns.
func (b *Beat) turn() {
	if b.config.Alive != nil {
		b.config.Alive()
	}
}

// sorted returns the references of schedules in an order that is the same for every beat.
func sorted[V any](of map[ref]V) []ref {
	refs := make([]ref, 0, len(of))
	for r := range of {
		refs = append(refs, r)
	}
	slices.SortFunc(refs, func(a, b ref) int { return cmp.Or(cmp.Compare(a.queue, b.queue), cmp.Compare(a.id, b.id)) })
	return refs
}
