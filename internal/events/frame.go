package events

import (
	"encoding/json"
	"fmt"
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
	const key = `,"cursor":"`
	b := make([]byte, 0, len(event)+len(key)+len(cursor)+len(`"`))
	b = append(b, event[:len(event)-len("}")]...)
	b = append(b, key...)
	b = append(b, cursor...)
	b = append(b, `"}`...)
	return Frame{typ, cursor, b}
}

// item is what the hub hands to many subscriptions at once: an event, or the loss of some. It does not change once it
// was handed out.
type item struct {
	queue string
	at    Position // of the event; after a loss, where events go on
	loss  *loss    // nil: an event
	event seri.Event

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
}

// encode makes the event's JSON.
func (it *item) encode() error {
	ce, err := wire.NewCloudEvent(it.event, it.at.String(), "")
	if err != nil {
		return err
	}
	it.typ = ce.Type
	it.json, err = json.Marshal(ce)
	return err
}

// size is what the item counts for in a subscription's buffer.
func (it *item) size() int { return len(it.json) + 256 }

// frameOf makes a frame about a whole subscription.
func frameOf(typ, id string, data any, cursor string) (Frame, error) {
	encoded, err := json.Marshal(data)
	if err != nil {
		return Frame{}, fmt.Errorf("encode %s: %w", typ, err)
	}
	event, err := json.Marshal(wire.CloudEvent{
		SpecVersion:     "1.0",
		ID:              id,
		Source:          "/v1/events",
		Type:            typ,
		Time:            time.Now().UTC(),
		DataContentType: "application/json",
		Data:            encoded,
	})
	if err != nil {
		return Frame{}, fmt.Errorf("encode %s: %w", typ, err)
	}
	return sealFrame(typ, event, cursor), nil
}

func snapshotFrame(tasks []seri.Info, truncated bool, cursor string) (Frame, error) {
	s := wire.Snapshot{Tasks: make([]wire.Task, len(tasks)), Truncated: truncated}
	for i, info := range tasks {
		s.Tasks[i] = wire.NewTask(info)
	}
	return frameOf(wire.TypeSnapshot, "snapshot/"+cursor, s, cursor)
}

func gapFrame(queue string, l loss, cursor string) (Frame, error) {
	g := wire.Gap{Queue: queue, After: l.after.String()}
	if l.before != nil {
		g.Before = l.before.String()
	}
	return frameOf(wire.TypeGap, "gap/"+queue+"/"+g.After, g, cursor)
}
