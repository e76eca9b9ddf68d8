package redisurl

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// minMajor is the oldest Redis that Seri runs on: its scripts declare their flags, which older ones reject.
const minMajor = 7

// Check reports in one line why rdb cannot be used: nobody answers, the credentials are refused, the server is of
// another kind than the URL says, or older than 7.0. A server that does not let this user ask for its version is taken
// for new enough.
func Check(ctx context.Context, rdb redis.UniversalClient) error {
	where := address(rdb)
	if err := rdb.Ping(ctx).Err(); err != nil {
		return refusal(where, err)
	}
	info, err := rdb.InfoMap(ctx, "server").Result()
	if err != nil {
		if isReply(err) {
			return nil
		}
		return refusal(where, err)
	}
	server := info["Server"]
	_, isSingle := rdb.(*redis.Client)
	switch mode := server["redis_mode"]; {
	case isSingle && mode == "cluster":
		return fmt.Errorf("the Redis at %s is a node of a cluster: begin the URL with redis+cluster://", where)
	case mode == "sentinel":
		return fmt.Errorf("the Redis at %s is a Sentinel: begin the URL with redis+sentinel:// and add ?master=NAME", where)
	}
	version := server["redis_version"]
	major, err := strconv.Atoi(strings.SplitN(version, ".", 2)[0])
	if err == nil && major < minMajor {
		return fmt.Errorf("the Redis at %s has version %s, and Seri needs %d.0 or newer", where, version, minMajor)
	}
	return nil
}

func refusal(where string, err error) error {
	text := err.Error()
	switch {
	case strings.HasPrefix(text, "NOAUTH"):
		return fmt.Errorf("the Redis at %s wants a password: put it into the URL, as redis://user:password@host: %w", where, err)
	case strings.HasPrefix(text, "WRONGPASS"), strings.HasPrefix(text, "ERR invalid password"):
		return fmt.Errorf("the Redis at %s refuses the user name or the password: %w", where, err)
	case strings.Contains(text, "cluster support disabled"):
		return fmt.Errorf("the Redis at %s is no cluster: begin the URL with redis:// or rediss:// instead: %w", where, err)
	case isReply(err):
		return fmt.Errorf("the Redis at %s: %w", where, err)
	default:
		return fmt.Errorf("the Redis at %s cannot be reached: %w", where, inner(err))
	}
}

// isReply reports whether the server has answered, if only with an error.
func isReply(err error) bool {
	_, ok := errors.AsType[redis.Error](err)
	return ok
}

// inner drops "dial tcp 10.0.0.1:6379:" from an error that is told with the address in front.
func inner(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return op.Err
	}
	return err
}

// behindSentinel reports whether Sentinels name rdb's server: go-redis then has a name of its own for it.
func behindSentinel(rdb *redis.Client) bool { return rdb.Options().Addr == "FailoverClient" }

// address names the server in errors; no part of it is secret.
func address(rdb redis.UniversalClient) string {
	switch rdb := rdb.(type) {
	case *redis.Client:
		if behindSentinel(rdb) {
			return "the address that the Sentinels know"
		}
		return rdb.Options().Addr
	case *redis.ClusterClient:
		return strings.Join(rdb.Options().Addrs, ", ")
	default:
		return "its address"
	}
}

// RouteLog sends what go-redis logs by itself (a failed dial, a lost connection) to logger, at level Debug: the same
// facts come back as errors. go-redis keeps one logger for the whole process, so this is for main functions.
func RouteLog(logger *slog.Logger) { redis.SetLogger(driverLog{logger}) }

type driverLog struct{ logger *slog.Logger }

func (l driverLog) Printf(ctx context.Context, format string, v ...any) {
	if l.logger.Enabled(ctx, slog.LevelDebug) {
		l.logger.DebugContext(ctx, "redis driver reported", "message", fmt.Sprintf(format, v...))
	}
}
