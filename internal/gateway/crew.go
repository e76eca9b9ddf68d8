package gateway

import (
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/seri-queue/seri/internal/events"
)

// crew is the workers who take the turns of WebSockets. There are as many as processors, because a turn does not wait. If it
// has to, for Redis or for a client that does not read, its worker leaves the crew, and another takes the place: however many
// wait, there are hands for the others.
//
// Turns that only an alarm asks for, which is to ping, give way to those in which there is something to say or to hear: of
// hundred thousands of idle connections the pings take as much time as live events leave, and those are not to wait for them.
//
// While many wait, a worker takes on several turns at once, and hands back those that he does not come to when he leaves.
type crew struct {
	now       func() moment
	deference time.Duration // for how long a turn gives way to all others; then to every other one

	mu     sync.Mutex
	some   sync.Cond
	queue  fifo[*peer]   // each once
	later  fifo[waiting] // of these some are not the crew's any more: they did not want to wait after all
	relief sync.Cond     // for the spare
	spare  int           // workers who have come back and wait to be wanted
	wanted int           // of these
	gave   bool          // the last turn was one that had given way for too long
	closed bool
	hands  sync.WaitGroup
}

// spares bounds the workers who are kept though they are not needed. A new one would begin with the smallest of stacks, and each
// subscription would grow it anew.
const spares = 32

// waiting is a peer whose turn gives way to others, since a moment.
type waiting struct {
	p     *peer
	since moment
}

func newCrew(now func() moment, deference time.Duration) *crew {
	c := &crew{now: now, deference: deference}
	c.some.L, c.relief.L = &c.mu, &c.mu
	return c
}

// fifo is a queue that forgets what was taken.
type fifo[T any] struct {
	list []T
	next int // the first of list
}

func (f *fifo[T]) len() int { return len(f.list) - f.next }

func (f *fifo[T]) add(v T) {
	if len(f.list) == cap(f.list) && f.next > len(f.list)/2 { // under load it may never be empty
		n := copy(f.list, f.list[f.next:])
		clear(f.list[n:])
		f.list, f.next = f.list[:n], 0
	}
	f.list = append(f.list, v)
}

func (f *fifo[T]) take() T {
	v := f.list[f.next]
	clear(f.list[f.next : f.next+1])
	if f.next++; f.next == len(f.list) {
		f.list, f.next = f.list[:0], 0
	}
	return v
}

// putBack has those who were taken last be taken again.
func (f *fifo[T]) putBack(those []T) {
	if f.next < len(those) {
		f.list = slices.Insert(f.list, f.next, those...)
		return
	}
	f.next -= len(those)
	copy(f.list[f.next:], those)
}

// open hires the workers.
func (c *crew) open() {
	for range runtime.GOMAXPROCS(0) {
		c.hire()
	}
}

// close lets the workers go once nothing is left to do, and waits for them.
func (c *crew) close() {
	c.mu.Lock()
	c.closed = true
	c.some.Broadcast()
	c.relief.Broadcast()
	c.mu.Unlock()
	c.hands.Wait()
}

// add has a peer's turn taken. It may be called with locks held.
func (c *crew) add(p *peer) {
	c.mu.Lock()
	c.queue.add(p)
	c.mu.Unlock()
	c.some.Signal()
}

// addLater has a peer's turn taken when there is nothing else to do. It may be called with locks held.
func (c *crew) addLater(p *peer) {
	c.mu.Lock()
	c.later.add(waiting{p, c.now()})
	c.mu.Unlock()
	c.some.Signal()
}

// take waits for a peer whose turn a worker is to take; nil: the crew is closed.
func (c *crew) take(w *worker) *peer {
	if len(w.ahead) == 0 {
		p, gaveWay := c.next(w)
		if p == nil || gaveWay {
			return p
		}
		for _, later := range w.ahead {
			later.prefetch()
		}
		p.state.Store(taken) // nobody else changes it. It is far away, so not while others wait for the lock
		return p
	}
	p := w.ahead[0]
	w.ahead[0] = nil // when the peer has gone, nothing is to keep it
	if w.ahead = w.ahead[1:]; len(w.ahead) > 0 && w.ahead[0].stream != nil {
		w.ahead[0].stream.Prefetch()
	}
	p.state.Store(taken)
	return p
}

// stride is how many turns a worker takes on at once, besides the first, while there are many: what they need is fetched from far
// away while others are taken, instead of being waited for: of a broadcast to hundred thousands that is 3 % of the time.
const stride = 8

// next is take for who has none ahead. Unless the peer gave way, its state still says that it waits: the caller changes that.
func (c *crew) next(w *worker) (p *peer, gaveWay bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		overdue := c.later.len() > 0 && w.at-c.later.list[c.later.next].since > c.deference
		switch {
		case c.later.len() > 0 && (c.queue.len() == 0 || overdue && !c.gave):
			if p := c.later.take().p; p.state.CompareAndSwap(deferred, taken) {
				c.gave = true
				return p, true
			}
		case c.queue.len() > 0:
			c.gave = false
			p := c.queue.take()
			if !overdue && c.queue.len() >= 4*stride {
				w.ahead = w.places[:]
				for i := range w.ahead {
					w.ahead[i] = c.queue.take()
				}
			}
			return p, false
		case c.closed:
			return nil, false
		default:
			c.some.Wait()
		}
	}
}

func (c *crew) hire() {
	c.hands.Go(func() {
		w := &worker{crew: c, at: c.now(), in: make([]byte, readSize)}
		w.slow = w.leave
		for p := c.take(w); p != nil; p = c.take(w) {
			p.take(w)
			if w.away && !c.wait(w) {
				return
			}
		}
	})
}

// putBack has others take the turns that a worker had taken on.
func (c *crew) putBack(those []*peer) {
	if len(those) == 0 {
		return
	}
	c.mu.Lock()
	c.queue.putBack(those)
	c.mu.Unlock()
	c.some.Broadcast()
}

// replace has somebody take the place of a worker who leaves.
func (c *crew) replace() {
	c.mu.Lock()
	there := c.spare > c.wanted
	if there {
		c.wanted++
	}
	c.mu.Unlock()
	if there {
		c.relief.Signal()
	} else {
		c.hire()
	}
}

// wait has a worker who has left wait until he is wanted again. It is false if he is not needed any more.
func (c *crew) wait(w *worker) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.spare == spares {
		return false
	}
	c.spare++
	defer func() { c.spare-- }()
	for c.wanted == 0 {
		if c.closed {
			return false
		}
		c.relief.Wait()
	}
	c.wanted--
	w.away = false
	return true
}

// readSize is how many bytes are read at once.
const readSize = 4 << 10

// maxOut bounds the bytes that a worker gathers for one write, but for a single frame that is longer.
const maxOut = 16 << 10

// worker takes one turn after the other.
type worker struct {
	crew   *crew
	away   bool     // it has left the crew
	at     moment   // when its last turn has begun
	ahead  []*peer  // whose turns come next; they are among the places
	in     []byte   // to read into
	rest   incoming // of what is read, until the end of the turn
	out    []byte   // gathered, to be written at once
	room   events.Room
	slow   func() // leave, as a value that need not be made anew
	places [stride]*peer
}

// leave is called before something that may take long.
func (w *worker) leave() {
	if !w.away {
		w.away = true
		w.crew.putBack(w.ahead)
		clear(w.ahead)
		w.ahead = nil
		w.crew.replace()
	}
}

// emptied forgets what was gathered; room for more than usual is not kept.
func (w *worker) emptied() {
	if w.out = w.out[:0]; cap(w.out) > 4*maxOut {
		w.out = nil
	}
}
