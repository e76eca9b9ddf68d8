package events

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
	"unsafe"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/prefetch"
)

// framesAtOnce bounds what [Subscription.Next] returns of the events that wait.
const framesAtOnce = 64

// SlowError ends a subscription whose reader did not keep up. It can be resumed at the cursor.
type SlowError struct{ Cursor string }

func (e *SlowError) Error() string { return "the subscriber did not take its events in time" }

// form says how a subscription's cursors look, and so with whom it shares frames.
type form uint8

const (
	// confined to one queue by its filter: the cursor is the event's position.
	confined form = iota
	// spanning all queues: the cursor is where the hub is in each.
	spanning
	// single: to one task, in the queues in which it was found. Few watch the same task, so nothing is shared.
	single
	// divided: confined to one queue by its filter, which has several partitions: the cursor names them. Nothing is shared.
	divided
)

// Subscription is one reader's view of the events. Its methods must be called by one goroutine at a time.
type Subscription struct {
	// What each event needs comes first, close together: of thousands who are handed one, each is fetched from far away.
	hub     *Hub
	lagging *lag // reads streams by itself; nil: lives off the hub
	buf     buffer

	// The hub's, under its lock.
	handed uint64 // the serial of the last event or loss that the subscription was handed
	woken  bool   // it is among those whom the hub is about to wake
	joined bool

	fleeting bool // see LetGo
	starting bool // a full buffer is no fault of the reader, who has not been given it yet
	level    bool // the hub was seen to be where the cursor is, or beyond
	fresh    bool // there may be interests that know what their snapshots have shown
	unread   bool // frames have not been returned yet
	form     form

	batch  []waiting // taken from buf
	next   int       // the first of batch that was not received yet
	frames []Frame
	cursor Cursor // after the last frame, or later: what followed and did not match is behind it

	// The hub's, too, under its lock. The subscriber changes these under it, and reads them without.
	within    []string // the streams to which the filter's queue confines it: of the queue, or its partitions; none: no queue does
	excluded  uint32   // so many interests were taken away
	interests []*interest

	queue  string   // to which the filter confines it; empty: none, or a gathering
	queues []string // form single: where the task was found; nil: not known, any
	waker  Waker    // of buf
	bell   bell     // the waker of a reader who waits in Next
	timer  *time.Timer
}

// Subscribe begins a subscription: its first frame is a snapshot. It returns [seri.ErrNotFound] if the filter's task
// does not exist. A subscription to a task stays open when the task has ended: an operator may run it again, and a
// browser's EventSource takes the end of a stream for a fault and reconnects.
func (h *Hub) Subscribe(ctx context.Context, f Filter) (*Subscription, error) {
	s, err := h.subscription(ctx, f)
	if err != nil {
		return nil, err
	}
	at, _, err := h.join(s)
	if err != nil {
		return nil, err
	}
	if err := s.begin(ctx, at); err != nil {
		h.leave(s)
		return nil, err
	}
	return s, nil
}

// Resume continues a subscription after a cursor of an earlier one with the same filter, also one to another hub.
// The first frame is the first event after it; whether there still is one is found out by [Subscription.Next].
func (h *Hub) Resume(ctx context.Context, f Filter, after Cursor) (*Subscription, error) {
	s, err := h.subscription(ctx, f)
	if err != nil {
		return nil, err
	}
	s.cursor = after
	if s.form == confined || s.form == divided { // it may be a cursor of more queues than this one
		s.cursor = after.only(s.covers)
	}
	if s.form == single && len(after.places) > 0 {
		s.queues = after.queues()
	}
	s.lagging = new(lag)
	return s, nil
}

func (h *Hub) subscription(ctx context.Context, f Filter) (*Subscription, error) {
	if err := h.await(ctx); err != nil {
		return nil, err
	}
	if h.cfg.Partitions.Find(keys.Queue(f.Queue)).Partition > 0 {
		return nil, ErrPartition
	}
	h.hurry()
	s := &Subscription{hub: h, queue: f.Queue, form: spanning}
	s.interests = []*interest{{s: s, filter: f}}
	for _, q := range h.cfg.Partitions.Of(f.Queue) {
		if f.Queue != "" {
			s.within = append(s.within, string(q))
		}
	}
	switch {
	case len(s.within) > 1:
		s.form = divided
	case f.Queue != "":
		s.form = confined
	case f.Task != "":
		s.form = single
	}
	return s, nil
}

// begin reads the first snapshot. at is where the hub is.
func (s *Subscription) begin(ctx context.Context, at Cursor) error {
	switch s.form {
	case confined:
		s.cursor = Cursor{}.With(s.queue, at.At(s.queue))
	case spanning:
		if len(at.places) > MaxCursorQueues {
			return ErrTooManyQueues
		}
		s.cursor = at
	case divided:
		s.cursor = at.only(s.covers)
	case single: // as soon as its queue is known
	}
	shown, err := s.readSnapshots(ctx, s.interests)
	if err != nil {
		return err
	}
	if task := s.interests[0].filter.Task; task != "" && len(shown[0].Tasks) == 0 {
		return fmt.Errorf("watch task %q: %w", task, seri.ErrNotFound)
	}
	if s.form == single {
		for _, t := range shown[0].Tasks {
			s.cursor = s.cursor.With(streamOf(&t), at.At(streamOf(&t)))
		}
		s.queues = s.cursor.queues()
	}
	s.unread, s.starting = true, true
	return s.show(ctx, s.interests, shown)
}

// Next returns the next frames, as soon as there are any. After waiting for so long it returns none, and no error: time
// for a sign of life; so it does, now and then, while it is [Subscription.Behind]. The frames are valid until the next call.
//
// It returns a [*SlowError] if the reader was too slow, [ErrStopped] if the hub has stopped, and the cause of ctx. After
// an error the subscription can only be closed; it can be resumed at the cursor of the last frame.
func (s *Subscription) Next(ctx context.Context, wait time.Duration) ([]Frame, error) {
	if s.bell == nil {
		s.bell = make(bell, 1)
		s.Notify(s.bell)
	}
	s.renew()
	s.unread = false
	var alarm <-chan time.Time
	for {
		_, err := s.advance(ctx, func() {})
		switch {
		case errors.Is(err, errStride):
			return nil, nil
		case err != nil:
			return nil, err
		case len(s.frames) > 0:
			return s.frames, nil
		}
		if alarm == nil {
			alarm = s.setAlarm(wait)
		}
		select {
		case <-s.bell:
		case <-alarm:
			s.Rest()
			return nil, nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// Notify makes w be woken whenever there may be something for [Subscription.Poll], and soon if there is now. A subscription
// is read by Poll or by Next, not by both.
func (s *Subscription) Notify(w Waker) {
	s.waker = w
	s.buf.notify(w)
}

// Room is where [Subscription.Poll] puts frames. Whoever polls many subscriptions, one after the other, lends all of them the
// same, and none keeps any. The zero value is ready for use; it keeps the frames of the last call until it is used again, or cleared.
type Room struct{ frames []Frame }

// Clear forgets the frames, so that nothing keeps them. Room for more than usual is not kept either.
func (r *Room) Clear() {
	clear(r.frames)
	if r.frames = r.frames[:0]; cap(r.frames) > 2*framesAtOnce {
		r.frames = nil
	}
}

// Poll is [Subscription.Next] for who does not wait: it returns none if there are none. If there may be more, it is to be called
// again without being woken; so it is while the subscription is [Subscription.Behind]. It calls slow before it does what may
// take long, which is to read from Redis. The frames are valid until the room is used again.
func (s *Subscription) Poll(ctx context.Context, room *Room, slow func()) (frames []Frame, more bool, err error) {
	s.renew()
	s.unread = false
	if s.frames == nil {
		room.Clear()
		s.frames = room.frames
	}
	taken, err := s.advance(ctx, slow)
	frames, room.frames, s.frames = s.frames, s.frames, nil
	if s.next == len(s.batch) {
		s.batch, s.next = nil, 0
	}
	switch {
	case errors.Is(err, errStride):
		return nil, true, nil
	case err != nil:
		return nil, false, err
	}
	return frames, !taken || s.Behind() || len(s.batch) > 0, nil
}

// Prefetch has what Poll looks at be fetched from memory. It is worth it some microseconds before.
func (s *Subscription) Prefetch() { prefetch.First(s, unsafe.Offsetof(s.within)) }

// advance makes frames of what there is, until there are some or there is no more. taken: all that the hub has handed over so far
// was looked at, and the hub wakes the reader when there is more.
func (s *Subscription) advance(ctx context.Context, slow func()) (taken bool, err error) {
	for len(s.frames) == 0 {
		if s.lagging != nil {
			slow()
			taken, err = false, s.catchUp(ctx)
		} else {
			taken, err = s.drain(ctx, slow)
		}
		if err != nil || taken && len(s.batch) == 0 {
			break
		}
	}
	return taken, err
}

func (s *Subscription) setAlarm(wait time.Duration) <-chan time.Time {
	if s.timer == nil {
		s.timer = time.NewTimer(wait)
	} else {
		s.timer.Reset(wait)
	}
	return s.timer.C
}

// Behind reports whether the subscription still reads what was before its time. Its cursor moves on meanwhile.
func (s *Subscription) Behind() bool { return s.lagging != nil }

// Cursor returns the text of the position at which the subscription can be resumed: that of the last frame, or a later
// one if all that followed was about something else.
func (s *Subscription) Cursor() string {
	if s.form == divided {
		return s.cursor.String()
	}
	return s.cursor.Text(s.queue)
}

// Close ends the subscription. It may be closed twice.
func (s *Subscription) Close() { s.hub.leave(s) }

// drain turns what the hub has handed over into frames. taken: all of it, and not only what an earlier call had left.
func (s *Subscription) drain(ctx context.Context, slow func()) (taken bool, err error) {
	if s.next == len(s.batch) {
		clear(s.batch)
		batch, err := s.buf.take(s.batch)
		switch {
		case errors.Is(err, errFull) && s.starting:
			s.lagging = new(lag) // what the buffer has dropped is read from the streams
			s.batch, s.next = nil, 0
			return false, nil
		case errors.Is(err, errFull):
			return false, &SlowError{s.Cursor()}
		case err != nil:
			return false, err
		}
		s.starting = false
		s.batch, s.next, taken = batch, 0, true
	}
	s.frames = slices.Grow(s.frames, max(0, min(len(s.batch)-s.next, framesAtOnce-len(s.frames))))
	for s.next < len(s.batch) && len(s.frames) < framesAtOnce {
		w := s.batch[s.next]
		s.next++
		if w.loss != nil {
			slow()
		}
		if err := s.receive(ctx, w); err != nil {
			return taken, err
		}
	}
	return taken, nil
}

// receive makes the frame of what the hub has handed over, unless the subscriber has it already.
func (s *Subscription) receive(ctx context.Context, w waiting) error {
	it := w.item
	if it.dropped > 0 {
		return s.drop(it.dropped)
	}
	at := s.cursor.At(it.queue)
	switch {
	case !s.covers(it.queue):
		return nil
	case it.loss != nil:
		if at == it.at || it.loss.before != nil && at.Compare(it.at) > 0 {
			return nil // the subscription has noticed it by itself, or had read what the hub has missed
		}
		if err := s.gap(it.queue, *it.loss, it.at); err != nil {
			return err
		}
		return s.snapshot(ctx, it.queue)
	case it.at.Compare(at) <= 0:
		return nil // read from the stream
	}

	frame := Frame{}
	switch s.form {
	case confined:
		s.cursor, frame = it.here, it.confined
	case single, divided:
		s.cursor = s.cursor.With(it.queue, it.at)
	case spanning:
		if s.level = s.level || it.reached.covers(s.cursor); s.level {
			s.cursor, frame = it.reached, it.spanning
		} else { // ahead of the hub in some queue: the cursor must not fall back there
			s.cursor = s.cursor.latest(it.reached)
		}
	}
	conflated := s.unshown(it, int(w.conflated))
	asSeen := !s.fresh && w.excluded == s.excluded // what the hub has found that the interests want, they want
	switch {
	case !asSeen && !s.wants(it.queue, it.at, &it.event):
		return nil
	case conflated > 0:
		frame = conflate(it.typ, it.json, s.Cursor(), conflated)
	case frame.JSON == nil:
		frame = sealFrame(it.typ, it.json, s.Cursor())
	}
	s.frames = append(s.frames, frame)
	s.outgrow()
	return nil
}

// LetGo has the subscription lose events, from now on, rather than end with a [SlowError]: of those that its reader does not
// take in time the oldest are dropped, and in their place comes a frame that says how many. They do not come again.
func (s *Subscription) LetGo() {
	s.fleeting = true
	s.buf.loseRather(&s.hub.meters.Forgone)
}

// drop makes the frame of what the buffer has let go of.
func (s *Subscription) drop(count int) error {
	frame, err := droppedFrame(count, s.Cursor())
	if err != nil {
		return err
	}
	s.frames = append(s.frames, frame)
	return nil
}

// Rest moves the cursor up to the hub's, if nothing has come: what there was did not match. An old cursor would be one
// whose entry is trimmed away some day.
func (s *Subscription) Rest() {
	at, ok := s.hub.idle(s)
	if !ok || s.next < len(s.batch) || s.lagging != nil {
		return
	}
	s.cursor = s.cursor.latest(at.only(s.covers))
	s.outgrow()
	for _, i := range s.interests { // the hub hands out entries as a whole
		i.known = i.known.unless(at.whole())
	}
}

// covers reports whether a queue's events can be the subscription's.
func (s *Subscription) covers(queue string) bool {
	switch {
	case len(s.within) > 0:
		return slices.Contains(s.within, queue)
	case s.form == single && s.queues != nil:
		return slices.Contains(s.queues, queue)
	default:
		return true
	}
}
