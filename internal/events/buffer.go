package events

import (
	"errors"
	"slices"
	"sync"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/meter"
)

// errFull is why a buffer ended that its reader did not empty in time.
var errFull = errors.New("the buffer is full")

// several is for how many items there is room at once when there is more than one.
const several = 16

// spareItems bounds the empty room that an idle buffer keeps.
const spareItems = 128

// buffer holds what the hub has handed to one subscription and its reader has not taken yet. It is bounded by the size
// of what it holds, and never makes the hub wait.
//
// One that is lossy lets go of its oldest items rather than overflow, and says in their place how many events they were.
//
// A buffer that is more than half full lets go of what progress events say that a later event of the same task has made
// old. What it still holds keeps its order, and the later event says how many it stands for. Changes of state are never
// let go of.
type buffer struct {
	mu    sync.Mutex
	waker Waker // is woken when there is something to take
	items []waiting
	after Cursor // what its reader has read from the streams, which may be more than the hub has
	bytes int
	limit int
	tight int   // conflate when more bytes than this wait; half the limit, more if that was to little avail
	ended error // why nothing more is taken in; nil: open

	lossy   bool
	dropped int            // events let go of since the last take
	count   *meter.Counter // of them, for all subscriptions; nil: they are not counted
}

// waiting is an item in a buffer.
type waiting struct {
	*item
	conflated uint32 // progress events of its task, just before it, that were let go of
	excluded  uint32 // how many interests had been taken from the subscription when it was handed the item
}

// open makes it ready, or ready anew. after is what its reader has read already.
func (b *buffer) open(limit int, waker Waker, after Cursor) {
	*b = buffer{waker: waker, limit: limit, tight: limit / 2, after: after}
}

// Waker is somebody who is to look at what has come. Wake is called with locks held: it must return at once.
type Waker interface{ Wake() }

// bell wakes who waits for a value in it.
type bell chan struct{}

func (b bell) Wake() {
	select {
	case b <- struct{}{}:
	default:
	}
}

// notify makes w be woken, also of what is there already.
func (b *buffer) notify(w Waker) {
	b.mu.Lock()
	b.waker = w
	there := len(b.items) > 0 || b.ended != nil
	b.mu.Unlock()
	if there {
		w.Wake()
	}
}

// push adds an item; false if the buffer has ended, with this item or before. A buffer that overflows lets go of all it
// holds: whoever reads it resumes from the stream. It wakes nobody: see wake.
func (b *buffer) push(it *item, excluded uint32) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended != nil {
		return false
	}
	if len(b.items) == 1 && cap(b.items) == 1 { // one seldom comes with two: it is alone, or many come at once
		b.items = append(make([]waiting, 0, several), b.items...)
	}
	b.items = append(b.items, waiting{item: it, excluded: excluded})
	if b.bytes += it.size(); b.bytes > b.tight {
		b.conflate()
	}
	if b.bytes > b.limit && b.lossy {
		b.letGo()
	}
	if b.bytes > b.limit {
		b.items, b.bytes, b.ended = nil, 0, errFull
	}
	return b.ended == nil
}

// wake tells the reader that there is something to take.
func (b *buffer) wake() {
	b.mu.Lock()
	waker := b.waker
	b.mu.Unlock()
	if waker != nil {
		waker.Wake()
	}
}

// conflate lets go of every progress event that a later event of its task follows, and of what the reader has: that must
// not be counted as left out. The lock is held.
func (b *buffer) conflate() {
	later := make(map[taskKey]int) // of each task, the index of the next event that stays
	for n := len(b.items) - 1; n >= 0; n-- {
		w := &b.items[n]
		if w.loss != nil || w.event.Data.Schedule != nil {
			continue
		}
		if w.at.Compare(b.after.At(w.queue)) <= 0 {
			b.bytes -= w.size()
			w.item = nil
			continue
		}
		task := taskKey{w.queue, w.event.Task}
		next, followed := later[task]
		if !followed || w.event.Kind != seri.EventProgress {
			later[task] = n
			continue
		}
		b.items[next].conflated += 1 + w.conflated
		b.bytes -= w.size()
		w.item = nil
	}
	b.items = slices.DeleteFunc(b.items, func(w waiting) bool { return w.item == nil })
	b.tight = max(b.limit/2, b.bytes+b.limit/8) // not for every event anew
}

// letGo drops the oldest events until half of the room is free, so that not every further one moves all others. Announcements
// of losses stay: without that of a reset, what follows it would be taken for what the reader has. The lock is held.
func (b *buffer) letGo() {
	before := b.dropped
	for i := range b.items {
		if b.bytes <= b.limit/2 {
			break
		}
		w := &b.items[i]
		if w.loss != nil {
			continue
		}
		if w.at.Compare(b.after.At(w.queue)) > 0 { // or the reader has it
			b.dropped += 1 + int(w.conflated)
		}
		b.bytes -= w.size()
		w.item = nil
	}
	b.items = slices.DeleteFunc(b.items, func(w waiting) bool { return w.item == nil })
	b.tight = max(b.limit/2, b.bytes+b.limit/8)
	if b.count != nil {
		b.count.Add(b.dropped - before)
	}
}

// loseRather makes the buffer lossy. What it counts is added to count.
func (b *buffer) loseRather(count *meter.Counter) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lossy, b.count = true, count
}

// end makes take return err once it has returned all items.
func (b *buffer) end(err error) {
	b.mu.Lock()
	if b.ended == nil {
		b.ended = err
	}
	waker := b.waker
	b.mu.Unlock()
	if waker != nil {
		waker.Wake()
	}
}

// take returns what there is, without waiting. spare is the slice of an earlier take, to be filled again. If the buffer has ended,
// who takes the last of it is woken to take the end.
func (b *buffer) take(spare []waiting) ([]waiting, error) {
	if cap(spare) > spareItems {
		spare = nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.items) == 0 && b.dropped == 0 {
		return spare[:0], b.ended
	}
	items := b.items
	if b.dropped > 0 {
		items = slices.Insert(items, 0, waiting{item: &item{dropped: b.dropped}})
	}
	b.items, b.bytes, b.tight, b.dropped = spare[:0], 0, b.limit/2, 0
	if b.ended != nil && b.waker != nil {
		b.waker.Wake()
	}
	return items, nil
}

func (b *buffer) empty() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.items) == 0 && b.dropped == 0
}
