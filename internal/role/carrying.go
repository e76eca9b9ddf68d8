package role

import (
	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/events"
	"github.com/seri-queue/seri/internal/store"
)

// Carrying is the setting of how events travel, the same for all roles.
type Carrying struct {
	Events string `env:"SERI_EVENTS" default:"streams" placeholder:"HOW" help:"How events travel: streams, memory (one process that shows them), pubsub or sharded-pubsub. The same everywhere."`
}

func (c *Carrying) check(f *faults) {
	_, err := store.ParseCarrier(c.Events)
	f.check("events", err)
}

// carrier is how scripts send, by a setting that has been checked.
func (c *Carrying) carrier() store.Carrier {
	carrier, _ := store.ParseCarrier(c.Events)
	return carrier
}

// transport opens the way on which events come to a hub.
func (c *Carrying) transport(rdb redis.UniversalClient) (events.Transport, error) {
	return events.Open(rdb, c.carrier())
}
