package seri

import (
	"context"
	"log/slog"
)

// Log returns the logger of the attempt that ctx belongs to. What is logged there stands in the worker's log, with task_id,
// queue, type, attempt and token on every line, and in the task's own, which people read at the page and at
// GET /v1/tasks/{id}/logs: so log for them, and no secrets. It never waits for anybody; of a task's own log, the newest
// 64 KiB are kept. Outside of a handler it returns [slog.Default].
func Log(ctx context.Context) *slog.Logger {
	if logger, ok := ctx.Value(logKey{}).(func() *slog.Logger); ok {
		return logger()
	}
	return slog.Default()
}

// WithLog returns a context in which [Log] returns what logger does, which is not called before. Workers and package
// seritest call it; a handler has no need to.
func WithLog(ctx context.Context, logger func() *slog.Logger) context.Context {
	return context.WithValue(ctx, logKey{}, logger)
}

type logKey struct{}
