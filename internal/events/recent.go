package events

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/seri-queue/seri"
)

const (
	// pageRecords and pageBytes bound a page.
	pageRecords = 256
	pageBytes   = 256 << 10
)

// recent keeps the newest entries of all streams in memory, and some older ones that were read for who came back: those
// who come back together, after a restart or an outage, would otherwise read the same streams each by himself.
//
// It is bounded in bytes. The pages of the time that is longest ago go first.
type recent struct {
	limit int // in bytes, of the newest entries; half as much again for what was read

	mu      sync.Mutex
	shelves map[string]*shelf // by queue
	bytes   int
	lent    int    // bytes of what was read
	clock   uint64 // counts the uses of what was read
}

// shelf is what is kept of one stream.
type shelf struct {
	since  Position // the newest entries are all those after this, up to where the hub is
	exact  Position // the same, as cursors name it: after the last event of since's entry; zero: not known
	newest []*page  // each goes on where the one before ends; the last one grows
	read   []*page  // read from the stream, in no order
}

// page is a run of a stream's entries, oldest first and without a gap. Only the newest page of a shelf changes.
type page struct {
	records []*record
	bytes   int
	used    uint64

	once  sync.Once
	tasks map[string][]spot // where the events of each task are
}

// record is an entry, and its events as soon as somebody has asked for them.
type record struct {
	id     EntryID
	once   sync.Once
	text   string // until then
	events []seri.Event
}

// spot is the place of an event in a page.
type spot struct{ record, event int32 }

// run is a part of a page: the records from one on.
type run struct {
	page    *page
	records []*record
	closed  bool // nothing is added to the page any more
}

// extent says how much of what follows a position is kept.
type extent int

const (
	none       extent = iota
	some              // the next entry at least
	everything        // up to where the hub is
)

func newRecent(limit int) *recent {
	return &recent{limit: limit, shelves: make(map[string]*shelf)}
}

// read returns the record's events.
func (r *record) read(h *Hub, queue string) []seri.Event {
	r.once.Do(func() {
		if r.text != "" {
			r.events, r.text = h.decode(queue, entry{id: r.id, text: r.text}), ""
		}
	})
	return r.events
}

// end is the position after the record's last event.
func (r *record) end(h *Hub, queue string) Position {
	if n := len(r.read(h, queue)); n > 0 {
		return Position{r.id, n - 1}
	}
	return endOf(r.id)
}

// add puts a record at the end of the page.
func (p *page) add(r *record, size int) {
	p.records = append(p.records, r)
	p.bytes += size
}

// index returns where the events of each task are. The page must not change any more.
func (p *page) index(h *Hub, queue string) map[string][]spot {
	p.once.Do(func() {
		p.tasks = make(map[string][]spot)
		for n, r := range p.records {
			events := r.read(h, queue)
			for i := range events {
				task := events[i].Task
				p.tasks[task] = append(p.tasks[task], spot{int32(n), int32(i)})
			}
		}
	})
	return p.tasks
}

// spots returns the events of tasks in a closed page, in order.
func (p *page) spots(h *Hub, queue string, tasks []string) []spot {
	index := p.index(h, queue)
	var spots []spot
	for _, task := range tasks {
		spots = append(spots, index[task]...)
	}
	slices.SortFunc(spots, func(a, b spot) int { return cmp.Or(cmp.Compare(a.record, b.record), cmp.Compare(a.event, b.event)) })
	return slices.Compact(spots)
}

// find returns the index of a record; false if the page does not have it.
func (p *page) find(id EntryID) (int, bool) {
	if id.Compare(p.records[0].id) < 0 || id.Compare(p.records[len(p.records)-1].id) > 0 {
		return 0, false
	}
	return slices.BinarySearchFunc(p.records, id, func(r *record, id EntryID) int { return r.id.Compare(id) })
}

// costOf is what an entry counts for: about what it takes once it is decoded.
func costOf(e entry) int { return 3*len(e.text) + 512*len(e.events) + 128 }

// begin forgets what is kept of a stream: what is kept from now on begins after a position.
func (r *recent) begin(queue string, after Position) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.shelves[queue]; s != nil {
		for _, p := range s.newest {
			r.bytes -= p.bytes
		}
		for _, p := range s.read {
			r.lent -= p.bytes
		}
	}
	r.shelves[queue] = &shelf{since: after}
}

// add keeps an entry that comes next in a stream, with its events if they are known.
func (r *recent) add(queue string, e entry, events []seri.Event, decoded bool) {
	rec := &record{id: e.id, text: e.text, events: e.events}
	if decoded {
		rec.text, rec.events = "", events
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.shelves[queue]
	if s == nil { // the queue is new: the hub reads it from its beginning
		s = new(shelf)
		r.shelves[queue] = s
	}
	last := len(s.newest) - 1
	if last < 0 || len(s.newest[last].records) == pageRecords || s.newest[last].bytes > pageBytes {
		s.newest = append(s.newest, new(page))
		last++
	}
	size := costOf(e)
	s.newest[last].add(rec, size)
	for r.bytes += size; r.bytes > r.limit; {
		r.dropOldest()
	}
}

// dropOldest lets go of the newest entries' oldest page. The lock is held.
func (r *recent) dropOldest() {
	var oldest *shelf
	for _, s := range r.shelves {
		if len(s.newest) > 0 && (oldest == nil || s.newest[0].records[0].id.Compare(oldest.newest[0].records[0].id) < 0) {
			oldest = s
		}
	}
	p := oldest.newest[0]
	oldest.since, oldest.exact = endOf(p.records[len(p.records)-1].id), Position{}
	oldest.newest = slices.Delete(oldest.newest, 0, 1)
	r.bytes -= p.bytes
}

// shelf returns what is kept of a stream, to be filled by keep; nil: the hub does not know the stream yet.
func (r *recent) shelf(queue string) *shelf {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.shelves[queue]
}

// keep keeps entries that were read from a stream since its shelf was asked for, and returns them. If the shelf is another
// one by now, they may be of a history that is no more.
func (r *recent) keep(queue string, on *shelf, entries []entry) run {
	p := new(page)
	for _, e := range entries {
		p.add(&record{id: e.id, text: e.text, events: e.events}, costOf(e))
	}
	all := run{p, p.records, true}
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.shelves[queue]
	if s == nil || s != on || len(entries) < 2 { // one that nothing follows is of no use to anybody
		return all
	}
	r.clock++
	p.used = r.clock
	s.read = append(s.read, p)
	for r.lent += p.bytes; r.lent > r.limit/2; {
		r.dropUnused()
	}
	return all
}

// dropUnused lets go of the page, among those that were read, that was not used for the longest time. The lock is held.
func (r *recent) dropUnused() {
	var in *shelf
	var unused *page
	for _, s := range r.shelves {
		for _, p := range s.read {
			if unused == nil || p.used < unused.used {
				in, unused = s, p
			}
		}
	}
	in.read = slices.DeleteFunc(in.read, func(p *page) bool { return p == unused })
	r.lent -= unused.bytes
}

// after returns what is kept of a stream after a position: runs that follow each other, the first from the position's own
// entry on. That this entry is kept proves that nothing after it is missing.
func (r *recent) after(queue string, at Position) ([]run, extent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.shelves[queue]
	if s == nil {
		return nil, none
	}
	first, from := 0, 0
	held := at == s.since || s.exact != (Position{}) && at == s.exact
	if !held {
		first, held = slices.BinarySearchFunc(s.newest, at.ID, func(p *page, id EntryID) int { return p.records[0].id.Compare(id) })
		if !held {
			first--
		}
		if held = first >= 0; held {
			from, held = s.newest[first].find(at.ID)
		}
	}
	if held {
		runs := make([]run, 0, len(s.newest)-first)
		for n, p := range s.newest[first:] {
			runs = append(runs, run{p, p.records[from:], first+n < len(s.newest)-1})
			from = 0
		}
		return runs, everything
	}
	for _, p := range s.read {
		if n, ok := p.find(at.ID); ok && n < len(p.records)-1 {
			r.clock++
			p.used = r.clock
			return []run{{p, p.records[n:], true}}, some
		}
	}
	return nil, none
}

// join returns a position in an entry or after it as the newest entries know it, if they begin after that entry. end is where
// its events end, which they know from now on, too: there are those who have seen the last of them, and come back.
func (r *recent) join(queue string, at, end Position) Position {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.shelves[queue]; s != nil && s.since == endOf(at.ID) {
		if end.ID == at.ID {
			s.exact = end
		}
		return s.since
	}
	return at
}

// turns lets one at a time read each stream. It knows those streams only at which somebody is: clients name queues at will.
type turns struct {
	mu      sync.Mutex
	streams map[string]*turn
}

// turn is that at one stream.
type turn struct {
	taken chan struct{} // holds a value while somebody has it
	users int           // who have it or wait for it
}

// take waits for a turn at a stream; done gives it back.
func (t *turns) take(ctx context.Context, queue string) (done func(), err error) {
	t.mu.Lock()
	if t.streams == nil {
		t.streams = make(map[string]*turn)
	}
	at := t.streams[queue]
	if at == nil {
		at = &turn{taken: make(chan struct{}, 1)}
		t.streams[queue] = at
	}
	at.users++
	t.mu.Unlock()
	select {
	case at.taken <- struct{}{}:
		return func() { <-at.taken; t.leave(queue, at) }, nil
	case <-ctx.Done():
		t.leave(queue, at)
		return nil, context.Cause(ctx)
	}
}

// leave forgets a turn that nobody uses any more.
func (t *turns) leave(queue string, at *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if at.users--; at.users == 0 {
		delete(t.streams, queue)
	}
}
