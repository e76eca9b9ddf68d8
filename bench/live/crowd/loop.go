//go:build linux

package crowd

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"syscall"
	"time"

	"github.com/seri-queue/seri/internal/token"
)

// crowd is the far end of a [Crowd]. All of it happens on one thread.
type crowd struct {
	orders <-chan order
	answer func(answer)
	epoll  int
	bell   int // is readable when there is an order

	entry   Entry
	door    syscall.SockaddrInet4 // entry.Addr
	back    *syscall.SockaddrInet4
	source  syscall.SockaddrInet4
	ring    *token.Ring // nil: without tokens
	members []member
	rest    map[int][]byte // beginnings of frames
	away    []absence
	topical bool // all watch the topic

	// Of the order that takes time: how many members it has been given to, and how many of them are still at it.
	step        func(i int) error // nil: there is none
	begun, busy int

	in, out []byte
	now     time.Time // of the last read
	report  Report
}

// absence is a member that comes back.
type absence struct {
	member int
	until  time.Time
}

// bellMember marks the bell among the descriptors.
const bellMember = -1

func newCrowd(bell int, orders <-chan order, answer func(answer)) (*crowd, error) {
	epoll, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make an epoll: %w", err)
	}
	err = syscall.EpollCtl(epoll, syscall.EPOLL_CTL_ADD, bell, &syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: bellMember})
	if err != nil {
		return nil, fmt.Errorf("listen to orders: %w", err)
	}
	return &crowd{
		orders: orders, answer: answer, epoll: epoll, bell: bell, rest: make(map[int][]byte), in: make([]byte, 256<<10),
	}, nil
}

// run goes on until there are no more orders.
func (c *crowd) run() error {
	ready := make([]syscall.EpollEvent, 1024)
	for {
		wait := -1
		if len(c.away) > 0 {
			wait = 5 // milliseconds
		}
		n, err := syscall.EpollWait(c.epoll, ready, wait)
		if err != nil && !errors.Is(err, syscall.EINTR) {
			return fmt.Errorf("wait for members: %w", err)
		}
		for _, e := range ready[:max(n, 0)] {
			if e.Fd != bellMember {
				c.wake(int(e.Fd), e.Events)
			} else if !c.obeyAll() {
				return nil
			}
		}
		c.comeBack()
	}
}

// obeyAll carries out the orders that have come; false if there will be no more.
func (c *crowd) obeyAll() bool {
	var rung [16]byte
	_, _ = syscall.Read(c.bell, rung[:]) // what is not read rings again
	for {
		select {
		case o, more := <-c.orders:
			if !more {
				return false
			}
			if err := c.obey(o); err != nil {
				c.answer(answer{Error: err.Error()})
			}
		default:
			return true
		}
	}
}

// obey carries out an order. Those that take time are answered when all members are done with it.
func (c *crowd) obey(o order) error {
	switch {
	case o.Open != nil:
		return c.open(*o.Open)
	case o.Watch:
		c.topical = true
		c.begin(func(i int) error { return c.ask(i, false, true) })
		return nil
	case o.ComeBackTo != "":
		back, err := address(o.ComeBackTo)
		if err != nil {
			return err
		}
		c.back = &back
	case o.Forget:
		c.report = Report{}
	case o.Leave:
		c.leave()
	}
	c.tell()
	return nil
}

func (c *crowd) tell() {
	r := c.report
	for i := range c.members {
		switch m := &c.members[i]; m.phase {
		case absent:
			r.Away++
		case watching:
			r.Watching++
		}
		switch c.members[i].ended {
		case 0:
		case 1:
			r.Ended++
		default:
			r.EndedTwice++
		}
	}
	c.answer(answer{Report: &r})
}

func (c *crowd) open(e Entry) (err error) {
	c.entry = e
	if c.door, err = address(e.Addr); err != nil {
		return err
	}
	source, err := netip.ParseAddr(e.Source)
	if err != nil {
		return fmt.Errorf("the source address: %w", err)
	}
	c.source = syscall.SockaddrInet4{Addr: source.As4()}
	if c.ring, err = token.Parse(e.Secret); err != nil {
		return err
	}
	c.members = make([]member, e.Count)
	for i := range c.members {
		c.members[i].fd = -1
	}
	c.begin(func(i int) error { return c.dial(i, &c.door) })
	return nil
}

func address(text string) (syscall.SockaddrInet4, error) {
	at, err := netip.ParseAddrPort(text)
	if err != nil || !at.Addr().Is4() {
		return syscall.SockaddrInet4{}, fmt.Errorf("%q is no IPv4 address and port", text)
	}
	return syscall.SockaddrInet4{Addr: at.Addr().As4(), Port: int(at.Port())}, nil
}

// begin has all members take a step, some at a time.
func (c *crowd) begin(step func(i int) error) {
	c.step, c.begun, c.busy = step, 0, 0
	c.proceed()
}

func (c *crowd) proceed() {
	for c.step != nil && c.busy < c.entry.Burst && c.begun < len(c.members) {
		i := c.begun
		c.begun++
		c.busy++
		if err := c.step(i); err != nil {
			c.lose(i, err)
		}
	}
	if c.step != nil && c.busy == 0 && c.begun == len(c.members) {
		c.step = nil
		c.tell()
	}
}

// arrived is called when a member has got what it has asked for.
func (c *crowd) arrived(i int) {
	m := &c.members[i]
	m.phase = watching
	if m.back {
		m.back = false
		c.report.Resumed++
		c.report.LastResumed = time.Now()
		return
	}
	c.busy--
}

// wake looks after a member whose descriptor is ready.
func (c *crowd) wake(i int, events uint32) {
	m := &c.members[i]
	if m.fd < 0 {
		return
	}
	if m.phase == dialing {
		if err := c.shake(i); err != nil {
			c.lose(i, err)
			return
		}
	}
	const hangUp = syscall.EPOLLRDHUP | syscall.EPOLLHUP | syscall.EPOLLERR
	if events&(syscall.EPOLLIN|hangUp) != 0 {
		if err := c.receive(i, events&hangUp != 0); err != nil {
			c.lose(i, err)
		}
	}
	c.proceed()
}

// lose ends a member's connection. Who was connected comes back, if there is where to.
func (c *crowd) lose(i int, err error) {
	m := &c.members[i]
	was := m.phase
	c.hangUp(m)
	delete(c.rest, i)
	if c.report.Fault == "" {
		c.report.Fault = err.Error()
	}
	switch {
	case m.back: // and tries again
	case was == watching:
		c.report.Cut++
		m.back = c.back != nil
	default:
		c.report.Refused++
		c.busy--
	}
	if m.back && c.back != nil {
		c.away = append(c.away, absence{i, time.Now().Add(rand.N(comeBackWithin))})
	}
}

// comeBackWithin is over how long those who are cut together spread their coming back.
const comeBackWithin = time.Second

func (c *crowd) leave() {
	c.back = nil
	for i := range c.members {
		c.hangUp(&c.members[i])
	}
}

// close lets go of everything.
func (c *crowd) close() {
	c.leave()
	_ = syscall.Close(c.epoll)
}

func (c *crowd) hangUp(m *member) {
	if m.fd >= 0 {
		_ = syscall.Close(int(m.fd)) // and the epoll forgets it
	}
	m.fd, m.phase = -1, absent
}

// comeBack lets those dial whose time it is.
func (c *crowd) comeBack() {
	if len(c.away) == 0 {
		return
	}
	now, waiting := time.Now(), c.away
	c.away = nil // which lose adds to
	for _, a := range waiting {
		switch {
		case c.back == nil:
		case now.Before(a.until):
			c.away = append(c.away, a)
		default:
			if err := c.dial(a.member, c.back); err != nil {
				c.lose(a.member, err)
			}
		}
	}
}
