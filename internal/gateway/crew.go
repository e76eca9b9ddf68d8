package gateway

import (
	"errors"
	"io"
	"runtime"
	"sync"
	"syscall"
)

// crew is the workers who take the turns of WebSockets. There are as many as processors, because a turn does not wait. If it
// has to, for Redis or for a client that does not read, its worker leaves the crew, and another takes the place: however many
// wait, there are hands for the others.
type crew struct {
	mu     sync.Mutex
	some   sync.Cond
	queue  []*peer // each once, the first at next
	next   int
	closed bool
	hands  sync.WaitGroup
}

func newCrew() *crew {
	c := new(crew)
	c.some.L = &c.mu
	return c
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
	c.mu.Unlock()
	c.hands.Wait()
}

// add has a peer's turn taken. It may be called with locks held.
func (c *crew) add(p *peer) {
	c.mu.Lock()
	if len(c.queue) == cap(c.queue) && c.next > len(c.queue)/2 { // under load the queue may never be empty
		n := copy(c.queue, c.queue[c.next:])
		clear(c.queue[n:])
		c.queue, c.next = c.queue[:n], 0
	}
	c.queue = append(c.queue, p)
	c.mu.Unlock()
	c.some.Signal()
}

// take waits for a peer whose turn it is; nil: the crew is closed.
func (c *crew) take() *peer {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.next == len(c.queue) {
		if c.closed {
			return nil
		}
		c.some.Wait()
	}
	p := c.queue[c.next]
	c.queue[c.next] = nil
	if c.next++; c.next == len(c.queue) {
		c.queue, c.next = c.queue[:0], 0
	}
	return p
}

func (c *crew) hire() {
	c.hands.Go(func() {
		w := &worker{crew: c, in: make([]byte, readSize)}
		w.slow = w.leave
		for !w.away {
			p := c.take()
			if p == nil {
				return
			}
			p.take(w)
		}
	})
}

// readSize is how many bytes are read at once.
const readSize = 4 << 10

// maxOut bounds the bytes that a worker gathers for one write, but for a single frame that is longer.
const maxOut = 16 << 10

// worker takes one turn after the other.
type worker struct {
	crew *crew
	away bool   // it has left the crew
	at   moment // when its turn has begun
	in   []byte // to read into
	out  []byte // gathered, to be written at once
	slow func() // leave, as a value that need not be made anew
}

// leave is called before something that may take long.
func (w *worker) leave() {
	if !w.away {
		w.away = true
		w.crew.hire()
	}
}

// send writes what the kernel takes at once of what was gathered, and returns how much that was.
func (w *worker) send(fd int) (n int, err error) { return now(syscall.Write(fd, w.out)) }

// receive reads what is there; none is no error. It is valid until the next time.
func (w *worker) receive(fd int) ([]byte, error) {
	n, err := syscall.Read(fd, w.in)
	if n == 0 && err == nil {
		return nil, io.EOF
	}
	n, err = now(n, err)
	return w.in[:n], err
}

// now returns what a system call has done that does not wait: nothing, if it would have had to.
func now(n int, err error) (int, error) {
	switch {
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EINTR):
		return 0, nil
	case err != nil:
		return 0, err
	}
	return n, nil
}

// isReadable reports whether there is something to read, if only the connection's end.
func isReadable(fd uintptr) bool {
	var b [1]byte
	_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	return !errors.Is(err, syscall.EAGAIN)
}

// emptied forgets what was gathered; room for more than usual is not kept.
func (w *worker) emptied() {
	if w.out = w.out[:0]; cap(w.out) > 4*maxOut {
		w.out = nil
	}
}
