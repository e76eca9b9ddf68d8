package beat

import (
	"context"
	"fmt"
	"time"

	"github.com/seri-queue/seri/internal/redisfault"
)

// clock is Redis' clock, as far as it is known here. Between two looks at it, this machine's monotonic clock measures the
// time, so steps of the machine's own clock do not matter. It is never ahead of Redis': the time on the way is not added.
type clock struct {
	read   func(context.Context) (time.Time, error)
	server time.Time
	local  time.Time
}

func (c *clock) sync(ctx context.Context) error {
	server, err := c.read(ctx)
	if err != nil {
		return fmt.Errorf("ask Redis for the time: %w", redisfault.Mark(err))
	}
	c.server, c.local = server, time.Now()
	return nil
}

func (c *clock) now() time.Time { return c.server.Add(time.Since(c.local)) }
