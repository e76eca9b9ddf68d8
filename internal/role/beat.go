package role

import (
	"context"
	"io"
	"os"
	"strings"
	"time"

	"github.com/seri-queue/seri/beat"
	"github.com/seri-queue/seri/internal/run"
	"github.com/seri-queue/seri/internal/schedule"
)

// Beat enqueues tasks on a schedule.
type Beat struct {
	Common
	Beating `embed:""`
	Alive   `embed:""`
	Admin   `embed:""`
}

// Beating are the settings of how a beat beats.
type Beating struct {
	Schedules     string   `env:"SERI_SCHEDULES" placeholder:"FILE" help:"YAML file of schedules; see docs/schedules.md. Without one, what is in Redis is served."`
	SchedulesText string   `env:"SERI_SCHEDULES_TEXT" placeholder:"YAML" help:"The schedules themselves, in place of a file."`
	BeatLease     Duration `env:"SERI_BEAT_LEASE" default:"5s" placeholder:"DURATION" help:"How long a beat that led and died keeps the others waiting."`
}

// Check implements [Role].
func (b *Beat) Check() error {
	var f faults
	b.Common.check(&f)
	b.Beating.check(&f)
	b.Alive.check(&f)
	b.Admin.check(&f)
	return f.err()
}

func (b *Beating) check(f *faults) {
	f.limit("beat-lease", b.BeatLease, 100*time.Millisecond, 0)
	setting := "schedules"
	if b.SchedulesText != "" {
		setting = "schedules-text"
		if b.Schedules != "" {
			f.add(setting, "is given beside --schedules; leave out one of them")
		}
	}
	_, err := b.load()
	f.check(setting, err)
}

// load reads the schedules, from the setting or the file. Without either there is no list of them: what is in Redis is
// served.
func (b *Beating) load() (beat.File, error) {
	if b.SchedulesText != "" {
		return beat.Read(strings.NewReader(b.SchedulesText))
	}
	if b.Schedules == "" {
		return beat.File{}, nil
	}
	file, err := os.Open(b.Schedules)
	if err != nil {
		return beat.File{}, err
	}
	defer file.Close()
	return beat.Read(file)
}

// Run implements [Role].
func (b *Beat) Run(ctx context.Context, out, log io.Writer) error {
	logger, lines, end, err := b.Log.open(ctx, "beat", log)
	if err != nil {
		return err
	}
	defer end()
	rdb, err := b.connect(ctx, logger)
	if err != nil {
		return err
	}
	defer rdb.Close()
	trips := meterRedis(rdb)
	file, err := b.load()
	if err != nil {
		return err
	}
	pulse := newPulse()
	beating, err := beat.New(rdb, file.Schedules, beat.Config{
		Lease: b.BeatLease.Duration, Revision: file.Revision, MaxEvents: b.MaxEvents.N, Events: string(b.carrier()), Alive: pulse.turn, Logger: logger,
	})
	if err != nil {
		return err
	}
	health, err := b.Alive.watch(ctx, pulse)
	if err != nil {
		return err
	}
	parts, err := b.Admin.tell(ctx, "beat", out, logger, beating, trips, memoryOf(rdb), lines)
	if err != nil {
		return err
	}
	logger.InfoContext(ctx, "beat started", "schedules", len(file.Schedules), "revision", file.Revision, "lease", b.BeatLease.Duration, "tzdata", schedule.ZonesVersion())
	defer tellStop(ctx, logger)()
	return run.Stack(ctx, append(parts, health, run.Part{Name: "schedules", Run: beating.Run})...)
}
