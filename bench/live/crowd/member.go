//go:build linux

package crowd

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"syscall"
	"time"

	"github.com/seri-queue/seri/internal/token"
)

// member is one client.
type member struct {
	fd    int32 // -1: none
	phase phase
	back  bool // it was cut, and comes back
	ended uint8
	own   uint32 // number of the last event of its task
	topic uint32 // of the last of what all watch; 0: any may be next

	kept   uint8 // bytes of the cursor
	cursor [48]byte
}

// phase is how far a member has come.
type phase uint8

const (
	absent phase = iota
	dialing
	shaking // hands: has asked for the upgrade
	asking  // has asked for what it wants to watch
	watching
)

// Queue is where the tasks are that the members watch: [Task] their own, and [Topic] all.
const (
	Queue = "live"
	Topic = "everyone"

	taskPrefix = "live-"
)

// Task is the ID of the task that the i-th member watches.
func Task(i int) string { return fmt.Sprintf(taskPrefix+"%06d", i) }

// perSource is how many members come from one address; the next ones come from that whose third byte is one more. Linux tries
// every other one of the 28,000 ports of an address first: once those 14,000 are taken, each connect looks at all of them.
const perSource = 7000

// dial begins to connect a member.
func (c *crowd) dial(i int, to *syscall.SockaddrInet4) error {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open a socket: %w", err)
	}
	m := &c.members[i]
	m.fd, m.phase = int32(fd), dialing
	from := c.source
	from.Addr[2] += byte(i / perSource)
	const bindAddressNoPort = 24 // IP_BIND_ADDRESS_NO_PORT: the port is chosen for the pair of addresses, not for the source alone
	err = errors.Join(
		syscall.SetsockoptInt(fd, syscall.IPPROTO_IP, bindAddressNoPort, 1),
		syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1),
		// Closed by a reset, it leaves nothing behind: of those that wait for their time to run out the kernel keeps few.
		syscall.SetsockoptLinger(fd, syscall.SOL_SOCKET, syscall.SO_LINGER, &syscall.Linger{Onoff: 1}),
		syscall.Bind(fd, &from),
		syscall.EpollCtl(c.epoll, syscall.EPOLL_CTL_ADD, fd, &syscall.EpollEvent{
			Events: syscall.EPOLLIN | syscall.EPOLLOUT | syscall.EPOLLRDHUP | edgeTriggered, Fd: int32(i),
		}),
	)
	if err != nil {
		return fmt.Errorf("prepare a socket: %w", err)
	}
	if err := syscall.Connect(fd, to); err != nil && !errors.Is(err, syscall.EINPROGRESS) {
		return fmt.Errorf("connect: %w", err)
	}
	return nil
}

// edgeTriggered is EPOLLET, whose constant is negative where events are not.
const edgeTriggered = 1 << 31

// shake asks for a WebSocket, as a browser does, once the connection is made.
func (c *crowd) shake(i int) error {
	m := &c.members[i]
	if code, err := syscall.GetsockoptInt(int(m.fd), syscall.SOL_SOCKET, syscall.SO_ERROR); err != nil || code != 0 {
		return fmt.Errorf("connect: %w", errors.Join(err, syscall.Errno(code)))
	}
	b := append(c.out[:0], "GET /v1/ws HTTP/1.1\r\nHost: "...)
	b = append(b, c.entry.Addr...)
	b = append(b, "\r\nOrigin: http://"...)
	b = append(b, c.entry.Addr...)
	b = append(b, "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="...)
	if c.ring != nil {
		text, _, err := c.ring.Mint(token.Pass{Issuer: "bench", Scope: token.Scope{Tasks: []string{c.task(i), Topic}}}, tokenTTL, time.Now())
		if err != nil {
			return err
		}
		b = append(b, "\r\nSec-WebSocket-Protocol: seri.v1, seri.token."...)
		b = append(b, text...)
	}
	c.out = append(b, "\r\n\r\n"...)
	m.phase = shaking
	return c.write(i, c.out)
}

const tokenTTL = 2 * time.Hour

func (c *crowd) task(i int) string { return Task(c.entry.First + i) }

// ask asks for what a member watches: its own task, the topic, or what it had watched before it was cut.
func (c *crowd) ask(i int, own, topic bool) error {
	m := &c.members[i]
	b := append(c.out[:0], `{"op":"subscribe",`...)
	if m.back {
		b = append(b, `"after":"`...)
		b = append(b, m.cursor[:m.kept]...)
		b = append(b, `",`...)
	}
	b = append(b, `"subscriptions":[`...)
	if own {
		b = append(b, `{"id":"own","queue":"`+Queue+`","task":"`...)
		b = append(b, c.task(i)...)
		b = append(b, `"}`...)
	}
	if own && topic {
		b = append(b, ',')
	}
	if topic {
		b = append(b, `{"id":"topic","queue":"`+Queue+`","task":"`+Topic+`"}`...)
	}
	b = append(b, `]}`...)
	m.phase = asking
	body := len(b)
	c.out = appendMessage(b, opText, b)
	return c.write(i, c.out[body:])
}

// write sends what the socket has room for: little, and to one that reads.
func (c *crowd) write(i int, b []byte) error {
	n, err := syscall.Write(int(c.members[i].fd), b)
	if err != nil {
		return fmt.Errorf("write: %w", err)
	}
	if n < len(b) {
		return errors.New("write: the server does not read")
	}
	return nil
}

// receive reads all that has come for a member. If the server has hung up, that shows at the end of it.
func (c *crowd) receive(i int, hungUp bool) error {
	m := &c.members[i]
	for {
		rest := copy(c.in, c.rest[i])
		delete(c.rest, i)
		n, err := syscall.Read(int(m.fd), c.in[rest:])
		switch {
		case errors.Is(err, syscall.EAGAIN):
			c.keep(i, c.in[:rest])
			return nil
		case err != nil:
			return fmt.Errorf("read: %w", err)
		case n == 0:
			return errors.New("the server has hung up")
		}
		c.now = time.Now()
		c.report.Reads++
		left, err := c.take(i, c.in[:rest+n])
		if err != nil {
			return err
		}
		if len(left) == len(c.in) {
			return fmt.Errorf("a message of more than %d bytes", len(c.in))
		}
		if c.keep(i, left); rest+n < len(c.in) && !hungUp {
			return nil // what comes later rings again
		}
	}
}

// keep keeps the beginning of a frame for the next read.
func (c *crowd) keep(i int, b []byte) {
	if len(b) > 0 {
		c.rest[i] = bytes.Clone(b)
	}
}

// take takes what is whole, and returns the rest.
func (c *crowd) take(i int, b []byte) (rest []byte, err error) {
	m := &c.members[i]
	if m.phase == shaking {
		head, after, whole := bytes.Cut(b, []byte("\r\n\r\n"))
		if !whole {
			return b, nil
		}
		if !bytes.HasPrefix(head, []byte("HTTP/1.1 101 ")) {
			line, _, _ := bytes.Cut(head, []byte("\r\n"))
			return nil, fmt.Errorf("the server answers %q", line)
		}
		b = after
		if c.ring == nil {
			c.arrived(i)
		} else if err := c.ask(i, true, m.back && c.topical); err != nil {
			return nil, err
		}
	}
	for {
		f := next(b)
		if f.bytes == 0 {
			return b, nil
		}
		b = b[f.bytes:]
		switch f.op {
		case opText:
			err = c.hear(i, f.payload)
		case opPing:
			c.out = appendMessage(c.out[:0], opPong, f.payload)
			err = c.write(i, c.out)
		case opClose:
			err = fmt.Errorf("the server closes: %q", f.payload[min(2, len(f.payload)):])
		}
		if err != nil {
			return nil, err
		}
	}
}

// hear takes one message.
func (c *crowd) hear(i int, message []byte) error {
	m, n := &c.members[i], read(message)
	if len(n.cursor) > len(m.cursor) {
		return fmt.Errorf("a cursor of %d bytes", len(n.cursor))
	}
	if len(n.cursor) > 0 {
		m.kept = uint8(copy(m.cursor[:], n.cursor))
	}
	switch string(n.kind) {
	case "subscribed":
		if m.back {
			c.arrived(i)
		}
	case "snapshot":
		if bytes.Contains(message, []byte(`"subscription":"topic"`)) {
			m.topic = 0
		} else {
			m.own = uint32(n.seq)
		}
		if m.phase == asking {
			c.arrived(i)
		}
	case "gap", "reset":
		c.report.Gaps++
	case "error":
		return fmt.Errorf("refused: %.200s", message)
	default:
		c.count(m, c.entry.First+i, n, len(message))
	}
	return nil
}

// count counts an event.
func (c *crowd) count(m *member, i int, n news, size int) {
	kind, ofTask := bytes.CutPrefix(n.kind, []byte("task."))
	if !ofTask {
		return
	}
	r := &c.report
	r.Frames++
	r.Bytes += uint64(size)
	r.Last = c.now
	if n.stamp > 0 {
		r.Delays.Add(time.Duration(c.now.UnixNano() - n.stamp))
	}
	last := &m.topic
	if string(n.subject) != Topic {
		digits, _ := bytes.CutPrefix(n.subject, []byte(taskPrefix))
		if of, err := strconv.Atoi(string(digits)); err != nil || of != i {
			r.Misdirected++
			return
		}
		last = &m.own
		if string(kind) == "succeeded" && m.ended < 2 {
			m.ended++
		}
	}
	switch seq := uint32(n.seq); {
	case *last != 0 && seq <= *last:
		r.Doubled++
	case *last != 0 && seq > *last+1+uint32(n.conflated):
		r.Lost += int(seq - *last - 1 - uint32(n.conflated))
		*last = seq
	default:
		*last = seq
	}
}
