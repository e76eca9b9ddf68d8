package events

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

const (
	// MaxCursorBytes bounds a cursor's text. It has to fit into one request header; load balancers take 16 KiB.
	MaxCursorBytes = 12 << 10
	// MaxCursorQueues bounds the queues in a cursor, and with them the queues of one subscription.
	MaxCursorQueues = 256
)

// Cursor says how far a subscription has come: for each queue, the position of the last event. A queue that it does not
// name is at its beginning, so the zero Cursor is before everything. A Cursor is immutable.
type Cursor struct {
	places []place // ordered by queue
}

type place struct {
	queue string
	at    Position
}

func byQueue(p place, queue string) int { return cmp.Compare(p.queue, queue) }

// At returns the position in a queue.
func (c Cursor) At(queue string) Position {
	if i, ok := slices.BinarySearchFunc(c.places, queue, byQueue); ok {
		return c.places[i].at
	}
	return Position{}
}

// With returns c with another position in one queue.
func (c Cursor) With(queue string, at Position) Cursor {
	i, ok := slices.BinarySearchFunc(c.places, queue, byQueue)
	if !ok {
		return Cursor{slices.Insert(slices.Clone(c.places), i, place{queue, at})}
	}
	places := slices.Clone(c.places)
	places[i].at = at
	return Cursor{places}
}

// covers reports whether c is at other or after it in every queue.
func (c Cursor) covers(other Cursor) bool {
	for _, p := range other.places {
		if c.At(p.queue).Compare(p.at) < 0 {
			return false
		}
	}
	return true
}

// latest returns the later position of both, queue by queue.
func (c Cursor) latest(other Cursor) Cursor {
	for _, p := range other.places {
		if c.At(p.queue).Compare(p.at) <= 0 {
			c = c.With(p.queue, p.at)
		}
	}
	return c
}

// whole returns the cursor after all events of the entries that c is in.
func (c Cursor) whole() Cursor {
	places := slices.Clone(c.places)
	for i := range places {
		places[i].at = endOf(places[i].at.ID)
	}
	return Cursor{places}
}

// only returns the part of c about queues for which keep is true.
func (c Cursor) only(keep func(queue string) bool) Cursor {
	var kept Cursor
	for _, p := range c.places {
		if keep(p.queue) {
			kept.places = append(kept.places, p)
		}
	}
	return kept
}

// queues returns the queues that c names, in order.
func (c Cursor) queues() []string {
	queues := make([]string, len(c.places))
	for i, p := range c.places {
		queues[i] = p.queue
	}
	return queues
}

// nowhere is the text of the zero Cursor. (An empty Last-Event-ID would mean that there is none.)
const nowhere = "-"

// String returns the text form: "mail@1763800000123-0:3,video@1763800000456-1:0". Queue names are percent-encoded.
// The text is fit for JSON strings and headers as it stands.
func (c Cursor) String() string {
	if len(c.places) == 0 {
		return nowhere
	}
	b := make([]byte, 0, 48*len(c.places))
	for i, p := range c.places {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, escapeQueue(p.queue)...)
		b = append(b, '@')
		b = p.at.append(b)
	}
	return string(b)
}

// Text returns the text form for a subscription to one queue, which is that one position, or, with an empty queue,
// [Cursor.String].
func (c Cursor) Text(queue string) string {
	if queue == "" {
		return c.String()
	}
	return c.At(queue).String()
}

// ParseCursor reads what [Cursor.Text] wrote for the same queue (empty: all queues). It also takes a cursor of several
// queues for one of them, of which [Hub.Resume] uses that one. The error is fit to be shown to whoever sent the text.
func ParseCursor(text, queue string) (Cursor, error) {
	if len(text) > MaxCursorBytes {
		return Cursor{}, fmt.Errorf("the cursor has %d bytes, at most %d are allowed", len(text), MaxCursorBytes)
	}
	if text == nowhere {
		return Cursor{}, nil
	}
	if !strings.Contains(text, "@") {
		at, err := ParsePosition(text)
		if err != nil {
			return Cursor{}, fmt.Errorf("the cursor is malformed: %w", err)
		}
		if queue == "" {
			return Cursor{}, errors.New("the cursor is that of one queue, and the request does not say which")
		}
		return Cursor{}.With(queue, at), nil
	}
	if n := 1 + strings.Count(text, ","); n > MaxCursorQueues {
		return Cursor{}, fmt.Errorf("the cursor has %d queues, at most %d are allowed", n, MaxCursorQueues)
	}
	var c Cursor
	for part := range strings.SplitSeq(text, ",") {
		p, err := parsePlace(part)
		if err != nil {
			return Cursor{}, fmt.Errorf("the cursor is malformed: %w", err)
		}
		c.places = append(c.places, p)
	}
	if !slices.IsSortedFunc(c.places, func(a, b place) int { return cmp.Or(cmp.Compare(a.queue, b.queue), -1) }) {
		return Cursor{}, errors.New("the cursor is malformed: its queues are not in order, or repeat")
	}
	return c, nil
}

func parsePlace(text string) (place, error) {
	name, at, ok := strings.Cut(text, "@")
	if !ok {
		return place{}, fmt.Errorf("%.60q has no %q", text, "@")
	}
	queue, err := url.PathUnescape(name)
	if err != nil {
		return place{}, fmt.Errorf("queue: %w", err)
	}
	if queue == "" {
		return place{}, fmt.Errorf("%.60q names no queue", text)
	}
	p := place{queue: queue}
	if p.at, err = ParsePosition(at); err != nil {
		return place{}, fmt.Errorf("queue %.60q: %w", queue, err)
	}
	return p, nil
}

// escapeQueue leaves letters, digits and "-_.~" as they are.
func escapeQueue(queue string) string {
	return strings.ReplaceAll(url.QueryEscape(queue), "+", "%20")
}
