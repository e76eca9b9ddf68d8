package events

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/store"
)

// Transport is a way on which entries come from the scripts to a hub. Make one with [Open], or with [FromBroker].
//
// Every transport delivers the events of a queue in order and each once, and announces what it cannot deliver, so that a
// subscriber who goes by its snapshots has the truth in the end. Beyond that they differ by their [Promises], which one
// suite of tests holds against all of them.
type Transport struct {
	Name string
	Promises
	streams streams
	live    streams // what a hub follows, where that is not all that can be resumed; nil: it is
	// feed keeps the streams fed until ctx ends, and looks for new queues at a nudge; nil: they need no feeding.
	feed func(ctx context.Context, logger *slog.Logger, nudge <-chan struct{})
	grew chan struct{} // where there is a feed: holds a value when there is a new queue
}

// Promises are what a transport gives beyond order, no doubles, and the announcement of what is lost.
type Promises struct {
	// Lossless says that what is written while a gateway cannot be reached by it arrives later.
	Lossless bool
	// Resume says where a cursor can be resumed without a gap.
	Resume Reach
}

// Reach is how far from where a cursor was given it can be resumed.
type Reach int

const (
	// ReachHere: at the hub that has given it.
	ReachHere Reach = iota + 1
	// ReachPeers: at every hub that has been running since, from its own memory.
	ReachPeers
	// ReachAll: also at a hub that was started later, for as long as the transport keeps its entries.
	ReachAll
)

// Open returns the transport on which the scripts of a carrier send, from the Redis that rdb leads to.
func Open(rdb redis.UniversalClient, c store.Carrier) (Transport, error) {
	read, err := openStreams(rdb)
	if err != nil {
		return Transport{}, err
	}
	switch c {
	case "", store.Streams:
		return Transport{Name: string(store.Streams), Promises: Promises{Lossless: true, Resume: ReachAll}, streams: read}, nil
	case store.Memory:
		return inMemory(read), nil
	case store.PubSub, store.ShardedPubSub:
		return broadcast(read, c), nil
	}
	return Transport{}, fmt.Errorf("there is no transport %q", c)
}

// NewOn is [New] for any transport, which serves one hub.
func NewOn(t Transport, snapshots Snapshotter, cfg Config) (*Hub, error) {
	h, err := newHub(t.streams, snapshots, cfg)
	if err != nil {
		return nil, err
	}
	h.transport = t
	return h, nil
}

// tail returns what follows the streams, and starts what feeds them, whose end is to be waited for.
func (h *Hub) tail(ctx context.Context) (t *tail, wait func()) {
	t = &tail{streams: h.streams, sink: h, logger: h.cfg.Logger, nudge: h.nudge}
	if h.transport.feed == nil {
		t.costly = true // otherwise they are in memory
		return t, func() {}
	}
	if h.transport.live != nil {
		t.streams = h.transport.live
	}
	t.nudge = h.transport.grew
	var feeding sync.WaitGroup
	feeding.Go(func() { h.transport.feed(ctx, h.cfg.Logger, h.nudge) })
	return t, feeding.Wait
}

// end returns the last ID given in a queue, which may be beyond what has been read.
func (h *Hub) end(ctx context.Context, queue string) (EntryID, error) {
	return h.glances.share(ctx, queue, func(ctx context.Context) (EntryID, error) {
		return h.streams.End(ctx, queue, h.reached(queue))
	})
}

// reached returns the last entry of a queue that was handed out; zero: none was.
func (h *Hub) reached(queue string) EntryID {
	h.mu.Lock()
	defer h.mu.Unlock()
	if i, ok := slices.BinarySearchFunc(h.at, queue, byQueue); ok {
		return h.at[i].at.ID
	}
	return EntryID{}
}
