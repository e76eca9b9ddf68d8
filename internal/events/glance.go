package events

import (
	"context"
	"sync"
	"time"
)

// glances shares looks at the ends of streams among those who come together: thousands who open a page after a restart need
// each the end as it is after their snapshots, and a look that begins later than these is as good as one of their own. In Redis
// it costs as much as the stream's newest entry is long, and that may be 1,000 events.
type glances struct {
	mu      sync.Mutex
	streams map[string]*glancing
}

// glancing is what goes on at one stream. It is there as long as there is somebody.
type glancing struct {
	turn  chan struct{} // holds a value while somebody looks
	next  *glance       // that has not begun; nil: nobody waits for one
	users int
}

// glance is one look, for all who have asked before it has begun.
type glance struct {
	done chan struct{} // closed when the rest is known
	end  EntryID
	err  error
}

// glanceTimeout bounds a look. It is not given up with the one who looks, since others wait for it.
const glanceTimeout = 10 * time.Second

// share returns what look says, by a call that has begun after this one.
func (g *glances) share(ctx context.Context, queue string, look func(context.Context) (EntryID, error)) (EntryID, error) {
	at, mine := g.enter(queue)
	defer g.leave(queue, at)
	select {
	case <-mine.done:
		return mine.end, mine.err
	case <-ctx.Done():
		return EntryID{}, context.Cause(ctx)
	case at.turn <- struct{}{}:
		defer func() { <-at.turn }()
	}
	if !g.begin(at, mine) {
		<-mine.done
		return mine.end, mine.err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), glanceTimeout)
	defer cancel()
	defer close(mine.done)
	mine.end, mine.err = look(ctx)
	return mine.end, mine.err
}

func (g *glances) enter(queue string) (*glancing, *glance) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.streams == nil {
		g.streams = make(map[string]*glancing)
	}
	at := g.streams[queue]
	if at == nil {
		at = &glancing{turn: make(chan struct{}, 1)}
		g.streams[queue] = at
	}
	if at.next == nil {
		at.next = &glance{done: make(chan struct{})}
	}
	at.users++
	return at, at.next
}

// begin lets nobody else wait for a look; false if it has begun already.
func (g *glances) begin(at *glancing, mine *glance) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if at.next != mine {
		return false
	}
	at.next = nil
	return true
}

func (g *glances) leave(queue string, at *glancing) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if at.users--; at.users == 0 {
		delete(g.streams, queue)
	}
}
