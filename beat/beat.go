// Package beat enqueues tasks on a schedule.
//
//	schedules, err := beat.Load(file)
//	…
//	b, err := beat.New(rdb, schedules, beat.Config{})
//	…
//	err = b.Run(ctx)
//
// Any number of beats may run on the same schedules: one leads; another takes over at once when it ends, and when its lease
// is over if it dies.
//
// # Guarantees
//
// Each tick is enqueued once in the surviving history of Redis, whatever the number of beats and even if two of them take
// themselves for the leader: a tick is compared and set in the same step in which its task is stored. A tick's task has
// an ID that names schedule and tick. After an outage the latest missed tick is made up for if it is no older than an
// hour; older ones are skipped, and the log says so.
package beat

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/schedule"
	"github.com/seri-queue/seri/internal/store"
	"github.com/seri-queue/seri/lock"
)

// Schedule is a periodic task: when, what, and under which terms.
type Schedule = schedule.Schedule

// Load reads a YAML file of schedules; docs/schedules.md describes it. The error lists every fault with its line.
func Load(r io.Reader) ([]Schedule, error) { return schedule.Load(r) }

// NewSchedule returns the schedule that enqueues task whenever spec says, in the given zone (nil: UTC). spec is a cron
// expression of five or six fields, a macro such as @daily, or "@every 90s". The task's own ID, ETA and UniqueFor are not
// honoured.
func NewSchedule(id, spec string, zone *time.Location, task seri.Message) (Schedule, error) {
	if zone == nil {
		zone = time.UTC
	}
	parsed, err := schedule.Parse(spec, zone)
	if err != nil {
		return Schedule{}, fmt.Errorf("schedule %s: %w", id, err)
	}
	s := Schedule{ID: id, Spec: parsed, Task: task, Enabled: true}
	if _, err := s.Message(time.Unix(0, 0)); err != nil {
		return Schedule{}, err
	}
	return s, nil
}

// Config tunes a [Beat]. The zero value is ready to use.
type Config struct {
	// Lock names the lock under which the beats of one set of schedules elect their leader. Default: "beat".
	Lock string
	// Lease is how long a leader that died keeps the others waiting. Default: 10 s.
	Lease time.Duration
	// MaxEvents is about how many entries each queue's event stream keeps. Default: 10,000.
	MaxEvents int
	// Logger receives the beat's log. Default: [slog.Default].
	Logger *slog.Logger
}

// Beat enqueues the tasks of a set of schedules. Make it with [New].
type Beat struct {
	config    Config
	schedules []Schedule
	locks     *lock.Locks
	ticks     ticks
	now       func(context.Context) (time.Time, error)
}

// New returns a beat for the enabled ones of schedules. rdb needs the option MaxRetries: -1.
func New(rdb redis.UniversalClient, schedules []Schedule, config Config) (*Beat, error) {
	config.Lock = cmp.Or(config.Lock, "beat")
	config.Lease = cmp.Or(config.Lease, 10*time.Second)
	config.Logger = cmp.Or(config.Logger, slog.Default())
	if config.Lease < 100*time.Millisecond {
		return nil, fmt.Errorf("beat: option Lease is %v, must be at least 100ms", config.Lease)
	}
	var errs []error
	var enabled []Schedule
	seen := make(map[string]bool)
	for _, s := range schedules {
		if seen[s.ID] {
			errs = append(errs, fmt.Errorf("beat: two schedules have the id %q", s.ID))
		}
		seen[s.ID] = true
		if s.Enabled {
			enabled = append(enabled, s)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	slices.SortFunc(enabled, func(a, b Schedule) int { return cmp.Compare(a.ID, b.ID) })
	return &Beat{
		config:    config,
		schedules: enabled,
		locks:     lock.New(rdb),
		ticks:     store.New(rdb, store.Config{MaxEvents: config.MaxEvents}),
		now:       func(ctx context.Context) (time.Time, error) { return rdb.Time(ctx).Result() },
	}, nil
}

// Run leads, or waits to lead, until ctx ends.
func (b *Beat) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		err := b.locks.Do(ctx, b.config.Lock, b.config.Lease, func(ctx context.Context, token uint64) error {
			b.config.Logger.InfoContext(ctx, "beat leads", "token", token, "schedules", len(b.schedules))
			return b.lead(ctx, token)
		})
		if ctx.Err() != nil {
			return nil
		}
		b.config.Logger.WarnContext(ctx, "beat does not lead", "error", err)
		pause(ctx, time.Second/2+rand.N(time.Second)) // beats that lost the same Redis do not come back in step
	}
	return nil
}
