//go:build linux && !386 && !portable

package gateway

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
)

// watch waits for all clients at once, by an epoll of its own. The runtime's poller would need a goroutine to wait for each, whose
// stack is more than all else that an idle connection takes, and is scanned by each collection.
type watch struct {
	epoll int
	file  *os.File // the epoll; for it the runtime's poller waits

	closed atomic.Bool

	mu    sync.Mutex
	peers []*peer               // by descriptor
	rooms map[int]chan struct{} // by descriptor: is told when there is room to write
}

// edgeTriggered is EPOLLET, whose constant is negative where events are not.
const edgeTriggered = 1 << 31

// What is reported of a client: that there is something to read, and the connection's end.
const toRead = syscall.EPOLLIN | syscall.EPOLLRDHUP | edgeTriggered

func openWatch() (*watch, error) {
	epoll, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make an epoll: %w", err)
	}
	if err := syscall.SetNonblock(epoll, true); err != nil { // or the runtime's poller would not take it
		return nil, errors.Join(fmt.Errorf("prepare an epoll: %w", err), syscall.Close(epoll))
	}
	return &watch{epoll: epoll, file: os.NewFile(uintptr(epoll), "epoll"), rooms: make(map[int]chan struct{})}, nil
}

// close makes run return.
func (w *watch) close() error {
	w.closed.Store(true)
	return w.file.Close()
}

// run wakes peers until the watch is closed.
func (w *watch) run() error {
	raw, err := w.file.SyscallConn()
	if err != nil {
		return err
	}
	ready := make([]syscall.EpollEvent, 512)
	var broken error
	err = raw.Read(func(uintptr) (done bool) {
		for {
			n, err := syscall.EpollWait(w.epoll, ready, 0)
			switch {
			case errors.Is(err, syscall.EINTR):
			case err != nil:
				broken = fmt.Errorf("wait for clients: %w", err)
				return true
			case n == 0:
				return false
			default:
				w.wake(ready[:n])
			}
		}
	})
	if w.closed.Load() {
		return nil
	}
	return errors.Join(broken, err)
}

func (w *watch) wake(ready []syscall.EpollEvent) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range ready {
		if e.Events&syscall.EPOLLOUT != 0 {
			select {
			case w.rooms[int(e.Fd)] <- struct{}{}:
			default: // nobody waits, or knows already
			}
		}
		p := w.peers[e.Fd] // which may be a later one of that descriptor, and finds nothing to read
		switch {
		case p == nil:
		case e.Events&(syscall.EPOLLRDHUP|syscall.EPOLLHUP|syscall.EPOLLERR) != 0:
			p.arrive(readable | hungUp)
		case e.Events&syscall.EPOLLIN != 0:
			p.arrive(readable)
		}
	}
}

// add has a peer be woken from now on.
func (w *watch) add(p *peer) error {
	fd := p.line.fd
	w.mu.Lock()
	if fd >= len(w.peers) {
		w.peers = slices.Grow(w.peers, fd+1-len(w.peers))
		w.peers = w.peers[:cap(w.peers)]
	}
	w.peers[fd] = p
	w.mu.Unlock()
	return w.control(syscall.EPOLL_CTL_ADD, fd, toRead)
}

func (w *watch) control(op, fd int, events uint32) error {
	return syscall.EpollCtl(w.epoll, op, fd, &syscall.EpollEvent{Events: events, Fd: int32(fd)})
}

// hangUp closes a peer's line. It is not woken by it any more.
func (w *watch) hangUp(p *peer) {
	w.mu.Lock()
	if p.line.fd < len(w.peers) {
		w.peers[p.line.fd] = nil // before somebody else has the descriptor
	}
	w.mu.Unlock()
	_ = syscall.Close(p.line.fd) // there is nobody to tell
}

// room returns a channel that tells when there may be room to write again, until done is called.
func (w *watch) room(l line) (room <-chan struct{}, done func()) {
	told := make(chan struct{}, 1)
	w.mu.Lock()
	w.rooms[l.fd] = told
	w.mu.Unlock()
	_ = w.control(syscall.EPOLL_CTL_MOD, l.fd, toRead|syscall.EPOLLOUT) // if it fails, the write takes too long
	return told, func() {
		w.mu.Lock()
		delete(w.rooms, l.fd)
		w.mu.Unlock()
		_ = w.control(syscall.EPOLL_CTL_MOD, l.fd, toRead)
	}
}
