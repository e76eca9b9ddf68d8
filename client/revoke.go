package client

import (
	"context"

	"github.com/seri-queue/seri"
)

// Revoke withdraws a task and returns it as it is then. A task that waits is revoked at once. One that runs stays active:
// its handler's context ends with [seri.ErrRevoked], and whatever becomes of that attempt, there is no other; if the
// handler succeeds all the same, so has the task. Errors: [seri.ErrNotFound]; [seri.ErrNotRevocable], with the task, if it
// has ended.
func (c *Client) Revoke(ctx context.Context, queue, id string) (seri.Info, error) {
	q, err := c.locate(ctx, queue, id)
	if err != nil {
		return seri.Info{}, err
	}
	_, refused := c.store.Revoke(ctx, q, id)
	info, err := c.store.Info(ctx, q, id)
	info = c.shown(info)
	if refused != nil {
		return info, refused
	}
	return info, err
}
