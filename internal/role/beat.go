package role

import (
	"context"
	"io"
	"os"
	"time"

	"github.com/seri-queue/seri/beat"
	"github.com/seri-queue/seri/internal/schedule"
)

// Beat enqueues tasks on a schedule.
type Beat struct {
	Common
	Beating `embed:""`
}

// Beating are the settings of how a beat beats.
type Beating struct {
	Schedules string   `env:"SERI_SCHEDULES" placeholder:"FILE" help:"YAML file of schedules; see docs/schedules.md."`
	BeatLease Duration `env:"SERI_BEAT_LEASE" default:"5s" placeholder:"DURATION" help:"How long a beat that led and died keeps the others waiting."`
}

// Check implements [Role].
func (b *Beat) Check() error {
	var f faults
	b.Common.check(&f)
	if b.Schedules == "" {
		f.add("schedules", "is missing: a beat without schedules has nothing to do")
	}
	b.Beating.check(&f)
	return f.err()
}

func (b *Beating) check(f *faults) {
	f.limit("beat-lease", b.BeatLease, 100*time.Millisecond, 0)
	_, err := b.load()
	f.check("schedules", err)
}

// load reads the file of schedules. Without one there is no list of them: what is in Redis is served.
func (b *Beating) load() (beat.File, error) {
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
func (b *Beat) Run(ctx context.Context, _, log io.Writer) error {
	logger := b.logger(log)
	rdb, err := b.connect(ctx, logger)
	if err != nil {
		return err
	}
	defer rdb.Close()
	file, err := b.load()
	if err != nil {
		return err
	}
	beating, err := beat.New(rdb, file.Schedules, beat.Config{
		Lease: b.BeatLease.Duration, Revision: file.Revision, MaxEvents: b.MaxEvents.N, Logger: logger,
	})
	if err != nil {
		return err
	}
	logger.InfoContext(ctx, "beat started", "schedules", len(file.Schedules), "revision", file.Revision, "lease", b.BeatLease, "tzdata", schedule.ZonesVersion())
	defer tellStop(ctx, logger)()
	return beating.Run(ctx)
}
