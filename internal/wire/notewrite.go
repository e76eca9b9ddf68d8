package wire

import (
	"encoding/json"
	"slices"
	"time"
)

// AppendNote appends a [CloudEvent] that is about a whole subscription, or about one of a connection's by name, as json.Marshal
// encodes it. It has no cursor. data is what the type asks for; struct{}{}: nothing. What everybody gets who connects,
// [Subscribed], [Snapshot] and nothing, is written by hand.
func AppendNote(b []byte, typ, id, subscription string, at time.Time, data any) ([]byte, error) {
	o := object{b: slices.Grow(b, 288+2*len(id))} // and a short cursor, or one that is in the ID
	o.text(`{"specversion":"1.0","id":`, id)
	o.text(`,"source":"/v1/events","type":`, typ)
	o.time(`,"time":`, at.UTC())
	o.raw(`,"datacontenttype":"application/json"`)
	o.optionalText(`,"subscription":`, subscription)
	o.raw(`,"data":`)
	switch data := data.(type) {
	case struct{}:
		o.raw(`{}`)
	case Subscribed:
		o.subscribed(&data)
	case Snapshot:
		o.snapshot(&data)
	default:
		o.any(data)
	}
	o.raw(`}`)
	return o.b, o.err
}

// any appends what encoding/json makes of data.
func (o *object) any(data any) {
	encoded, err := json.Marshal(data)
	if err != nil {
		o.fail(err)
	}
	o.b = append(o.b, encoded...)
}

func (o *object) subscribed(s *Subscribed) {
	if s.Subscriptions == nil {
		o.raw(`{"subscriptions":null`)
	} else {
		o.raw(`{"subscriptions":[`)
		for i, name := range s.Subscriptions {
			o.text(comma(i), name)
		}
		o.raw(`]`)
	}
	o.optionalFlag(`,"resumed":`, s.Resumed)
	o.optionalText(`,"consumer":`, s.Consumer)
	if s.Token != 0 {
		o.natural(`,"token":`, s.Token)
	}
	o.raw(`}`)
}

func (o *object) snapshot(s *Snapshot) {
	room := 0
	for i := range s.Tasks {
		room += s.Tasks[i].room()
	}
	o.b = slices.Grow(o.b, room)
	if s.Tasks == nil {
		o.raw(`{"tasks":null`)
	} else {
		o.raw(`{"tasks":[`)
		for i := range s.Tasks {
			o.raw(comma(i))
			o.task(&s.Tasks[i])
		}
		o.raw(`]`)
	}
	o.optionalFlag(`,"truncated":`, s.Truncated)
	o.raw(`}`)
}

// comma returns what stands before an element of a list.
func comma(i int) string {
	if i == 0 {
		return ""
	}
	return ","
}
