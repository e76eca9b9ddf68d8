package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redisfault"
)

// Carrier is how scripts hand on the events of what they do.
type Carrier string

// The carriers. All who work on one Redis have to use the same, or some do not see what others do.
const (
	// Streams: each queue has a stream that keeps its events.
	Streams Carrier = "streams"
	// Memory: as Streams, but only about the newest hundred entries are kept. The one process that shows them has the others.
	Memory Carrier = "memory"
	// PubSub: events are published to whoever listens now, and not kept. A count of them is, by which a listener sees
	// whether he has missed any.
	PubSub Carrier = "pubsub"
	// ShardedPubSub: the same on the queue's node of a Redis Cluster only (SPUBLISH, since Redis 7.0).
	ShardedPubSub Carrier = "sharded-pubsub"
)

// ParseCarrier reads the name of a carrier; empty means [Streams].
func ParseCarrier(name string) (Carrier, error) {
	switch c := Carrier(name); c {
	case "":
		return Streams, nil
	case Streams, Memory, PubSub, ShardedPubSub:
		return c, nil
	}
	if strings.Contains(name, "://") { // with a password, perhaps
		return "", fmt.Errorf("events are not carried by URLs here; there are %s, %s, %s and %s", Streams, Memory, PubSub, ShardedPubSub)
	}
	return "", fmt.Errorf("events cannot be carried by %q; there are %s, %s, %s and %s", name, Streams, Memory, PubSub, ShardedPubSub)
}

// Publishes reports whether events are published and not kept.
func (c Carrier) Publishes() bool { return c == PubSub || c == ShardedPubSub }

// handedOver is how many entries Memory keeps in Redis: what its reader may be behind without missing any.
const handedOver = 100

// limit returns what scripts are given as the most entries of a stream: a number, or the command that publishes an entry.
// That one argument says both leaves all others, and what a stream costs, as they were.
func (c Carrier) limit(maxEvents int) any {
	switch c {
	case PubSub:
		return "PUBLISH"
	case ShardedPubSub:
		return "SPUBLISH"
	case Memory:
		return min(maxEvents, handedOver)
	}
	return maxEvents
}

// events returns the key that has to live for as long as a queue has events.
func (c Carrier) events(q keys.Queue) string {
	if c.Publishes() {
		return q.Published()
	}
	return q.Events()
}

// Published is an entry that was published.
type Published struct {
	Number uint64 // that of the entry before it plus 1, unless it is the first
	First  bool   // of a count
	Entry  string // JSON array of events
}

// DecodePublished reads what scripts publish: "<number>:<entry>", or "<number>!<entry>" for the first of a count. It is
// false for anything else, such as a probe of who may publish.
func DecodePublished(message string) (p Published, ok bool) {
	i := strings.IndexAny(message, ":!")
	if i < 0 {
		return p, false
	}
	number, err := strconv.ParseUint(message[:i], 10, 64)
	return Published{number, message[i] == '!', message[i+1:]}, err == nil && number > 0
}

// announces returns an error if Redis does not take what scripts publish: an error in the middle of a script would undo
// nothing of what it has done.
func (s *Store) announces(ctx context.Context, q keys.Queue) error {
	var err error
	switch s.carrier {
	case PubSub:
		err = s.rdb.Publish(ctx, q.Live(), "").Err()
	case ShardedPubSub:
		err = s.rdb.SPublish(ctx, q.Live(), "").Err()
	}
	switch {
	case err == nil:
		return nil
	case strings.HasPrefix(err.Error(), "ERR unknown command"):
		return fmt.Errorf("events by %s: this Redis has no sharded Pub/Sub (it is older than 7.0, or the store inside this process); use %s", s.carrier, PubSub)
	}
	return fmt.Errorf("events by %s: %w", s.carrier, redisfault.Mark(err))
}
