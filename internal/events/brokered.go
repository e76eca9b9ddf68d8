package events

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
)

const (
	// fillFrom is how far back a gateway reads a broker when it starts, so that clients who come back from another find
	// their cursors in its memory.
	fillFrom = 2 * time.Minute
	// slack is by how much the clocks of Redis and of a broker may differ, and how long an entry may take from one to the other.
	slack = time.Minute
)

// Source is another system, into which streams are relayed and from which gateways read them.
type Source interface {
	// Read hands records to each, from those on that were written at a time, in the order in which they were. It calls caught
	// once, when it has handed over all that was there at first, and goes on until ctx ends, each returns an error, which it
	// returns, or something fails. Where a queue is named, it may leave out the others.
	Read(ctx context.Context, queue string, from time.Time, caught func(), each func(Record) error) error
	// Close lets go of its connections. It may be called twice.
	Close()
}

// FromSource returns the transport from a source, which is closed with the hub. rdb is where the events were relayed from: snapshots are read there.
func FromSource(name string, source Source, rdb redis.UniversalClient) (Transport, error) {
	read, err := openStreams(rdb)
	if err != nil {
		return Transport{}, err
	}
	b := &brokered{mirror: newMirror(), source: source, read: read, gathering: make(map[string]*gathered)}
	return Transport{Name: name, Promises: Promises{Lossless: true, Resume: ReachAll}, streams: b, live: b.mirror, feed: b.feed, grew: b.grew}, nil
}

// brokered is streams that come from a source: the newest entries are in memory, older ones are read there.
type brokered struct {
	*mirror
	source Source
	read   redisStreams

	// Of the one who reads on.
	newest    time.Time // when the newest record was written into Redis
	gathering map[string]*gathered
}

// Close implements streams.
func (b *brokered) Close() error {
	b.source.Close()
	return b.read.Close()
}

// End implements streams: a snapshot may show what has not come yet.
func (b *brokered) End(ctx context.Context, queue string, after EntryID) (EntryID, error) {
	return b.read.End(ctx, queue, after)
}

// feed reads the source until ctx ends. After a fault it begins anew a little earlier: what has come already is left out.
func (b *brokered) feed(ctx context.Context, logger *slog.Logger, _ <-chan struct{}) {
	retry := backoff{logger: logger}
	from := time.Now().Add(-fillFrom)
	for ctx.Err() == nil {
		err := b.source.Read(ctx, "", from, b.opened, func(r Record) error {
			retry.reset(ctx)
			b.take(r)
			return nil
		})
		if b.newest.After(from) {
			from = b.newest.Add(-slack)
		}
		retry.wait(ctx, err)
	}
}

// take adds a record to the mirror, with the others of its entry.
func (b *brokered) take(r Record) {
	if r.Time.After(b.newest) {
		b.newest = r.Time
	}
	if r.Of == 0 {
		if end, known := b.end(r.Queue); !known || end == r.After || end.Compare(r.Entry) < 0 { // or it has been taken before
			b.align(r.Queue, r.Entry)
		}
		return
	}
	g := b.gathering[r.Queue]
	if g == nil {
		g = new(gathered)
		b.gathering[r.Queue] = g
	}
	if e, whole := g.add(&r); whole {
		b.append(r.Queue, r.After, e)
	}
}

// gathered is the beginning of an entry.
type gathered struct {
	id     EntryID
	events []seri.Event
}

// add adds a record, and returns its entry once that is whole. Records of which earlier ones are missing are passed over:
// the next entry says that one is missing before it.
func (g *gathered) add(r *Record) (e entry, whole bool) {
	if r.Index == 0 {
		g.id, g.events = r.Entry, nil
	}
	if r.Entry != g.id || r.Index != len(g.events) {
		return entry{}, false
	}
	event, err := r.event()
	if err != nil {
		g.id = EntryID{}
		return entry{}, false
	}
	g.events = append(g.events, event)
	if len(g.events) < r.Of {
		return entry{}, false
	}
	e = entry{id: g.id, events: g.events}
	g.id, g.events = EntryID{}, nil
	return e, true
}

// errEnough ends a reading of the past.
var errEnough = errors.New("enough has been read")

// readPast hands over the entries of a queue from an ID on that are older than what the mirror has, each with the one that it
// follows, for as long as more is true.
func (b *brokered) readPast(ctx context.Context, queue string, from EntryID, each func(e entry, after EntryID) (more bool)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	before, _ := b.begins(queue)
	var g gathered
	reached := false
	err := b.source.Read(ctx, queue, time.UnixMilli(int64(from.Ms)).Add(-slack), func() { reached = true; cancel() }, func(r Record) error {
		if r.Queue != queue {
			return nil
		}
		if before != (EntryID{}) && r.Entry.Compare(before) >= 0 {
			return errEnough
		}
		if e, whole := g.add(&r); whole && e.id.Compare(from) >= 0 && !each(e, r.After) {
			return errEnough
		}
		return nil
	})
	if reached || errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// begins returns the first entry of a queue in the mirror, and the one that it follows; zero: there is none.
func (b *brokered) begins(queue string) (first, after EntryID) {
	b.mirror.mu.Lock()
	defer b.mirror.mu.Unlock()
	if r := b.streams[queue]; r != nil && len(r.entries) > 0 {
		return r.entries[0].id, r.before
	}
	return EntryID{}, EntryID{}
}

// Range implements streams.
func (b *brokered) Range(ctx context.Context, queue string, from EntryID, limit int) ([]entry, error) {
	if first, _ := b.begins(queue); first != (EntryID{}) && first.Compare(from) <= 0 || from == (EntryID{}) {
		return b.mirror.Range(ctx, queue, from, limit)
	}
	var entries []entry
	err := b.readPast(ctx, queue, from, func(e entry, _ EntryID) bool {
		if len(entries) == 0 || e.id.Compare(entries[len(entries)-1].id) > 0 {
			entries = append(entries, e)
		}
		return len(entries) < limit
	})
	if err != nil || len(entries) == limit {
		return entries, err
	}
	end := from
	if len(entries) > 0 {
		end = entries[len(entries)-1].id
	}
	if _, after := b.begins(queue); after.Compare(end) > 0 {
		return nil, fmt.Errorf("read the events of queue %q: the source has ended at %s, and there are more", queue, end)
	}
	more, err := b.mirror.Range(ctx, queue, from, limit-len(entries))
	return append(entries, more...), err
}

// Look implements streams. What is older than the mirror is whole if the source has the entry and, one after the other, all
// that follow it.
func (b *brokered) Look(ctx context.Context, queue string, id EntryID) (view, error) {
	v, err := b.mirror.Look(ctx, queue, id)
	if err != nil || v.has || id == (EntryID{}) || v.last == id || v.first != (EntryID{}) && v.first.Compare(id) < 0 {
		return v, err
	}
	has, last := false, id
	var first EntryID // of those that follow each other up to the mirror's
	err = b.readPast(ctx, queue, id, func(e entry, after EntryID) bool {
		switch {
		case e.id.Compare(last) < 0 || e.id == last && e.id != id: // again
			return true
		case e.id == id:
			has, first = true, id
		case first == (EntryID{}) || after.Compare(last) > 0 || after == (EntryID{}):
			has, first = false, e.id
		}
		last = e.id
		return true
	})
	if err != nil {
		return view{}, err
	}
	switch begins, after := b.begins(queue); {
	case begins != (EntryID{}) && after.Compare(last) > 0:
		has, first = false, begins
	case begins == (EntryID{}) && v.exists && v.last.Compare(last) > 0: // what was there between is lost
		has, first = false, EntryID{}
	}
	if has {
		return view{has: true, exists: true, added: -1}, nil
	}
	if first != (EntryID{}) {
		if !v.exists { // the mirror has not begun
			v = view{exists: true, last: last, added: -1}
		}
		v.first = first
	}
	return v, nil
}
