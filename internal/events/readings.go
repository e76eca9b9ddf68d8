package events

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/redisfault"
)

// readings has those read together what their snapshots show who come together: what is asked for while some reads are on their
// way is in the next one. Thousands who open a page at once would otherwise be as many calls of Redis, of one task each.
//
// It shares reads of tasks by ID, of one queue: others take long, and are best done by who asks.
type readings struct {
	mu     sync.Mutex
	queues map[string]*readingQueue
}

// readingQueue is what goes on at one queue. It is there as long as there is somebody.
type readingQueue struct {
	turn  chan struct{} // holds a value for each read that is on its way
	next  *reading      // that has not begun, and has room; nil: there is none
	users int
}

const (
	// readsAtOnce lets one read begin while another is on its way to Redis or back.
	readsAtOnce = 2
	// tasksAtOnce bounds a read: Redis does nothing else meanwhile.
	tasksAtOnce = 64
	// readingTimeout bounds one, the wait for its turn included. It is not given up with who has begun it: others wait, too.
	readingTimeout = inSilence + 10*time.Second
)

// reading is one read, for all who have asked before it has begun.
type reading struct {
	filters []Filter
	asked   int           // by how many
	begun   bool          // under the lock of the readings
	done    chan struct{} // closed when the rest is known
	shown   []Snapshot    // of the filters
	err     error
}

// shareable reports whether filters can be read together with those of others, and of which queue they are.
func shareable(filters []Filter) (queue string, ok bool) {
	if len(filters) == 0 || len(filters) > tasksAtOnce {
		return "", false
	}
	queue = filters[0].Queue
	return queue, !slices.ContainsFunc(filters, func(f Filter) bool { return f.Task == "" || f.Queue != queue })
}

// share returns what read says of filters, by a call that has begun after this one.
func (r *readings) share(ctx context.Context, queue string, filters []Filter, read func(context.Context, []Filter) ([]Snapshot, error)) ([]Snapshot, error) {
	at, mine, first := r.enter(queue, filters)
	defer r.leave(queue, at)
	for turn := at.turn; ; turn = nil {
		select {
		case turn <- struct{}{}:
			if !r.begin(at, mine) {
				<-at.turn
				continue
			}
			go func() {
				defer r.leave(queue, at)
				defer func() { <-at.turn }()
				ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readingTimeout)
				defer cancel()
				defer close(mine.done)
				mine.shown, mine.err = read(ctx, mine.filters)
			}()
			continue
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-mine.done:
		}
		switch {
		case mine.err == nil:
			return mine.shown[first : first+len(filters)], nil
		case mine.asked > 1 && !errors.Is(redisfault.Mark(mine.err), seri.ErrUnavailable) && !errors.Is(mine.err, errBusy) && !errors.Is(mine.err, context.DeadlineExceeded):
			return read(ctx, filters) // it may be the fault of what another has asked for, and is not that of Redis
		}
		return nil, mine.err
	}
}

// enter adds filters to the next read of a queue. They are those from first on.
func (r *readings) enter(queue string, filters []Filter) (at *readingQueue, mine *reading, first int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.queues == nil {
		r.queues = make(map[string]*readingQueue)
	}
	at = r.queues[queue]
	if at == nil {
		at = &readingQueue{turn: make(chan struct{}, readsAtOnce)}
		r.queues[queue] = at
	}
	if at.next == nil || len(at.next.filters)+len(filters) > tasksAtOnce {
		at.next = &reading{done: make(chan struct{})} // those of a full one see to it
	}
	mine, first = at.next, len(at.next.filters)
	mine.filters = append(mine.filters, filters...)
	mine.asked++
	at.users++
	return at, mine, first
}

// begin lets nothing more be asked of a read; false if it has begun already.
func (r *readings) begin(at *readingQueue, mine *reading) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if mine.begun {
		return false
	}
	mine.begun = true
	at.users++ // the read itself: whoever comes while it is on its way is to find its turn taken
	if at.next == mine {
		at.next = nil
	}
	return true
}

func (r *readings) leave(queue string, at *readingQueue) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if at.users--; at.users == 0 {
		delete(r.queues, queue)
	}
}
