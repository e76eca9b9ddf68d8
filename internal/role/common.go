package role

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/redisurl"
)

// Common are the settings of every role.
type Common struct {
	RedisURL  string `name:"redis-url" env:"SERI_REDIS_URL" default:"redis://127.0.0.1:6379/0" placeholder:"URL" help:"Redis: redis[s]://[user:password@]host:port/db, redis+sentinel://host:26379?master=NAME or redis+cluster://host:port."`
	MaxEvents Count  `env:"SERI_MAX_EVENTS" default:"10000" placeholder:"ENTRIES" help:"About how many entries each queue's event stream keeps."`
	Log       `embed:""`
}

// Log are the settings of a role's log.
type Log struct {
	LogLevel  string `env:"SERI_LOG_LEVEL" default:"info" placeholder:"LEVEL" help:"debug, info, warn or error."`
	LogFormat string `env:"SERI_LOG_FORMAT" default:"json" placeholder:"FORMAT" help:"json or text."`
}

func (c *Common) check(f *faults) {
	f.add("max-events", c.MaxEvents.wrong)
	c.Log.check(f)
	if rdb, err := redisurl.Open(c.RedisURL); err != nil {
		f.check("redis-url", err)
	} else {
		rdb.Close()
	}
}

func (l *Log) check(f *faults) {
	var level slog.Level
	if level.UnmarshalText([]byte(l.LogLevel)) != nil {
		f.add("log-level", fmt.Sprintf("is %q, must be debug, info, warn or error", l.LogLevel))
	}
	if l.LogFormat != "json" && l.LogFormat != "text" {
		f.add("log-format", fmt.Sprintf("is %q, must be json or text", l.LogFormat))
	}
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

// connect opens Redis and makes sure that it can be used.
func (c *Common) connect(ctx context.Context, logger *slog.Logger) (redis.UniversalClient, error) {
	redisurl.RouteLog(logger)
	rdb, err := redisurl.Open(c.RedisURL)
	if err != nil {
		return nil, err
	}
	check, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := redisurl.Check(check, rdb); err != nil {
		rdb.Close()
		return nil, err
	}
	return rdb, nil
}
