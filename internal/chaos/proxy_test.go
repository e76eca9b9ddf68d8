package chaos_test

import (
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/seri-queue/seri/internal/proxytest"
)

// proxy stands between one process and its Redis, and ill-treats what goes through.
//
// It remembers when each piece came in and delivers it late rather than holding up the reading, and it goes on delivering
// after the sender has hung up: so a call whose caller gave up long ago can still arrive, which is what a fence is for.
type proxy struct {
	*proxytest.Proxy
	closed chan struct{}

	mu   sync.Mutex
	up   weather // towards Redis
	down weather
}

// weather is what a direction of a proxy does to what it carries. The zero value lets everything through.
type weather struct {
	delay   time.Duration
	jitter  time.Duration // added to delay, at random, at most
	swallow bool          // what is read is thrown away
	slice   bool          // one byte at a time
}

// piece is what was read at once.
type piece struct {
	data    []byte
	deliver time.Time
	slice   bool
}

func newProxy(target string) (*proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{closed: make(chan struct{})}
	p.Proxy = proxytest.New(listener, target, p.carry)
	return p, nil
}

// close ends the proxy and all that goes through it.
func (p *proxy) close() {
	close(p.closed)
	p.Close()
}

func (p *proxy) carry(client, server net.Conn) {
	var pumps sync.WaitGroup
	pumps.Go(func() { p.pump(client, server, &p.up) })
	pumps.Go(func() { p.pump(server, client, &p.down) })
	pumps.Wait()
}

// pump carries one direction of a link until its source has ended and all of it is delivered, or its target is gone.
func (p *proxy) pump(from, to net.Conn, w *weather) {
	pieces := make(chan piece, 1024)
	go func() {
		defer close(pieces)
		for {
			buffer := make([]byte, 32<<10)
			n, err := from.Read(buffer)
			if n > 0 {
				p.mu.Lock()
				now := *w
				p.mu.Unlock()
				if !now.swallow {
					delay := now.delay
					if now.jitter > 0 {
						delay += rand.N(now.jitter)
					}
					select {
					case pieces <- piece{buffer[:n], time.Now().Add(delay), now.slice}:
					case <-p.closed:
						return
					}
				}
			}
			if err != nil {
				return
			}
		}
	}()
	for c := range pieces {
		if wait := time.Until(c.deliver); wait > 0 {
			select {
			case <-time.After(wait):
			case <-p.closed:
			}
		}
		if err := write(to, c); err != nil {
			from.Close() // the reader ends, too
			break
		}
	}
	for range pieces { // of a reader that had more when its target went
	}
	if half, ok := to.(*net.TCPConn); ok {
		_ = half.CloseWrite()
	}
}

func write(to net.Conn, c piece) error {
	if !c.slice {
		_, err := to.Write(c.data)
		return err
	}
	for i := range c.data {
		if _, err := to.Write(c.data[i : i+1]); err != nil {
			return err
		}
	}
	return nil
}

// set changes the weather of both directions for what is read from now on.
func (p *proxy) set(up, down weather) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.up, p.down = up, down
}

// heal lets everything through again. Connections out of which something was taken are cut: they make no sense any more.
func (p *proxy) heal() {
	p.mu.Lock()
	maimed := p.up.swallow || p.down.swallow
	p.up, p.down = weather{}, weather{}
	p.mu.Unlock()
	p.Heal()
	if maimed {
		p.Cut()
	}
}
