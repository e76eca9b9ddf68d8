package role

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/events"
	"github.com/seri-queue/seri/internal/relay"
	"github.com/seri-queue/seri/internal/store"
)

// Carrying is the setting of how events travel, the same for all roles.
type Carrying struct {
	Events string `env:"SERI_EVENTS" default:"streams" placeholder:"HOW" help:"How events travel: streams, memory (one process that shows them), pubsub or sharded-pubsub; or from the streams through another system, by its URL: nats://host:4222, kafka://host:9092 or amqp://host:5672. The same everywhere."`
}

// connectTimeout bounds the wait for another system to answer at the start.
const connectTimeout = 30 * time.Second

func (c *Carrying) check(f *faults) {
	_, err := CarrierOf(c.Events)
	f.check("events", err)
}

// CarrierOf returns how scripts send, by the setting of how events travel. No error tells a part of a URL.
func CarrierOf(setting string) (store.Carrier, error) {
	if relay.IsURL(setting) { // what is relayed is read from the streams
		return store.Streams, relay.Check(setting)
	}
	return store.ParseCarrier(setting)
}

// carrier is how scripts send, by a setting that has been checked.
func (c *Carrying) carrier() store.Carrier {
	carrier, _ := CarrierOf(c.Events)
	return carrier
}

// transport opens the way on which events come to a hub.
func (c *Carrying) transport(ctx context.Context, rdb redis.UniversalClient) (events.Transport, error) {
	if !relay.IsURL(c.Events) {
		return events.Open(rdb, c.carrier())
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	broker, err := relay.Open(ctx, c.Events)
	if err != nil {
		return events.Transport{}, err
	}
	return events.FromSource(broker.Name(), broker, rdb)
}
