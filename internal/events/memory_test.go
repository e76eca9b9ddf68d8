package events

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/seri-queue/seri"
)

// memory is streams without Redis, for tests in bubbles of testing/synctest.
type memory struct {
	mu      sync.Mutex
	names   []string
	streams map[string]*memoryStream
	down    bool          // every call fails
	ranges  int           // calls of Range
	looks   int           // calls of Look
	tails   int           // calls of Follow that wait or read now
	most    int           // the most that there were of them at once
	changed chan struct{} // closed and replaced at each append
}

type memoryStream struct {
	entries []entry
	last    EntryID
	added   int64
}

func newMemory(queues ...string) *memory {
	return &memory{names: queues, streams: make(map[string]*memoryStream), changed: make(chan struct{})}
}

// append writes one entry, a millisecond after the last one of any queue.
func (m *memory) append(queue string, events ...event) EntryID {
	return m.text(queue, encodeEvents(events))
}

// text writes one entry as it stands.
func (m *memory) text(queue, text string) EntryID {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !slices.Contains(m.names, queue) {
		m.names = append(m.names, queue)
	}
	s := m.streams[queue]
	if s == nil {
		s = new(memoryStream)
		m.streams[queue] = s
	}
	s.added++
	id := EntryID{Ms: s.last.Ms + 1}
	if now := uint64(time.Now().UnixMilli()); now > s.last.Ms {
		id = EntryID{Ms: now}
	}
	s.last = id
	s.entries = append(s.entries, entry{id: id, text: text})
	close(m.changed)
	m.changed = make(chan struct{})
	return id
}

// trim removes the first n entries of a stream.
func (m *memory) trim(queue string, n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.streams[queue].entries = m.streams[queue].entries[n:]
}

// flush removes everything.
func (m *memory) flush() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.names, m.streams = nil, make(map[string]*memoryStream)
}

// rollBack removes the last n entries as if they had never been, as a failover to a replica that lacks them does.
func (m *memory) rollBack(queue string, n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.streams[queue]
	s.entries = s.entries[:len(s.entries)-n]
	s.added -= int64(n)
	s.last = s.entries[len(s.entries)-1].id
}

func (m *memory) setDown(down bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.down = down
	close(m.changed)
	m.changed = make(chan struct{})
}

// count returns how often streams were read and looked at since the last count.
func (m *memory) count() (ranges, looks int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	ranges, looks = m.ranges, m.looks
	m.ranges, m.looks = 0, 0
	return ranges, looks
}

func (m *memory) Close() error { return nil }

var errDown = errors.New("the connection was refused")

func (m *memory) Queues(context.Context) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down {
		return nil, errDown
	}
	return slices.Clone(m.names), nil
}

func (m *memory) Follow(ctx context.Context, queue string, after EntryID, limit int, wait time.Duration) ([]entry, error) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	m.mu.Lock()
	m.tails++
	m.most = max(m.most, m.tails)
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.tails--
	}()
	for {
		m.mu.Lock()
		changed, down := m.changed, m.down
		entries := m.from(queue, EntryID{after.Ms, after.Seq + 1}, limit)
		m.mu.Unlock()
		if down {
			return nil, errDown
		}
		if len(entries) > 0 {
			return entries, nil
		}
		select {
		case <-changed:
		case <-timer.C:
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (m *memory) Range(_ context.Context, queue string, from EntryID, limit int) ([]entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ranges++
	if m.down {
		return nil, errDown
	}
	return m.from(queue, from, limit), nil
}

func (m *memory) from(queue string, id EntryID, limit int) []entry {
	s := m.streams[queue]
	if s == nil {
		return nil
	}
	first, _ := slices.BinarySearchFunc(s.entries, id, func(e entry, id EntryID) int { return e.id.Compare(id) })
	return slices.Clone(s.entries[first:min(len(s.entries), first+limit)])
}

func (m *memory) End(_ context.Context, queue string, after EntryID) (EntryID, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.looks++
	switch s := m.streams[queue]; {
	case m.down:
		return EntryID{}, errDown
	case s != nil && s.last.Compare(after) > 0:
		return s.last, nil
	}
	return after, nil
}

func (m *memory) Look(_ context.Context, queue string, id EntryID) (view, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.looks++
	s := m.streams[queue]
	switch {
	case m.down:
		return view{}, errDown
	case s == nil:
		return view{added: -1}, nil
	case slices.ContainsFunc(s.entries, func(e entry) bool { return e.id == id }):
		return view{has: true, exists: true, added: -1}, nil
	}
	v := view{exists: true, last: s.last, length: int64(len(s.entries)), added: s.added}
	if len(s.entries) > 0 {
		v.first = s.entries[0].id
	}
	return v, nil
}

// event is an event as the scripts write it.
type event struct {
	Kind  seri.EventKind `json:"kind"`
	Task  string         `json:"task"`
	Type  string         `json:"type"`
	Seq   uint64         `json:"seq"`
	At    int64          `json:"at"`
	Owner string         `json:"owner,omitempty"`
}

func encodeEvents(events []event) string {
	text, err := json.Marshal(events)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// progress is the event with the given number of a task.
func progress(task string, seq uint64) event {
	return event{Kind: seri.EventProgress, Task: task, Type: "t", Seq: seq, Owner: "user:1"}
}

// started is an event that no later one makes old.
func started(task string, seq uint64) event {
	return event{Kind: seri.EventStarted, Task: task, Type: "t", Seq: seq, Owner: "user:1"}
}
