package meter

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
)

// Redis counts the round trips of a Redis client that it was given to as a hook.
type Redis struct {
	took   Histogram
	failed Counter
}

// Measure implements [Source].
func (r *Redis) Measure(_ context.Context, report Report) {
	took := r.took.Snapshot()
	report.Value(RedisTrips, float64(took.Count()))
	report.Histogram(RedisSeconds, took)
	report.Value(RedisErrors, r.failed.Load())
}

// DialHook implements [redis.Hook].
func (r *Redis) DialHook(next redis.DialHook) redis.DialHook {
	return next
}

// ProcessHook implements [redis.Hook].
func (r *Redis) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		begun := time.Now()
		err := next(ctx, cmd)
		r.note(begun, err)
		return err
	}
}

// ProcessPipelineHook implements [redis.Hook].
func (r *Redis) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		begun := time.Now()
		err := next(ctx, cmds)
		r.note(begun, err)
		return err
	}
}

// note counts one round trip. An answer that says no is an answer.
func (r *Redis) note(begun time.Time, err error) {
	r.took.Observe(time.Since(begun))
	if _, answered := errors.AsType[redis.Error](err); err != nil && !answered {
		r.failed.Add(1)
	}
}
