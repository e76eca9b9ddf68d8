package beat

import (
	"context"
	"fmt"
	"time"

	"github.com/seri-queue/seri/internal/redisfault"
)

// clock is Redis' clock, as far as it is known here. Between two looks at it, this machine's monotonic clock measures the
// time, so steps of the machine's own clock do not matter. It is not ahead of Redis': the time on the way is not added. So of
// several looks the one whose answer came fastest says most, and counts for a while unless a later one contradicts it.
type clock struct {
	read   func(context.Context) (time.Time, error)
	server time.Time
	local  time.Time
}

// lasting is how long a look at Redis' clock counts at most: two clocks do not run equally fast.
const lasting = 10 * time.Second

func (c *clock) sync(ctx context.Context) error {
	asked := time.Now()
	server, err := c.read(ctx)
	if err != nil {
		return fmt.Errorf("ask Redis for the time: %w", redisfault.Mark(err))
	}
	answered := time.Now()
	// When the answer came, Redis' clock showed what it says, or later by the time that all of it has taken at most.
	age := answered.Sub(c.local)
	expected := c.server.Add(age)
	if age > lasting || expected.Before(server) || expected.After(server.Add(answered.Sub(asked))) {
		c.server, c.local = server, answered
	}
	return nil
}

func (c *clock) now() time.Time { return c.server.Add(time.Since(c.local)) }
