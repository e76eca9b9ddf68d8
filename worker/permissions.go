package worker

import (
	"context"
	"errors"

	"github.com/seri-queue/seri/internal/permit"
	"github.com/seri-queue/seri/internal/store"
)

// permitted returns a [*permit.DeniedError] if the Redis user may not do all that a worker does to one of its queues. If
// Redis does not answer, the worker begins all the same, as it does without Redis.
func (w *Worker) permitted(ctx context.Context) error {
	for _, q := range w.served {
		w.alive() // each turn takes agreeWithin at most
		ask, cancel := context.WithTimeout(ctx, agreeWithin)
		err := w.store.Permit(ask, q, store.Working)
		cancel()
		if _, denied := errors.AsType[*permit.DeniedError](err); denied {
			return err
		}
		if err != nil {
			w.logger.WarnContext(ctx, "permissions not checked", "error", err)
			return nil
		}
	}
	return nil
}
