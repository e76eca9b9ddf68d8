//go:build !linux || 386 || portable

package gateway

import (
	"errors"
	"syscall"
	"time"
)

// watch waits for clients elsewhere than on 64-bit Linux, where one only develops: by a goroutine for each.
type watch struct{ closed chan struct{} }

// often is how long something that could not be done, or was not done yet, is left alone.
const often = 5 * time.Millisecond

func openWatch() (*watch, error) { return &watch{make(chan struct{})}, nil }

// close makes run return.
func (w *watch) close() error {
	close(w.closed)
	return nil
}

// run returns when the watch is closed.
func (w *watch) run() error {
	<-w.closed
	return nil
}

// add has a peer be woken from now on.
func (w *watch) add(p *peer) error {
	l := p.line
	go func() {
		for l.raw.Read(isReadable) == nil {
			p.arrive(readable | hungUp)
			time.Sleep(often) // the turn reads meanwhile
		}
	}()
	return nil
}

// hangUp closes a peer's line. It is not woken by it any more.
func (w *watch) hangUp(p *peer) { p.line.conn.Close() } // there is nobody to tell if this fails

// room returns a channel that tells when there may be room to write again, until done is called.
func (w *watch) room(line) (room <-chan struct{}, done func()) {
	told, stop := make(chan struct{}), make(chan struct{})
	go func() {
		tick := time.NewTicker(often)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-stop:
				return
			}
			select {
			case told <- struct{}{}:
			case <-stop:
				return
			}
		}
	}()
	return told, func() { close(stop) }
}

// isReadable reports whether there is something to read, if only the connection's end.
func isReadable(fd uintptr) bool {
	var b [1]byte
	_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK)
	return !errors.Is(err, syscall.EAGAIN)
}
