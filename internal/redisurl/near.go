package redisurl

import (
	"context"
	"net"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
)

// dialer opens a connection, as [redis.Options] has it.
type dialer = func(ctx context.Context, network, addr string) (net.Conn, error)

// near makes connections on which the answer of a near server is looked for during nearness before the reader sleeps.
//
// Redis answers a call in some 20 µs, and waking a reader that sleeps takes as long again or longer: a caller that makes
// one call after the other spends most of its time on being woken. One reader of the process looks, in turn with all
// other goroutines that can run; the others sleep as ever. A connection whose answers do not come in time (a server
// across the network, a call that blocks) is looked at more and more rarely.
//
// TLS connections are left as they are. In a container with a part of a processor the time that is spent on looking counts
// against that part, so for a Redis beside it there is little to be had.
func near(dial dialer) dialer {
	if runtime.GOMAXPROCS(0) == 1 {
		return dial // nobody else could run while one looks
	}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		switch conn.(type) {
		case *net.TCPConn, *net.UnixConn:
			return newNearConn(conn), nil
		}
		return conn, nil
	}
}

const (
	// nearness is how long an answer is looked for. Several calls of Redis fit in, and no hop to another building does.
	nearness = 100 * time.Microsecond
	// rarest is after how many reads a connection is looked at again whose answers never came in time.
	rarest = 1024
)

// looking is set while a reader of this process looks for its answer. It guards the fields of all [nearConn]s, too.
var looking atomic.Bool

type nearConn struct {
	net.Conn
	raw syscall.RawConn // nil: it cannot be looked at

	rest  int // how many reads go by before the next look
	pause int // what rest is set to by a look in vain

	into []byte // of the look under way
	n    int
	look func(fd uintptr) bool // reads what is there into into, and waits for nothing
}

func newNearConn(conn net.Conn) net.Conn {
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return conn
	}
	c := &nearConn{Conn: conn, raw: raw}
	c.look = func(fd uintptr) bool {
		c.n = readNow(fd, c.into)
		return true
	}
	return c
}

// SyscallConn lets go-redis see whether the server has closed the connection.
func (c *nearConn) SyscallConn() (syscall.RawConn, error) { return c.raw, nil }

// Read is [net.Conn]'s.
func (c *nearConn) Read(p []byte) (int, error) {
	if len(p) > 0 && looking.CompareAndSwap(false, true) {
		n := c.lookFor(p)
		looking.Store(false)
		if n > 0 {
			return n, nil
		}
	}
	return c.Conn.Read(p) // which also tells of whatever is wrong with the connection
}

// lookFor returns how many bytes came within nearness; 0 if none did, or it was not looked.
func (c *nearConn) lookFor(p []byte) int {
	if c.rest > 0 {
		c.rest--
		return 0
	}
	c.into, c.n = p, 0
	defer func() { c.into = nil }()
	for start := time.Now(); time.Since(start) < nearness; runtime.Gosched() {
		if err := c.raw.Read(c.look); err != nil || c.n < 0 {
			return 0
		}
		if c.n > 0 {
			c.pause = 0
			return c.n
		}
	}
	c.pause = min(2*c.pause+1, rarest)
	c.rest = c.pause
	return 0
}
