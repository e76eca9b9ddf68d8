package events

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/meter"
	"github.com/seri-queue/seri/internal/partition"
	"github.com/seri-queue/seri/internal/wire"
)

// Snapshotter reads the present state of what a subscription is about.
type Snapshotter interface {
	// Snapshots returns what matches each of the filters, in their order; nothing for a filter's task that does not exist.
	Snapshots(ctx context.Context, filters []Filter) ([]Snapshot, error)
}

// Snapshot is the tasks that match a filter.
type Snapshot struct {
	Tasks     []seri.Info
	Truncated bool // there are more
}

// ErrStopped is why subscriptions end, or are refused, when the hub stops.
var ErrStopped = errors.New("the event hub has stopped")

// ErrTooManyQueues refuses a subscription over more queues than a cursor can name.
var ErrTooManyQueues = fmt.Errorf("there are more than %d queues: subscribe to one of them, or to a task", MaxCursorQueues)

// ErrPartition refuses a subscription to a partition of a queue.
var ErrPartition = errors.New("it names a partition: subscribe to its queue")

// Config tunes a [Hub]. The zero value is ready to use.
type Config struct {
	// Buffer bounds the bytes that wait for one subscriber. They are shared with other subscribers of the same events.
	// Default: 1 MiB, about three calls that enqueue 1,000 tasks each, which a subscriber to everything gets at once.
	Buffer int
	// Snapshots is how many snapshots are read at once; further ones wait. Default: 16, so that the subscribers who
	// come back together after an outage do not fall upon Redis.
	Snapshots int
	// CatchUps is how many subscriptions read the streams by themselves at once, to come from their cursors up to the hub,
	// where its memory does not reach back to them; further ones wait their turn. Default: 8: a few that are soon done, and
	// then others, get all there sooner than thousands that share Redis between them until their reads time out.
	CatchUps int
	// Recent bounds the bytes of the newest events that the hub keeps for subscriptions that are resumed; what was read from
	// the streams for them may take half as much again. Default: 32 MiB, some 50,000 events.
	Recent int
	// Partitions says which queues are divided: their events are those of their partitions. nil: none is.
	Partitions *partition.Table
	// Logger receives the hub's log. Default: [slog.Default].
	Logger *slog.Logger
}

func (c Config) withDefaults() (Config, error) {
	c.Buffer = cmp.Or(c.Buffer, 1<<20)
	c.Snapshots = cmp.Or(c.Snapshots, 16)
	c.CatchUps = cmp.Or(c.CatchUps, 8)
	c.Recent = cmp.Or(c.Recent, 32<<20)
	c.Logger = cmp.Or(c.Logger, slog.Default())
	var errs []error
	if c.Buffer < 0 {
		errs = append(errs, fmt.Errorf("option Buffer is %d, must be positive", c.Buffer))
	}
	if c.Snapshots < 0 {
		errs = append(errs, fmt.Errorf("option Snapshots is %d, must be positive", c.Snapshots))
	}
	if c.CatchUps < 0 {
		errs = append(errs, fmt.Errorf("option CatchUps is %d, must be positive", c.CatchUps))
	}
	if c.Recent < 0 {
		errs = append(errs, fmt.Errorf("option Recent is %d, must be positive", c.Recent))
	}
	return c, errors.Join(errs...)
}

// Hub hands the events of all queues to subscriptions.
type Hub struct {
	streams   streams
	transport Transport // of the streams, where they are fed
	snapshots Snapshotter
	cfg       Config
	reading   chan struct{} // holds a value for each snapshot that is being read
	catching  chan struct{} // holds a value for each subscription that reads the streams by itself
	nudge     chan struct{}
	ready     chan struct{} // closed when the hub knows where it stands
	stopped   chan struct{} // closed when Run has ended
	recent    *recent
	turns     turns
	glances   glances
	readings  readings
	meters    meter.Hub // whose number of subscribers may be asked without the lock

	// mu puts the events of all queues into one order, so that the positions reached after an event are true for every
	// subscription that has been handed it.
	mu     sync.Mutex
	at     []place // ordered by queue: the last event of each that was handed out
	losses int     // calls of lose
	serial uint64  // of the last event or loss that was handed out
	index  index
	alone  map[string][]string // of queues: the list of only that queue
	handed []*Subscription     // have been handed something, and are to be woken
}

// New returns a hub on the event streams in Redis; it does nothing until [Hub.Run], which must be called.
// It opens connections of its own, one for each queue, to where rdb leads.
func New(rdb redis.UniversalClient, snapshots Snapshotter, cfg Config) (*Hub, error) {
	streams, err := openStreams(rdb)
	if err != nil {
		return nil, err
	}
	return newHub(streams, snapshots, cfg)
}

func newHub(streams streams, snapshots Snapshotter, cfg Config) (*Hub, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("event hub: %w", err)
	}
	return &Hub{
		streams:   streams,
		snapshots: snapshots,
		cfg:       cfg,
		reading:   make(chan struct{}, cfg.Snapshots),
		catching:  make(chan struct{}, cfg.CatchUps),
		nudge:     make(chan struct{}, 1),
		ready:     make(chan struct{}),
		stopped:   make(chan struct{}),
		recent:    newRecent(cfg.Recent),
		index:     newIndex(),
		alone:     make(map[string][]string),
	}, nil
}

// Run follows the streams until ctx ends; then it ends all subscriptions with [ErrStopped]. It outlasts outages of
// Redis. A hub runs once.
func (h *Hub) Run(ctx context.Context) error {
	t, fed := h.tail(ctx)
	closed := make(chan struct{})
	context.AfterFunc(ctx, func() { // at once: a blocked read does not heed a context
		defer close(closed)
		if err := h.streams.Close(); err != nil {
			h.cfg.Logger.Warn("could not close the connections of the event hub", "error", err)
		}
	})
	err := t.Run(ctx) // until ctx ends
	<-closed
	fed()

	h.mu.Lock()
	defer h.mu.Unlock()
	close(h.stopped)
	for s := range h.index.subscriptions {
		h.drop(s)
		s.buf.end(ErrStopped)
	}
	return err
}

// Measure implements [meter.Source].
func (h *Hub) Measure(ctx context.Context, report meter.Report) { h.meters.Measure(ctx, report) }

// await returns when the hub knows where it stands, which it does once Redis has answered.
func (h *Hub) await(ctx context.Context) error {
	select {
	case <-h.ready:
		return nil
	case <-h.stopped:
		return ErrStopped
	case <-ctx.Done():
		return fmt.Errorf("wait for the event streams: %w", context.Cause(ctx))
	}
}

// hurry asks the tail to look for new queues soon, for a subscriber who has just made one.
func (h *Hub) hurry() {
	select {
	case h.nudge <- struct{}{}:
	default:
	}
}

// join adds a subscription and returns the positions after which it will be handed everything, and how often the hub
// has lost events so far; further losses it will be told of.
func (h *Hub) join(s *Subscription) (Cursor, int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	select {
	case <-h.stopped:
		return Cursor{}, 0, ErrStopped
	default:
	}
	s.within = h.shared(s.within)
	s.buf.open(h.cfg.Buffer, s.waker, s.cursor)
	if s.fleeting {
		s.buf.loseRather(&h.meters.Forgone)
	}
	for _, i := range s.interests {
		h.index.add(i)
	}
	h.index.subscriptions[s] = struct{}{}
	h.meters.Subscribers.Add(1)
	s.joined = true
	return h.cursor(), h.losses, nil
}

// leave removes a subscription, if it is there.
func (h *Hub) leave(s *Subscription) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.drop(s)
}

// drop is leave, for those who hold the lock.
func (h *Hub) drop(s *Subscription) {
	if s.joined {
		for _, i := range s.interests {
			h.index.remove(i)
		}
		delete(h.index.subscriptions, s)
		h.meters.Subscribers.Add(-1)
		s.joined = false
	}
}

// include adds an interest to its subscription. If that has joined, it is handed from now on what the interest is about;
// at is where the hub is.
func (h *Hub) include(i *interest) (at Cursor, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	select {
	case <-h.stopped:
		return Cursor{}, ErrStopped
	default:
	}
	i.s.interests = append(i.s.interests, i)
	if i.s.joined {
		h.index.add(i)
	}
	return h.cursor(), nil
}

// exclude takes an interest from its subscription.
func (h *Hub) exclude(i *interest) {
	h.mu.Lock()
	defer h.mu.Unlock()
	i.s.excluded++
	i.s.interests = slices.DeleteFunc(i.s.interests, func(other *interest) bool { return other == i })
	if i.s.joined {
		h.index.remove(i)
	}
}

// confine says which streams a subscription covers; none: all of them.
func (h *Hub) confine(s *Subscription, within []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s.within = h.shared(within)
}

// shared returns what all share whom the same queue confines, so that it is near when an event comes that many want. The lock is held.
func (h *Hub) shared(within []string) []string {
	if len(within) != 1 {
		return within
	}
	if same := h.alone[within[0]]; same != nil {
		return same
	}
	if _, known := slices.BinarySearchFunc(h.at, within[0], byQueue); known { // or anybody could make it grow by names
		h.alone[within[0]] = within
	}
	return within
}

// idle returns the hub's positions if s has been handed nothing that it has not taken.
func (h *Hub) idle(s *Subscription) (Cursor, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !s.joined || !s.buf.empty() {
		return Cursor{}, false
	}
	return h.cursor(), true
}

// position returns where the hub is, and how often it has lost events so far.
func (h *Hub) position() (Cursor, int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.cursor(), h.losses
}

// cursor returns where the hub is. The lock is held.
func (h *Hub) cursor() Cursor { return Cursor{slices.Clone(h.at)} }

// reach notes where the hub is in one queue. The lock is held.
func (h *Hub) reach(queue string, at Position) {
	i, ok := slices.BinarySearchFunc(h.at, queue, byQueue)
	if !ok {
		h.at = slices.Insert(h.at, i, place{queue: queue})
	}
	h.at[i].at = at
}

func (h *Hub) begin(at Cursor) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at = slices.Clone(at.places)
	for _, p := range h.at {
		h.recent.begin(p.queue, p.at)
	}
	close(h.ready)
}

func (h *Hub) publish(queue string, entries []entry) {
	decoded := make([][]seri.Event, len(entries))
	h.meters.Entries.Add(len(entries))
	watched := h.meters.Subscribers.Load() > 0
	if watched { // before taking the lock: decoding takes longer than handing out
		for i, e := range entries {
			decoded[i] = h.decode(queue, e)
		}
	}

	h.mu.Lock()
	defer h.mu.Unlock()
	for i, e := range entries {
		known := watched
		if !known && len(h.index.subscriptions) > 0 { // somebody came in between
			decoded[i], known = h.decode(queue, e), true
		}
		h.recent.add(queue, e, decoded[i], known)
		if len(decoded[i]) == 0 {
			h.reach(queue, endOf(e.id))
		}
		for j := range decoded[i] {
			at := Position{e.id, j}
			h.reach(queue, at)
			h.hand(queue, at, &decoded[i][j], j == len(decoded[i])-1)
		}
		h.wake()
	}
}

// decode returns the events of an entry of a queue or, if that is divided, of one of its partitions. An entry that is not ours is reported and passed over: there is nothing to be shown
// of it, and the queue's other events must go on.
func (h *Hub) decode(queue string, e entry) []seri.Event {
	if e.events != nil {
		return e.events
	}
	place := h.cfg.Partitions.Find(keys.Queue(queue))
	decoded, err := wire.DecodeEvents(place.Queue, e.text)
	if err == nil && len(decoded) > MaxIndex {
		err = fmt.Errorf("%d events in one entry", len(decoded))
	}
	if err != nil {
		h.cfg.Logger.Error("passed over an entry of an event stream", "queue", queue, "entry", e.id.String(), "error", err)
		return nil
	}
	for i := range decoded {
		decoded[i].Partition = place.Partition
	}
	return decoded
}

// hand gives one event of a queue's stream to all subscriptions that match. Those who are handed something are woken once for an
// entry, so that they write at once what has happened at once: by the last event of it, while they are near, and the others by
// wake. The lock is held.
func (h *Hub) hand(queue string, at Position, e *seri.Event, last bool) {
	h.serial++
	var it *item // made when the first interest matches
	for _, in := range h.index.concerned(e) {
		if in == nil {
			continue
		}
		for i := len(in.members) - 1; i >= 0; i-- { // backwards: a full subscription is removed
			if i >= len(in.members) { // with several interests
				continue
			}
			s := in.members[i].s
			if s.handed == h.serial || !in.members[i].filter.Matches(e) {
				continue
			}
			s.handed = h.serial
			if it == nil {
				it = &item{queue: queue, at: at, event: *e}
				if err := it.encode(); err != nil {
					h.cfg.Logger.Error("passed over an event", "queue", queue, "position", at.String(), "error", err)
					return
				}
			}
			h.shape(it, s.form)
			if !s.buf.push(it, s.excluded) {
				h.meters.Dropped.Add(1)
				h.drop(s)
			}
			switch {
			case s.woken:
			case last:
				s.buf.wake()
			default:
				s.woken = true
				h.handed = append(h.handed, s)
			}
		}
	}
}

// wake wakes those who have been handed something, and were not woken then. The lock is held.
func (h *Hub) wake() {
	for i, s := range h.handed {
		s.woken, h.handed[i] = false, nil
		s.buf.wake()
	}
	h.handed = h.handed[:0]
}

// shape makes the item's frame for subscriptions of one form, unless it is there. Others may read the item at the same
// time; they read only the fields of their own forms, which were written before the item was handed to them.
func (h *Hub) shape(it *item, f form) {
	switch {
	case f == confined && it.confined.JSON == nil:
		it.here = Cursor{[]place{{it.queue, it.at}}}
		it.confined = sealFrame(it.typ, it.json, it.at.String())
	case f == spanning && it.spanning.JSON == nil:
		it.reached = h.cursor()
		it.spanning = sealFrame(it.typ, it.json, it.reached.String())
	}
}

func (h *Hub) lose(queue string, next Position, before *Position, reset bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	i, ok := slices.BinarySearchFunc(h.at, queue, byQueue)
	after := Position{}
	if ok {
		after = h.at[i].at
	}
	h.cfg.Logger.Warn("events are missing from a stream", "queue", queue, "after", after.String(), "next", next.String())
	h.reach(queue, next)
	h.recent.begin(queue, next)
	h.losses++
	h.meters.Lost.Add(1)
	it := &item{queue: queue, at: next, loss: &loss{after, before, reset}}
	for s := range h.index.subscriptions {
		if len(s.within) > 0 && !slices.Contains(s.within, queue) {
			continue
		}
		if !s.buf.push(it, s.excluded) {
			h.drop(s)
		}
		s.buf.wake()
	}
}
