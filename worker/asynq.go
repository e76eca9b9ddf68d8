package worker

import (
	"context"
	"errors"
	"time"

	"github.com/hibiken/asynq"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/partition"
)

// fallback finds the handler of a type in an existing asynq handler; nil if there is none.
func fallback(h asynq.Handler, table *partition.Table) func(typ string) *seri.Handler {
	if h == nil {
		return nil
	}
	mux, _ := h.(*asynq.ServeMux)
	return func(typ string) *seri.Handler {
		if mux != nil {
			if _, pattern := mux.Handler(asynq.NewTask(typ, nil)); pattern == "" {
				return nil
			}
		}
		handler := seri.Handler{Type: typ, Retry: asynqRetry, Run: func(ctx context.Context, payload []byte) ([]byte, error) {
			execution, _ := seri.ExecutionFrom(ctx)
			err := h.ProcessTask(ctx, asynq.NewTaskWithHeaders(typ, payload, execution.Headers))
			switch {
			case errors.Is(err, asynq.RevokeTask):
				return nil, nil // neither repeated nor archived
			case errors.Is(err, asynq.SkipRetry):
				return nil, seri.Permanent(err)
			}
			return nil, err
		}}
		if table != nil {
			handler = undivided(table, handler)
		}
		return &handler
	}
}

// asynqRetry waits as asynq does by default, so that a handler that moves over keeps its rhythm.
func asynqRetry(failed int, err error) time.Duration {
	return asynq.DefaultRetryDelayFunc(failed-1, err, nil)
}
