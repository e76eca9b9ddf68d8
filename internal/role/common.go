package role

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/cloudwatch"
	"github.com/seri-queue/seri/internal/meter"
	"github.com/seri-queue/seri/internal/redisurl"
)

// Common are the settings of every role.
type Common struct {
	RedisURL  string `name:"redis-url" env:"SERI_REDIS_URL" default:"redis://127.0.0.1:6379/0" placeholder:"URL" help:"Redis: redis[s]://[user:password@]host:port/db, redis+sentinel://host:26379?master=NAME or redis+cluster://host:port."`
	MaxEvents Count  `env:"SERI_MAX_EVENTS" default:"10000" placeholder:"ENTRIES" help:"About how many entries each queue's event stream keeps."`
	Carrying  `embed:""`
	RedisIAM  `embed:""`
	Evicting  `embed:""`
	Log       `embed:""`
}

// Evicting is the setting about a Redis that deletes keys when it is full.
type Evicting struct {
	AllowEviction Switch `env:"SERI_ALLOW_EVICTION" help:"Start although Redis deletes keys of its choice when it is full (maxmemory-policy is not noeviction). Tasks may vanish without a trace: for development."`
}

// Divide is the setting of how queues are divided, the same for all who enqueue, run or show tasks.
type Divide struct {
	Partitions Partitions `env:"SERI_PARTITIONS" placeholder:"QUEUE=NUMBER,…" help:"Queues that are divided, with their numbers of partitions, to use several nodes of a Redis Cluster. The same for api and worker."`
}

// Log are the settings of a role's log.
type Log struct {
	LogLevel  string `env:"SERI_LOG_LEVEL" default:"info" placeholder:"LEVEL" help:"debug, info, warn or error."`
	LogFormat string `env:"SERI_LOG_FORMAT" default:"json" placeholder:"FORMAT" help:"json or text."`
	LogSink   string `env:"SERI_LOG_SINK" default:"stderr" placeholder:"WHERE" help:"stderr, or cloudwatch to ship the log by itself: for machines outside of ECS, where the log driver does it."`
	LogGroup  string `env:"SERI_LOG_GROUP" default:"/seri" placeholder:"NAME" help:"Log group of CloudWatch; made if it does not exist."`
	LogStream string `env:"SERI_LOG_STREAM" placeholder:"NAME" help:"Stream in it. Default: role, host and a number, a new one for each start."`

	region string // of the stream, once it is open
}

func (c *Common) check(f *faults) {
	f.add("max-events", c.MaxEvents.wrong)
	f.add("allow-eviction", c.AllowEviction.wrong)
	c.Carrying.check(f)
	c.Log.check(f)
	c.RedisIAM.check(f, c.RedisURL)
}

func (l *Log) check(f *faults) {
	var level slog.Level
	if level.UnmarshalText([]byte(l.LogLevel)) != nil {
		f.add("log-level", fmt.Sprintf("is %q, must be debug, info, warn or error", l.LogLevel))
	}
	if l.LogFormat != "json" && l.LogFormat != "text" {
		f.add("log-format", fmt.Sprintf("is %q, must be json or text", l.LogFormat))
	}
	if l.LogSink != "" && l.LogSink != "stderr" && l.LogSink != "cloudwatch" {
		f.add("log-sink", fmt.Sprintf("is %q, must be stderr or cloudwatch", l.LogSink))
	}
	if l.LogSink == "cloudwatch" && l.LogFormat == "text" {
		f.add("log-format", "is text, but a log in CloudWatch is JSON, or nobody finds a task's lines in it")
	}
	if strings.ContainsAny(l.LogStream, ":*") || len(l.LogStream) > 512 {
		f.add("log-stream", fmt.Sprintf("is %q, must have no : and no *, and 512 characters at most", l.LogStream))
	}
	if l.LogGroup != "" && !logGroup.MatchString(l.LogGroup) {
		f.add("log-group", fmt.Sprintf("is %q, must be 1 to 512 of letters, digits and _-/.#", l.LogGroup))
	}
}

var logGroup = regexp.MustCompile(`^[A-Za-z0-9_/.#-]{1,512}$`)

// open returns the log that the settings ask for, where a role's lines go that has no other place for them, what counts
// them, and how it is ended: at the very end, for it ships what is left.
func (l *Log) open(ctx context.Context, role string, w io.Writer) (logger *slog.Logger, lines meter.Source, end func(), err error) {
	if l.LogSink != "cloudwatch" {
		return l.logger(w), meter.Sources(nil), func() {}, nil
	}
	service, err := cloudwatch.Open(ctx, "")
	if err != nil {
		return nil, nil, nil, fmt.Errorf("--log-sink (SERI_LOG_SINK): %w", err)
	}
	if l.LogStream == "" {
		l.LogStream = newStream(role)
	}
	l.region = service.Options().Region
	sink := cloudwatch.New(service, cloudwatch.Config{Group: l.LogGroup, Stream: l.LogStream, Aside: w})
	shipping, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = sink.Run(shipping) // which tells w what goes wrong
	}()
	return l.logger(sink), sink, func() {
		stop()
		<-ended
	}, nil
}

// newStream returns a name for a stream that no other process has.
func newStream(role string) string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s/%s/%s", role, strings.NewReplacer(":", "-", "*", "-").Replace(host), strings.ToLower(rand.Text()[:10]))
}

// logger returns the log that the settings, which have been checked, ask for.
func (l *Log) logger(w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(l.LogLevel)) // checked before
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: readable}
	if l.LogFormat == "text" {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(w, options))
}

// readable has the JSON handler write durations as the text handler does, "4s": by itself it writes nanoseconds.
func readable(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}

// connect opens Redis and makes sure that it can be used, and keeps what it is given.
func (c *Common) connect(ctx context.Context, logger *slog.Logger) (redis.UniversalClient, error) {
	rdb, err := c.open(ctx, logger)
	if err != nil {
		return nil, err
	}
	check, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	if err := c.refuseEviction(check, rdb, logger); err != nil {
		rdb.Close()
		return nil, err
	}
	return rdb, nil
}

// checkTimeout limits each look at Redis before a role starts.
const checkTimeout = 10 * time.Second

// open is [Common.connect] for a store of our own, which deletes nothing.
func (c *Common) open(ctx context.Context, logger *slog.Logger) (redis.UniversalClient, error) {
	redisurl.RouteLog(logger)
	rdb, err := c.RedisIAM.Open(ctx, c.RedisURL)
	if err != nil {
		return nil, err
	}
	check, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	if err := redisurl.Check(check, rdb); err != nil {
		rdb.Close()
		return nil, err
	}
	return rdb, nil
}

// refuseEviction refuses a Redis that deletes keys when it is full, or warns of it where that is allowed. One that does
// not tell is only warned of: it may be right.
func (c *Common) refuseEviction(ctx context.Context, rdb redis.UniversalClient, logger *slog.Logger) error {
	known, err := redisurl.Evicting(ctx, rdb)
	evicting, found := errors.AsType[*redisurl.EvictionError](err)
	switch {
	case found && c.AllowEviction.On:
		logger.WarnContext(ctx, "redis deletes keys when it is full: tasks, leases and results may vanish without a trace",
			"addr", evicting.Addr, "maxmemory_policy", evicting.Policy)
		return nil
	case found:
		return fmt.Errorf("%w, or give --allow-eviction (SERI_ALLOW_EVICTION) where tasks may be lost", err)
	case err == nil && !known:
		logger.WarnContext(ctx, "redis does not tell its maxmemory-policy: unless it is noeviction, tasks may vanish without a trace when it is full; allow INFO to have it checked")
	}
	return err
}
