package chaos_test

import (
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// proxy stands between one process and its Redis, and ill-treats what goes through.
//
// It remembers when each piece came in and delivers it late rather than holding up the reading, and it goes on delivering
// after the sender has hung up: so a call whose caller gave up long ago can still arrive, which is what a fence is for.
type proxy struct {
	listener net.Listener
	closed   chan struct{}
	running  sync.WaitGroup

	mu     sync.Mutex
	target string
	up     weather // towards Redis
	down   weather
	refuse bool // new connections are closed at once
	links  map[*link]bool
}

// weather is what a direction of a proxy does to what it carries. The zero value lets everything through.
type weather struct {
	delay   time.Duration
	jitter  time.Duration // added to delay, at random, at most
	swallow bool          // what is read is thrown away
	slice   bool          // one byte at a time
}

// link is one connection through a proxy: that of the client, and that to Redis.
type link struct{ client, server net.Conn }

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
	p := &proxy{listener: listener, closed: make(chan struct{}), target: target, links: make(map[*link]bool)}
	p.running.Go(p.accept)
	return p, nil
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

// close ends the proxy and all that goes through it.
func (p *proxy) close() {
	close(p.closed)
	p.listener.Close()
	p.cut()
	p.running.Wait()
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.running.Go(func() { p.serve(client) })
	}
}

func (p *proxy) serve(client net.Conn) {
	p.mu.Lock()
	target, refuse := p.target, p.refuse
	p.mu.Unlock()
	if refuse {
		client.Close()
		return
	}
	server, err := net.DialTimeout("tcp", target, time.Second)
	if err != nil {
		client.Close()
		return
	}
	l := &link{client, server}
	p.mu.Lock()
	p.links[l] = true
	p.mu.Unlock()
	var pumps sync.WaitGroup
	pumps.Go(func() { p.pump(client, server, &p.up) })
	pumps.Go(func() { p.pump(server, client, &p.down) })
	pumps.Wait()
	client.Close()
	server.Close()
	p.mu.Lock()
	delete(p.links, l)
	p.mu.Unlock()
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
	p.up, p.down, p.refuse = weather{}, weather{}, false
	p.mu.Unlock()
	if maimed {
		p.cut()
	}
}

// aim sends new connections somewhere else, and cuts those that are there.
func (p *proxy) aim(target string) {
	p.mu.Lock()
	p.target = target
	p.mu.Unlock()
	p.cut()
}

// partition cuts every connection, and refuses new ones until heal.
func (p *proxy) partition() {
	p.mu.Lock()
	p.refuse = true
	p.mu.Unlock()
	p.cut()
}

// cut closes every connection, with a FIN; reset does it with an RST.
func (p *proxy) cut()   { p.end(false) }
func (p *proxy) reset() { p.end(true) }

func (p *proxy) end(reset bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		for _, c := range []net.Conn{l.client, l.server} {
			if tcp, ok := c.(*net.TCPConn); ok && reset {
				_ = tcp.SetLinger(0)
			}
			if err := c.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
				continue // it was gone
			}
		}
	}
}
