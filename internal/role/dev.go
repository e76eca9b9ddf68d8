package role

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"

	"github.com/seri-queue/seri/beat"
	"github.com/seri-queue/seri/client"
	"github.com/seri-queue/seri/internal/api"
	"github.com/seri-queue/seri/internal/devstore"
	"github.com/seri-queue/seri/internal/redisurl"
	"github.com/seri-queue/seri/internal/relay"
	"github.com/seri-queue/seri/internal/run"
	"github.com/seri-queue/seri/internal/store"
	"github.com/seri-queue/seri/internal/telemetry"
	"github.com/seri-queue/seri/internal/timetable"
	"github.com/seri-queue/seri/tracing"
	"github.com/seri-queue/seri/worker"
)

// Dev is api, worker and beat in one process, on a store that nobody has to install.
type Dev struct {
	RedisURL  string `name:"redis-url" env:"SERI_REDIS_URL" placeholder:"URL" help:"Redis to use instead of the embedded store."`
	Dir       string `env:"SERI_DEV_DIR" default:"./.seri" placeholder:"DIR" help:"Where the embedded store keeps its data."`
	MaxEvents Count  `env:"SERI_MAX_EVENTS" default:"10000" placeholder:"ENTRIES" help:"About how many entries each queue's event stream keeps."`
	LogLevel  string `env:"SERI_LOG_LEVEL" default:"warn" placeholder:"LEVEL" help:"debug, info, warn or error."`
	LogFormat string `env:"SERI_LOG_FORMAT" default:"text" placeholder:"FORMAT" help:"json or text."`
	Carrying  `embed:""`
	Evicting  `embed:""`
	Serve     `embed:""`
	Divide    `embed:""`
	Work      `embed:""`
	Tasks     `embed:""`
	Beating   `embed:""`
	Admin     `embed:""`
}

func (d *Dev) common() *Common {
	return &Common{RedisURL: d.RedisURL, MaxEvents: d.MaxEvents, Carrying: d.Carrying, Evicting: d.Evicting, Log: Log{LogLevel: d.LogLevel, LogFormat: d.LogFormat}}
}

// Check implements [Role].
func (d *Dev) Check() error {
	var f faults
	if d.RedisURL != "" {
		d.common().check(&f)
	} else {
		f.add("max-events", d.MaxEvents.wrong)
		f.add("allow-eviction", d.AllowEviction.wrong)
		d.Carrying.check(&f)
		d.common().Log.check(&f)
	}
	if relay.IsURL(d.Events) {
		f.add("events", "is the URL of a broker, but dev runs no relay that copies events there, and nobody would see any: leave it out")
	}
	d.Serve.check(&f)
	d.Work.check(&f)
	f.add("partitions", d.Partitions.wrong)
	d.Beating.check(&f)
	d.Tasks.check(&f)
	d.Admin.check(&f)
	checkTracing(&f)
	if _, _, err := net.SplitHostPort(d.HTTPAddr); err == nil && !isLoopback(d.HTTPAddr) {
		f.add("http-addr", fmt.Sprintf("is %q, but dev answers everybody without a key and so on loopback only: use 127.0.0.1:8080", d.HTTPAddr))
	}
	return f.err()
}

// Run implements [Role].
func (d *Dev) Run(ctx context.Context, out, log io.Writer) error {
	common := d.common()
	logger := common.logger(log)
	redisurl.RouteLog(logger)
	if d.HTTPAddr == "" {
		d.HTTPAddr = "127.0.0.1:8080"
	}
	listener, err := d.listen(ctx) // first, so that a second "seri dev" says what is in its way
	if err != nil {
		return err
	}
	defer listener.Close()
	spans, endSpans, err := telemetry.Open(ctx, "dev", Version(), logger)
	if err != nil {
		return err
	}
	defer endSpans()
	if err := d.Tasks.writable(); err != nil {
		return err
	}

	var parts []run.Part
	storage, open := "the Redis of SERI_REDIS_URL", common.connect
	if d.RedisURL == "" {
		store, err := devstore.Open(ctx, d.Dir, logger)
		if err != nil {
			return err
		}
		defer store.Close()
		common.RedisURL, storage, open = store.URL(), store.Describe(), common.open
		parts = append(parts, run.Part{Name: "store", Run: store.Run})
	}
	rdb, err := open(ctx, logger)
	if err != nil {
		return err
	}
	defer rdb.Close()
	trips := meterRedis(rdb)

	// On a developer's machine the application that tasks call is on the same machine.
	d.AllowHosts = append(d.AllowHosts, "localhost:*", "127.0.0.0/8:*", "[::1]:*")
	if d.FilesDir == "" {
		d.FilesDir = "."
	}
	handlers, err := d.Tasks.handlers()
	if err != nil {
		return err
	}
	file, err := d.load()
	if err != nil {
		return err
	}
	working, beats := make(chan struct{}), make(chan struct{}) // closed when their loops turn for the first time
	beating, err := beat.New(rdb, file.Schedules, beat.Config{
		Lease: d.BeatLease.Duration, Revision: file.Revision, MaxEvents: d.MaxEvents.N, Events: string(d.carrier()), Logger: logger,
		Alive: sync.OnceFunc(func() { close(beats) }),
	})
	if err != nil {
		return err
	}
	files, err := outputFiles(d.OutputDir)
	if err != nil {
		return err
	}
	types, err := api.TypesOf(handlers) // known from the start, and not only once the worker has announced itself
	if err != nil {
		return err
	}
	queues := client.New(rdb, client.Config{Partitions: d.Partitions.ByQueue, MaxEvents: d.MaxEvents.N, Events: string(d.carrier())})
	config := api.Config{Partitions: d.Partitions.table(), Insecure: true, Types: types, Web: page(files)}
	config.Schedules = timetable.New(rdb, store.Config{MaxEvents: d.MaxEvents.N, Events: d.carrier()})
	traced(&config, queues, spans)
	serving, hub, err := d.Serve.parts(ctx, listener, rdb, &d.Carrying, queues, config, 0, logger)
	if err != nil {
		return err
	}
	worked, err := d.Work.worker(rdb, tracing.Consumer(handlers, spans), worker.Config{
		Partitions: d.Partitions.ByQueue, MaxEvents: d.MaxEvents.N, Events: string(d.carrier()), Logger: logger, Alive: sync.OnceFunc(func() { close(working) }),
	})
	if err != nil {
		return err
	}
	telling, err := d.Admin.tell(ctx, "dev", out, logger, queues, hub, worked, beating, trips, memoryOf(rdb))
	if err != nil {
		return err
	}
	parts = append(parts, telling...)
	parts = append(parts, serving...)
	parts = append(parts,
		run.Part{Name: "worker", Run: worked.Run},
		run.Part{Name: "beat", Run: beating.Run},
		run.Part{Name: "announcement", Run: func(ctx context.Context) error {
			if untilClosed(ctx, working, beats) {
				fmt.Fprintf(out, "Seri is at http://%s — api, worker (slots: %d) and beat (schedules: %d). Its store: %s. Ctrl-C ends it.\n",
					listener.Addr(), d.Slots.N, len(file.Schedules), storage)
			}
			<-ctx.Done()
			return nil
		}},
	)
	return run.Stack(ctx, parts...)
}

// untilClosed waits for all of the channels, and is false if ctx ends before.
func untilClosed(ctx context.Context, channels ...chan struct{}) bool {
	for _, c := range channels {
		select {
		case <-c:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// outputFiles serves what tasks write below dir, and nothing that lies outside of it or is not a plain file. Without a
// directory there is nothing to be served.
func outputFiles(dir string) (http.Handler, error) {
	if dir == "" {
		return nil, nil
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open the directory for the files of tasks: %w", err)
	}
	return http.FileServerFS(root.FS()), nil
}
