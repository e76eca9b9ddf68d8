package events

import (
	"errors"
	"sync"
)

// errFull is why a buffer ended that its reader did not empty in time.
var errFull = errors.New("the buffer is full")

// spareItems bounds the empty room that an idle buffer keeps.
const spareItems = 128

// buffer holds what the hub has handed to one subscription and its reader has not taken yet. It is bounded by the size
// of what it holds, and never makes the hub wait.
type buffer struct {
	ready chan struct{} // holds a value when there is something to take

	mu    sync.Mutex
	items []*item
	bytes int
	limit int
	ended error // why nothing more is taken in; nil: open
}

func newBuffer(limit int) *buffer {
	return &buffer{ready: make(chan struct{}, 1), limit: limit}
}

// push adds an item; false if the buffer has ended, with this item or before. A buffer that overflows lets go of all it
// holds: whoever reads it resumes from the stream.
//
// This is also where progress events of one task would be conflated: the newest takes the place of one that waits.
func (b *buffer) push(it *item) bool {
	b.mu.Lock()
	switch {
	case b.ended != nil:
		b.mu.Unlock()
		return false
	case b.bytes+it.size() > b.limit:
		b.items, b.bytes, b.ended = nil, 0, errFull
	default:
		b.items = append(b.items, it)
		b.bytes += it.size()
	}
	open := b.ended == nil
	b.mu.Unlock()
	b.signal()
	return open
}

// end makes take return err once it has returned all items.
func (b *buffer) end(err error) {
	b.mu.Lock()
	if b.ended == nil {
		b.ended = err
	}
	b.mu.Unlock()
	b.signal()
}

func (b *buffer) signal() {
	select {
	case b.ready <- struct{}{}:
	default:
	}
}

// take returns what there is, without waiting. spare is the slice of an earlier take, to be filled again.
func (b *buffer) take(spare []*item) ([]*item, error) {
	if cap(spare) > spareItems {
		spare = nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.items) == 0 {
		return spare[:0], b.ended
	}
	items := b.items
	b.items, b.bytes = spare[:0], 0
	return items, nil
}

func (b *buffer) empty() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.items) == 0
}
