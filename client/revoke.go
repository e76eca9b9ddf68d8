package client

import (
	"context"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
)

// Revoke withdraws a task and returns it as it is then. A task that waits is revoked at once. One that runs stays active:
// its handler's context ends with [seri.ErrRevoked], and whatever becomes of that attempt, there is no other; if the
// handler succeeds all the same, so has the task. Errors: [seri.ErrNotFound]; [seri.ErrNotRevocable], with the task, if it
// has ended.
func (c *Client) Revoke(ctx context.Context, queue, id string) (seri.Info, error) {
	q := keys.Queue(queue)
	_, refused := c.store.Revoke(ctx, q, id)
	info, err := c.store.Info(ctx, q, id)
	if refused != nil {
		return info, refused
	}
	return info, err
}
