package cli

import (
	"context"

	"github.com/seri-queue/seri/internal/role"
)

type healthCommand struct {
	role.Health `embed:""`
}

func (c *healthCommand) Run(ctx context.Context, std Streams) error { return c.Ask(ctx, std.Out) }
