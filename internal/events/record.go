package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/partition"
	"github.com/seri-queue/seri/internal/permit"
	"github.com/seri-queue/seri/internal/wire"
)

// Record is one event as it is relayed to other systems, or the announcement that some are missing.
type Record struct {
	ID    string  // of the CloudEvent: the same event has the same, however often it is relayed
	Queue string  // of the stream: of a queue that is divided, its partition's name
	Entry EntryID // of the event; of an announcement, where the stream goes on
	Index int     // among the events of the entry, from 0
	Of    int     // how many the entry has; 0: an announcement
	After EntryID // the entry that precedes it in the stream; zero: none does
	Key   string  // the task's ID, or the schedule's: what is about one of them has the same
	Type  string  // of the CloudEvent
	Time  time.Time
	Body  []byte // the CloudEvent, JSON
}

// Mark is how far a stream was relayed. The zero Mark is its beginning.
type Mark struct {
	ID   EntryID
	mark mark
}

// MarkOf returns the mark just after an entry.
func MarkOf(id EntryID) Mark {
	if id == (EntryID{}) {
		return Mark{}
	}
	return Mark{id, mark{id, -1}}
}

// Reader reads the streams in Redis for whoever passes them on.
type Reader struct {
	streams    redisStreams
	partitions *partition.Table
}

// NewReader returns a reader with connections of its own to where rdb leads. [Reader.Close] ends them, and blocked reads.
func NewReader(rdb redis.UniversalClient, partitions *partition.Table) (*Reader, error) {
	streams, err := openStreams(rdb)
	return &Reader{streams, partitions}, err
}

// Close lets go of the reader's connections.
func (r *Reader) Close() error { return r.streams.Close() }

// Permitted returns an error that says what is missing if the Redis user may not do all that a reader does. It writes nothing.
func (r *Reader) Permitted(ctx context.Context) error {
	stream := keys.Queue("default").Events()
	err := permit.Check(ctx, r.streams.rdb, permit.Need{
		Scripts:  []string{lookSource, behindSource},
		Keys:     []string{stream},
		Commands: [][]string{{"SMEMBERS", keys.Queues}, {"XREAD", "STREAMS", stream, "0"}},
	})
	if err != nil {
		return fmt.Errorf("read the streams of events: %w", err)
	}
	return nil
}

// Queues returns the names of all streams.
func (r *Reader) Queues(ctx context.Context) ([]string, error) { return r.streams.Queues(ctx) }

// Next waits up to a second for what follows in a queue. The records are of whole entries; where some are missing, the first
// record announces it. An entry that is not ours is passed over, and its fault is among wrong.
func (r *Reader) Next(ctx context.Context, queue string, at Mark) (records []Record, next Mark, wrong, err error) {
	var read caught
	reached, _, err := (&tail{streams: r.streams, sink: &read}).step(ctx, queue, at.mark, false)
	if err != nil {
		return nil, at, nil, err
	}
	after := at.ID
	if read.lost != nil {
		records = append(records, read.lost.record(queue, after))
		after = read.lost.end
	}
	var faults []error
	for _, e := range read.entries {
		of, err := r.records(queue, after, e)
		if err != nil {
			faults = append(faults, fmt.Errorf("entry %s of queue %q: %w", e.id, queue, err))
			continue
		}
		if len(of) > 0 {
			records, after = append(records, of...), e.id
		}
	}
	return records, Mark{reached.id, reached}, errors.Join(faults...), nil
}

func (r *Reader) records(queue string, after EntryID, e entry) ([]Record, error) {
	place := r.partitions.Find(keys.Queue(queue))
	decoded, err := wire.DecodeEvents(place.Queue, e.text)
	if err != nil {
		return nil, err
	}
	records := make([]Record, len(decoded))
	for i, event := range decoded {
		event.Partition = place.Partition
		position := Position{e.id, i}.String()
		body, err := wire.AppendCloudEvent(nil, &event, position)
		if err != nil {
			return nil, err
		}
		records[i] = Record{
			ID: wire.CloudEventID(&event, position), Queue: queue, Entry: e.id, Index: i, Of: len(decoded), After: after,
			Key: wire.CloudEventSubject(&event), Type: wire.CloudEventType(&event), Time: event.Time, Body: body,
		}
	}
	return records, nil
}

// caught is what one step of a tail hands over.
type caught struct {
	entries []entry
	lost    *missing
}

// missing is what a step has found to be missing.
type missing struct {
	end    EntryID // where the stream goes on
	before *Position
	reset  bool
}

func (c *caught) begin(Cursor) {}

func (c *caught) publish(_ string, entries []entry) { c.entries = entries }

func (c *caught) lose(_ string, next Position, before *Position, reset bool) {
	c.lost = &missing{next.ID, before, reset}
	if before != nil {
		c.lost.end = before.ID.previous()
	}
}

// record announces what is missing.
func (m *missing) record(queue string, after EntryID) Record {
	frame, err := gapFrame(queue, loss{after: endOf(after), before: m.before, reset: m.reset}, "")
	if err != nil {
		panic(fmt.Sprintf("events: encode a gap: %v", err)) // strings always encode
	}
	kind := "gap"
	if m.reset {
		kind = "reset"
	}
	return Record{
		ID: kind + "/" + queue + "/" + endOf(after).String() + "/" + m.end.String(), Queue: queue, Entry: m.end, After: after,
		Type: frame.Type, Time: time.Now(), Body: frame.JSON,
	}
}

// event returns the event of a record.
func (r *Record) event() (seri.Event, error) {
	var ce wire.CloudEvent
	if err := json.Unmarshal(r.Body, &ce); err != nil {
		return seri.Event{}, err
	}
	return ce.Event()
}
