package events

import (
	"context"
	"slices"
	"sync"
	"time"
)

const (
	// mirroredEntries and mirroredBytes bound what a mirror keeps of each queue: as many entries as a stream has by
	// default, in as much memory as a thousand large batches take.
	mirroredEntries = 10_000
	mirroredBytes   = 16 << 20
)

// mirror is the streams of all queues in the memory of this process: the newest entries of each. Where a transport keeps
// nothing, or keeps it far away, it is what subscriptions resume from.
//
// Entries come by [mirror.append], each with the ID of the one before it, so that a missing one is noticed: then what is
// there is let go of, and whoever was before it is told that events are missing.
type mirror struct {
	ready chan struct{} // closed when the mirror knows where each stream is
	grew  chan struct{} // holds a value when there is a queue that was not there before

	mu      sync.Mutex
	streams map[string]*reflection
	another chan struct{} // closed and replaced when there is a queue that was not there before
	open    sync.Once
}

// reflection is one stream in a mirror.
type reflection struct {
	entries []entry
	before  EntryID // the entry that the first of them follows
	bytes   int
	last    EntryID       // the last ID ever given
	gone    int64         // entries that were there once, or may have been
	changed chan struct{} // closed and replaced when an entry or the end of the past comes
}

func newMirror() *mirror {
	return &mirror{ready: make(chan struct{}), grew: make(chan struct{}, 1), streams: make(map[string]*reflection), another: make(chan struct{})}
}

// opened says that the mirror knows where each stream is. It may be called twice.
func (m *mirror) opened() { m.open.Do(func() { close(m.ready) }) }

// of returns a queue's stream, made if need be: at an end before which there may have been entries. The lock is held.
func (m *mirror) of(queue string, end EntryID) *reflection {
	r := m.streams[queue]
	if r == nil {
		r = &reflection{last: end, changed: make(chan struct{})}
		if end != (EntryID{}) {
			r.gone = 1
		}
		m.streams[queue] = r
		close(m.another)
		m.another = make(chan struct{})
		select {
		case m.grew <- struct{}{}:
		default:
		}
	}
	return r
}

// append adds the entry that follows the one named, which is zero for the first of a stream. What is there already is
// left out.
func (m *mirror) append(queue string, after EntryID, e entry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.of(queue, after)
	if e.id.Compare(r.last) <= 0 {
		return
	}
	if after.Compare(r.last) > 0 || after == (EntryID{}) && r.last != after { // something is missing, or all begins anew
		r.forget(after)
	}
	if len(r.entries) == 0 {
		r.before = after
	}
	r.entries = append(r.entries, e)
	r.bytes += e.size()
	r.last = e.id
	over := 0
	for len(r.entries)-over > mirroredEntries || r.bytes > mirroredBytes && len(r.entries)-over > 1 {
		r.before = r.entries[over].id
		r.bytes -= r.entries[over].size()
		over++
	}
	clear(r.entries[:over]) // or their texts would live for as long as the array
	r.entries, r.gone = r.entries[over:], r.gone+int64(over)
	r.tell()
}

// size is about what an entry takes in memory.
func (e *entry) size() int { return len(e.text) + 512*len(e.events) }

// align says where a stream is. If that is not where the mirror is, events are missing: those between, or, where it has
// gone back, some that the mirror has had and that are no longer true.
func (m *mirror) align(queue string, end EntryID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.of(queue, end)
	if r.last == end {
		return
	}
	r.forget(end)
	r.tell()
}

// forget lets go of all entries, and of one more that never came. At the zero ID the stream begins anew.
func (r *reflection) forget(end EntryID) {
	r.gone += int64(len(r.entries)) + 1
	if end == (EntryID{}) {
		r.gone = 0
	}
	r.entries, r.bytes, r.last = nil, 0, end
}

func (r *reflection) tell() {
	close(r.changed)
	r.changed = make(chan struct{})
}

// end returns where a stream is; false if the mirror does not know it.
func (m *mirror) end(queue string) (EntryID, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r := m.streams[queue]; r != nil {
		return r.last, true
	}
	return EntryID{}, false
}

// End implements streams, of what the mirror has: who shows snapshots asks for more.
func (m *mirror) End(_ context.Context, queue string, after EntryID) (EntryID, error) {
	if end, known := m.end(queue); known && end.Compare(after) > 0 {
		return end, nil
	}
	return after, nil
}

// Queues implements streams.
func (m *mirror) Queues(ctx context.Context) ([]string, error) {
	select {
	case <-m.ready:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	names := make([]string, 0, len(m.streams))
	for name := range m.streams {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, nil
}

// Follow implements streams.
func (m *mirror) Follow(ctx context.Context, queue string, after EntryID, limit int, wait time.Duration) ([]entry, error) {
	m.mu.Lock()
	r := m.of(queue, EntryID{})
	entries, changed := r.from(EntryID{after.Ms, after.Seq + 1}, limit), r.changed
	moved := r.last != after // also back
	m.mu.Unlock()
	if len(entries) > 0 || moved {
		return entries, nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
		return nil, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	return m.Range(ctx, queue, EntryID{after.Ms, after.Seq + 1}, limit)
}

// Range implements streams.
func (m *mirror) Range(_ context.Context, queue string, from EntryID, limit int) ([]entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r := m.streams[queue]; r != nil {
		return r.from(from, limit), nil
	}
	return nil, nil
}

func (r *reflection) from(id EntryID, limit int) []entry {
	first, _ := slices.BinarySearchFunc(r.entries, id, func(e entry, id EntryID) int { return e.id.Compare(id) })
	return slices.Clone(r.entries[first:min(len(r.entries), first+limit)])
}

// lateness is how long a mirror waits for an entry that another has seen already.
const lateness = 500 * time.Millisecond

// Look implements streams.
func (m *mirror) Look(ctx context.Context, queue string, id EntryID) (view, error) {
	v, ahead, changed := m.look(queue, id)
	if !ahead {
		return v, nil
	}
	timer := time.NewTimer(lateness)
	defer timer.Stop()
	for ahead {
		select {
		case <-changed:
			v, ahead, changed = m.look(queue, id)
		case <-timer.C:
			return v, nil
		case <-ctx.Done():
			return v, context.Cause(ctx)
		}
	}
	return v, nil
}

// look is Look at this moment. ahead says that the ID is beyond what the mirror has, until there is a change.
func (m *mirror) look(queue string, id EntryID) (v view, ahead bool, changed chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.streams[queue]
	if r == nil {
		return view{added: -1}, id != (EntryID{}), m.another
	}
	if _, has := slices.BinarySearchFunc(r.entries, id, func(e entry, id EntryID) int { return e.id.Compare(id) }); has {
		return view{has: true, exists: true, added: -1}, false, nil
	}
	v = view{exists: true, last: r.last, length: int64(len(r.entries)), added: r.gone + int64(len(r.entries))}
	if len(r.entries) > 0 {
		v.first = r.entries[0].id
	}
	return v, r.last.Compare(id) < 0, r.changed
}

// Close implements streams: whoever feeds the mirror lets go of what he holds.
func (m *mirror) Close() error { return nil }
