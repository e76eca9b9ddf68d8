package events

import (
	"context"
	"log/slog"

	"github.com/seri-queue/seri/internal/store"
)

// handover is streams of which Redis keeps the newest entries only, until the one process that shows them has read them.
type handover struct {
	*mirror
	read redisStreams
}

// inMemory returns the transport for one process.
func inMemory(read redisStreams) Transport {
	h := &handover{mirror: newMirror(), read: read}
	return Transport{Name: string(store.Memory), Promises: Promises{Resume: ReachHere}, streams: h, feed: h.feed, grew: h.grew}
}

// Close implements streams.
func (h *handover) Close() error { return h.read.Close() }

// End implements streams: a snapshot may show what has not been read yet.
func (h *handover) End(ctx context.Context, queue string, after EntryID) (EntryID, error) {
	return h.read.End(ctx, queue, after)
}

// feed reads the streams in Redis until ctx ends.
func (h *handover) feed(ctx context.Context, logger *slog.Logger, nudge <-chan struct{}) {
	_ = (&tail{streams: h.read, sink: filled{h.mirror}, logger: logger, nudge: nudge, costly: true}).Run(ctx)
}

// filled fills a mirror with what a tail reads.
type filled struct{ *mirror }

func (f filled) begin(at Cursor) {
	for _, p := range at.places {
		f.align(p.queue, p.at.ID)
	}
	f.opened()
}

func (f filled) publish(queue string, entries []entry) {
	for _, e := range entries {
		last, _ := f.end(queue)
		f.append(queue, last, e)
	}
}

func (f filled) lose(queue string, next Position, before *Position, _ bool) {
	if before != nil {
		f.align(queue, before.ID.previous())
		return
	}
	f.align(queue, next.ID)
}

// previous returns the ID just before.
func (id EntryID) previous() EntryID {
	switch {
	case id.Seq > 0:
		return EntryID{id.Ms, id.Seq - 1}
	case id.Ms > 0:
		return EntryID{id.Ms - 1, ^uint64(0)}
	}
	return id
}
