package events

import (
	"crypto/rand"
	"fmt"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/wire"
)

// Frame is one message to a subscriber. Frames are shared between subscriptions: they must not be changed.
type Frame struct {
	Type   string // of the CloudEvent
	Cursor string // resumes the subscription after this frame
	JSON   []byte // the CloudEvent, one line, the cursor in it
}

// sealFrame completes a CloudEvent, encoded without its cursor, by the cursor.
func sealFrame(typ string, event []byte, cursor string) Frame {
	b := make([]byte, 0, len(event)+len(`,"cursor":""`)+len(cursor))
	return Frame{typ, cursor, wire.WithCursor(append(b, event...), cursor)}
}

// item is what the hub hands to many subscriptions at once: an event, or the loss of some. It does not change once it
// was handed out. A buffer adds one of its own where it has let go of others.
type item struct {
	queue string
	at    Position // of the event; after a loss, where events go on
	loss  *loss    // nil: an event
	event seri.Event

	dropped int // so many events a buffer has let go of; then nothing else is filled in

	typ  string
	json []byte // the CloudEvent without a cursor, encoded once

	// For those who have come as far as the hub, the frame with its cursor is the same too: one form for subscriptions
	// to one queue, one for those that span queues, each made when there is somebody for it.
	confined Frame
	here     Cursor // that of confined
	spanning Frame
	reached  Cursor // that of spanning: where the hub is in every queue, the item included
}

// loss is a range of events that cannot be had any more.
type loss struct {
	after  Position  // the last one before it
	before *Position // the first one after it; nil: there is none
	reset  bool      // what follows is another history
}

// encode makes the event's JSON.
func (it *item) encode() (err error) {
	it.typ = wire.CloudEventType(&it.event)
	it.json, err = wire.AppendCloudEvent(nil, &it.event, it.at.String())
	return err
}

// size is what the item counts for in a subscription's buffer.
func (it *item) size() int { return len(it.json) + 256 }

// conflate makes a frame that says how many earlier events of its task it stands for, too.
func conflate(typ string, event []byte, cursor string, conflated int) Frame {
	b := append([]byte(nil), event[:len(event)-len("}")]...)
	b = append(b, `,"conflated":`...)
	b = strconv.AppendInt(b, int64(conflated), 10)
	return sealFrame(typ, append(b, '}'), cursor)
}

// Note returns a frame that is not about events: data by the type, and about the one of a gathering's interests that is
// named, if any is.
func Note(typ, interest string, data any) (Frame, error) {
	return frameOf(typ, newID("note"), interest, data, "")
}

// The IDs of frames that are about no event begin with a text that is random for each process, and go on with a number. They
// have to be unique among all gateways, not hard to guess: a random text for each would say no more, and cost more than the
// rest of the frame. They are the process's, not a hub's, because a note belongs to no hub.
var (
	idOrigin = sync.OnceValue(rand.Text)
	idNumber atomic.Uint64
)

// newID returns the ID of a frame that is about no event.
func newID(kind string) string {
	var room [64]byte
	b := append(append(append(append(room[:0], kind...), '/'), idOrigin()...), '-')
	return string(strconv.AppendUint(b, idNumber.Add(1), 10))
}

// frameOf makes a frame about a whole subscription, or about one of its interests, by name.
func frameOf(typ, id, interest string, data any, cursor string) (Frame, error) {
	event, err := wire.AppendNote(nil, typ, id, interest, time.Now(), data)
	if err != nil {
		return Frame{}, fmt.Errorf("encode %s: %w", typ, err)
	}
	if cursor != "" {
		event = wire.WithCursor(event, cursor)
	}
	return Frame{typ, cursor, event}, nil
}

func snapshotFrame(i *interest, tasks []seri.Info, truncated bool, cursor string) (Frame, error) {
	s := wire.Snapshot{Tasks: make([]wire.Task, len(tasks)), Truncated: truncated}
	for n, info := range tasks {
		if i.filter.Bare {
			info.Payload, info.Headers = nil, nil
		}
		s.Tasks[n] = wire.NewTask(info)
	}
	id := "snapshot/" + cursor
	if i.name != "" {
		id = "snapshot/" + url.PathEscape(i.name) + "/" + cursor
	}
	return frameOf(wire.TypeSnapshot, id, i.name, s, cursor)
}

func droppedFrame(count int, cursor string) (Frame, error) {
	return frameOf(wire.TypeDropped, newID("dropped"), "", wire.Dropped{Count: count}, cursor)
}

func gapFrame(queue string, l loss, cursor string) (Frame, error) {
	g := wire.Gap{Queue: queue, After: l.after.String()}
	if l.before != nil {
		g.Before = l.before.String()
	}
	if l.reset {
		return frameOf(wire.TypeReset, "reset/"+queue+"/"+g.After, "", g, cursor)
	}
	return frameOf(wire.TypeGap, "gap/"+queue+"/"+g.After, "", g, cursor)
}
