package events

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/seri-queue/seri/internal/pause"
)

const (
	// readLimit bounds the entries of one read. An entry may hold 1,000 events.
	readLimit = 64
	// readBlock bounds a blocked read, so that one whose stream was deleted under it comes back to look.
	readBlock = time.Second
	// discovery is the interval at which the names of the queues are read.
	discovery = time.Second
	// nudgeRest is the least time between two such reads, for thousands who come together and each ask for one.
	nudgeRest = 20 * time.Millisecond

	backoffFirst = 50 * time.Millisecond
	backoffMost  = 5 * time.Second
)

// sink takes what a tail reads. Calls about one queue come from one goroutine.
type sink interface {
	// begin gives the positions of all queues at the start: the ends of their streams. It is called once, first.
	begin(at Cursor)
	// publish gives new entries of a queue, in order and without a gap.
	publish(queue string, entries []entry)
	// lose says that events between the last ones given and next cannot be had. before is the first that is there after
	// them; nil: none is. reset says that the stream is another history than the one that they were of.
	lose(queue string, next Position, before *Position, reset bool)
}

// tail follows the streams of all queues, each by one blocked read: queues may live on different nodes of a cluster,
// and a blocked read spans no two of them.
type tail struct {
	streams streams
	sink    sink
	logger  *slog.Logger
	// nudge asks for a look at the names of the queues before its time.
	nudge <-chan struct{}
	// costly says that a read costs Redis something: a busy stream is read less often than entries come.
	costly bool
}

// Run follows until ctx ends. Queues that are there at first are followed from their ends, later ones from their
// beginnings. A queue that is deleted is followed on: it may come back, and costs one blocked read.
func (t *tail) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	followed := make(map[string]bool)
	follow := func(queue string, from mark) {
		followed[queue] = true
		wg.Go(func() { t.follow(ctx, queue, from) })
	}

	marks, ok := t.ends(ctx)
	if !ok {
		return ctx.Err()
	}
	var at Cursor
	for queue, m := range marks {
		at = at.With(queue, endOf(m.id))
	}
	t.sink.begin(at)
	for queue, m := range marks {
		follow(queue, m)
	}

	tick := time.NewTicker(discovery)
	defer tick.Stop()
	retry := backoff{logger: t.logger}
	looked := time.Time{}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.nudge:
			pause.For(ctx, nudgeRest-time.Since(looked))
		case <-tick.C:
		}
		looked = time.Now()
		queues, err := t.streams.Queues(ctx)
		if err != nil {
			retry.wait(ctx, err)
			continue
		}
		retry.reset(ctx)
		for _, queue := range queues {
			if !followed[queue] {
				follow(queue, mark{})
			}
		}
	}
}

// mark is how far a stream was read.
type mark struct {
	id     EntryID
	number int64 // how many entries had been added with it; -1: not known
}

// ends returns the ends of all streams; false if ctx ended first.
func (t *tail) ends(ctx context.Context) (map[string]mark, bool) {
	retry := backoff{logger: t.logger}
	for ctx.Err() == nil {
		marks, err := t.tryEnds(ctx)
		if err == nil {
			retry.reset(ctx)
			return marks, true
		}
		retry.wait(ctx, err)
	}
	return nil, false
}

func (t *tail) tryEnds(ctx context.Context) (map[string]mark, error) {
	queues, err := t.streams.Queues(ctx)
	if err != nil {
		return nil, err
	}
	marks := make(map[string]mark, len(queues))
	for _, queue := range queues {
		v, err := t.streams.Look(ctx, queue, EntryID{})
		if err != nil {
			return nil, err
		}
		marks[queue] = endOfView(v)
	}
	return marks, nil
}

func endOfView(v view) mark {
	if !v.exists {
		return mark{}
	}
	return mark{v.last, v.added}
}

// follow reads one stream until ctx ends.
func (t *tail) follow(ctx context.Context, queue string, at mark) {
	retry := backoff{logger: t.logger.With("queue", queue)}
	var r rhythm
	busy := false
	for ctx.Err() == nil {
		next, entries, err := t.step(ctx, queue, at, busy)
		if err != nil {
			retry.wait(ctx, err) // and read again from where it was, never from the new end
			continue
		}
		retry.reset(ctx)
		at = next
		if !t.costly {
			continue
		}
		wait := r.pause(entries, entries == readLimit, time.Now())
		if busy = wait == pauseMost || entries == readLimit; wait > 0 {
			pause.For(ctx, wait)
		}
	}
}

// step reads once and hands over what came: n entries. The look comes after the read, so that what was trimmed between this
// read and the last one does not go unnoticed. Where others are likely to be there, busy, one read does for both.
func (t *tail) step(ctx context.Context, queue string, at mark, busy bool) (next mark, n int, err error) {
	if busy && at.id != (EntryID{}) {
		// The entry at the mark is read again: its being there proves that nothing after it was trimmed.
		entries, err := t.streams.Range(ctx, queue, at.id, 1+readLimit)
		if err != nil {
			return at, 0, err
		}
		if len(entries) > 1 && entries[0].id == at.id {
			return t.pass(queue, at, entries[1:]), len(entries) - 1, nil
		}
	}
	entries, err := t.streams.Follow(ctx, queue, at.id, readLimit, readBlock)
	if err != nil {
		return at, 0, err
	}
	v, err := t.streams.Look(ctx, queue, at.id)
	if err != nil {
		return at, 0, err
	}
	switch judge(at.id, at.number, v) {
	case whole:
	case trimmed:
		switch {
		case len(entries) > 0:
			before := Position{entries[0].id, 0}
			t.sink.lose(queue, Position{before.ID, -1}, &before, false)
			at.number = -1 // unknown, unless the look saw what the read did
			if v.last == entries[len(entries)-1].id {
				at.number = v.added - int64(len(entries))
			}
		case v.first != (EntryID{}):
			return at, 0, nil // what is left came after the read: it is read next
		default:
			t.sink.lose(queue, endOf(v.last), nil, false)
			return endOfView(v), 0, nil
		}
	case lost:
		end := endOfView(v)
		t.sink.lose(queue, endOf(end.id), nil, true)
		return end, 0, nil
	}
	if len(entries) == 0 {
		return at, 0, nil
	}
	return t.pass(queue, at, entries), len(entries), nil
}

// pass hands entries on and returns the mark after them.
func (t *tail) pass(queue string, at mark, entries []entry) mark {
	t.sink.publish(queue, entries)
	at.id = entries[len(entries)-1].id
	if at.number >= 0 {
		at.number += int64(len(entries))
	}
	return at
}

// backoff waits between failed attempts: exponentially longer, with full jitter, so that the gateways do not fall upon
// a Redis that has just come back.
type backoff struct {
	logger *slog.Logger
	failed int
}

func (b *backoff) wait(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	if b.failed++; b.failed == 1 {
		b.logger.WarnContext(ctx, "could not read events, trying again", "error", err)
	}
	longest := min(backoffFirst<<min(b.failed, 16), backoffMost)
	pause.For(ctx, rand.N(longest)+time.Millisecond)
}

func (b *backoff) reset(ctx context.Context) {
	if b.failed > 0 {
		b.logger.InfoContext(ctx, "reading events again", "failures", b.failed)
	}
	b.failed = 0
}
