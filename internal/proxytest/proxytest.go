// Package proxytest stands between clients and a server, so that tests can cut the network between them.
//
//	p := proxytest.Run(t, server.Addr())
//	client := dial(p.Addr())
//	p.Partition()
//	…
//	p.Heal()
package proxytest

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// Proxy carries connections to a server.
type Proxy struct {
	listener net.Listener
	carry    func(client, server net.Conn)
	running  sync.WaitGroup

	mu     sync.Mutex
	target string
	refuse bool // new connections are closed at once
	links  map[*link]struct{}
}

// link is one connection through a proxy: that of the client, and that to the server.
type link struct{ client, server net.Conn }

// Run returns a proxy to a server's address on a free port of the loopback interface, until the test ends.
func Run(t testing.TB, target string) *Proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := New(listener, target, func(client, server net.Conn) { Carry(client, client, server) })
	t.Cleanup(p.Close)
	return p
}

// New returns a proxy of which carry says what becomes of a connection, for as long as that takes; both ends are closed then.
// The proxy owns the listener.
func New(listener net.Listener, target string, carry func(client, server net.Conn)) *Proxy {
	p := &Proxy{listener: listener, carry: carry, target: target, links: make(map[*link]struct{})}
	p.running.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			p.running.Go(func() { p.serve(client) })
		}
	})
	return p
}

// Carry passes everything on in both directions, until one has ended. from is what is read from the client.
func Carry(from io.Reader, client, server net.Conn) {
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(client, server)
		client.Close()
	})
	_, _ = io.Copy(server, from)
	server.Close()
	back.Wait()
}

// Addr returns where clients find the proxy.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Close ends the proxy and all that goes through it.
func (p *Proxy) Close() {
	p.listener.Close()
	p.Partition()
	p.running.Wait()
}

func (p *Proxy) serve(client net.Conn) {
	defer client.Close()
	p.mu.Lock()
	target, refuse := p.target, p.refuse
	p.mu.Unlock()
	if refuse {
		return
	}
	server, err := net.DialTimeout("tcp", target, 5*time.Second)
	if err != nil {
		return
	}
	defer server.Close()
	l := &link{client, server}
	p.mu.Lock()
	if p.refuse || p.target != target { // since then
		p.mu.Unlock()
		return
	}
	p.links[l] = struct{}{}
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.links, l)
	}()
	p.carry(client, server)
}

// Aim sends new connections somewhere else, and cuts those that are there.
func (p *Proxy) Aim(target string) {
	p.end(false, func() { p.target = target })
}

// Partition cuts every connection, and refuses new ones until [Proxy.Heal].
func (p *Proxy) Partition() {
	p.end(false, func() { p.refuse = true })
}

// Heal lets new connections pass again.
func (p *Proxy) Heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse = false
}

// Cut closes every connection with a FIN; new ones pass.
func (p *Proxy) Cut() { p.end(false, func() {}) }

// Reset closes every connection with an RST; new ones pass.
func (p *Proxy) Reset() { p.end(true, func() {}) }

// end closes every connection, after a change under the same lock: none that came before it is left.
func (p *Proxy) end(reset bool, change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	for l := range p.links {
		for _, conn := range []net.Conn{l.client, l.server} {
			if tcp, ok := conn.(*net.TCPConn); ok && reset {
				_ = tcp.SetLinger(0)
			}
			conn.Close()
		}
	}
}
