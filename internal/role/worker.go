package role

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/run"
	"github.com/seri-queue/seri/internal/telemetry"
	"github.com/seri-queue/seri/tasks"
	"github.com/seri-queue/seri/tracing"
	"github.com/seri-queue/seri/worker"
)

// Worker runs tasks.
type Worker struct {
	Common
	Work    `embed:""`
	Divide  `embed:""`
	Tasks   `embed:""`
	Alive   `embed:""`
	Admin   `embed:""`
	OwnLogs `embed:""`
	Protect `embed:""`
}

// Work are the settings of how a worker works.
type Work struct {
	Queues     Weights  `env:"SERI_QUEUES" default:"default=1" placeholder:"NAME=WEIGHT,…" help:"Queues to serve. With weights 3 and 1, the first comes first three times out of four."`
	Strict     Switch   `env:"SERI_STRICT" help:"Serve a queue only while all of greater weight are empty."`
	Slots      Count    `env:"SERI_SLOTS" default:"10" placeholder:"TASKS" help:"How many tasks run at once."`
	Lease      Duration `env:"SERI_LEASE" default:"30s" placeholder:"DURATION" help:"How long a task stays a worker's without a sign of life: a dead worker's tasks run again a second or two later."`
	Grace      Duration `env:"SERI_GRACE" default:"25s" placeholder:"DURATION" help:"How long running tasks may take to end after SIGTERM; then they are handed back."`
	StuckAfter Duration `env:"SERI_STUCK_AFTER" default:"30s" placeholder:"DURATION" help:"How long a handler may go on once its context has ended; then its task is let go and its slot is lost until it returns. With the last slot the worker ends."`
	Crashes    Count    `env:"SERI_CRASHES" default:"3" placeholder:"DEATHS" help:"After how many of its workers' deaths a task is archived as poison."`

	ArchiveAge  Duration `env:"SERI_ARCHIVE_AGE" default:"2160h" placeholder:"DURATION" help:"How long failed and revoked tasks are kept. 2160h are 90 days."`
	ArchiveSize Count    `env:"SERI_ARCHIVE_SIZE" default:"9999" placeholder:"TASKS" help:"How many failed and revoked tasks a queue keeps; the oldest go first."`
}

// Tasks are the settings of the tasks that come with Seri.
type Tasks struct {
	AllowHosts []string `env:"SERI_ALLOW_HOSTS" placeholder:"HOST,…" help:"Hosts, addresses or networks inside your own that tasks may call: app.internal, 10.1.0.0/16, localhost:3000. By default only public ones."`
	OutputDir  string   `env:"SERI_OUTPUT_DIR" default:"./.seri/files" placeholder:"DIR" help:"Where tasks write files."`
	FilesDir   string   `env:"SERI_FILES_DIR" placeholder:"DIR" help:"Directory below which tasks may read file: URLs. By default none."`
}

// Check implements [Role].
func (w *Worker) Check() error {
	var f faults
	w.Common.check(&f)
	w.Work.check(&f)
	f.add("partitions", w.Partitions.wrong)
	w.Tasks.check(&f)
	w.Alive.check(&f)
	w.Admin.check(&f)
	w.OwnLogs.check(&f)
	w.Protect.check(&f)
	checkTracing(&f)
	return f.err()
}

// maxSlots is the engine's own limit.
const maxSlots = 100_000

func (w *Work) check(f *faults) {
	f.add("queues", w.Queues.wrong)
	f.add("slots", w.Slots.wrong)
	if w.Slots.N > maxSlots {
		f.add("slots", fmt.Sprintf("is %d, must be at most %d", w.Slots.N, maxSlots))
	}
	f.add("strict", w.Strict.wrong)
	f.limit("lease", w.Lease, 100*time.Millisecond, time.Hour)
	f.limit("grace", w.Grace, 0, 0)
	f.limit("stuck-after", w.StuckAfter, time.Millisecond, 0)
	f.add("crashes", w.Crashes.wrong)
	f.limit("archive-age", w.ArchiveAge, time.Second, 0)
	f.add("archive-size", w.ArchiveSize.wrong)
}

// Run implements [Role].
func (w *Worker) Run(ctx context.Context, out, log io.Writer) error {
	logger, lines, end, err := w.Log.open(ctx, "worker", log)
	if err != nil {
		return err
	}
	defer end()
	spans, endSpans, err := telemetry.Open(ctx, "worker", Version(), logger)
	if err != nil {
		return err
	}
	defer endSpans()
	if err := w.Tasks.writable(); err != nil {
		return err
	}
	rdb, err := w.connect(ctx, logger)
	if err != nil {
		return err
	}
	defer rdb.Close()
	trips := meterRedis(rdb)
	handlers, err := w.Tasks.handlers()
	if err != nil {
		return err
	}
	handlers = tracing.Consumer(handlers, spans)
	pulse := newPulse()
	health, err := w.Alive.watch(ctx, pulse)
	if err != nil {
		return err
	}
	config := worker.Config{Partitions: w.Partitions.ByQueue, MaxEvents: w.MaxEvents.N, Events: string(w.carrier()), Alive: pulse.turn, Logger: logger}
	if err := w.OwnLogs.keep(ctx, &w.Log, &config, logger); err != nil {
		return err
	}
	w.Protect.ask(&config)
	working, err := w.Work.worker(rdb, handlers, config)
	if err != nil {
		return err
	}
	parts, err := w.Admin.tell(ctx, "worker", out, logger, working, trips, lines)
	if err != nil {
		return err
	}
	defer tellStop(ctx, logger)()
	return run.Stack(ctx, append(parts, health, run.Part{Name: "worker", Run: working.Run})...)
}

func (t *Tasks) check(f *faults) {
	_, err := t.handlers()
	if err == nil {
		return
	}
	settings := map[string]string{"AllowHosts": "allow-hosts", "AllowFiles": "files-dir", "OutputDir": "output-dir"}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		option, what, _ := strings.Cut(strings.TrimPrefix(line, "option "), ": ")
		if setting, ok := settings[option]; ok {
			f.add(setting, "is wrong: "+what)
		} else { // the lines of one option's error after its first
			f.add("allow-hosts", "is wrong: "+line)
		}
	}
}

// writable makes sure that tasks can write files, which else each of them would find out. Without a directory none is to be
// written.
func (t *Tasks) writable() error {
	if t.OutputDir == "" {
		return nil
	}
	err := os.MkdirAll(t.OutputDir, 0o755)
	if err == nil {
		var file *os.File
		if file, err = os.CreateTemp(t.OutputDir, ".tmp-"); err == nil {
			err = errors.Join(file.Close(), os.Remove(file.Name()))
		}
	}
	if err != nil {
		return fmt.Errorf("--output-dir (SERI_OUTPUT_DIR) is %q, where files cannot be written: %w; name another directory, or \"\" if this worker's tasks write none", t.OutputDir, err)
	}
	return nil
}

func (t *Tasks) handlers() ([]seri.Handler, error) {
	return tasks.Handlers(tasks.Config{AllowHosts: t.AllowHosts, OutputDir: t.OutputDir, AllowFiles: t.FilesDir})
}

// worker works with the given handlers; config holds what is not among the settings of [Work].
func (w *Work) worker(rdb redis.UniversalClient, handlers []seri.Handler, config worker.Config) (*worker.Worker, error) {
	config.Queues, config.Strict, config.Slots = w.Queues.ByQueue, w.Strict.On, w.Slots.N
	config.Lease, config.StuckAfter, config.Crashes = w.Lease.Duration, w.StuckAfter.Duration, w.Crashes.N
	config.ArchiveAge, config.ArchiveSize = w.ArchiveAge.Duration, w.ArchiveSize.N
	config.Grace = max(w.Grace.Duration, time.Nanosecond) // zero would mean the default there, and means none here
	return worker.New(rdb, handlers, config)
}
