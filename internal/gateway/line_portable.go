//go:build !linux || 386 || portable

package gateway

import (
	"net"
	"syscall"
)

// line is a peer's connection.
type line struct {
	conn net.Conn
	raw  syscall.RawConn
	fd   int // of conn, which only hangUp closes
}

// takeOver makes a connection a line. The connection must not be used any more after that; if it fails, it is as before.
func takeOver(conn net.Conn) (line, error) {
	raw, err := rawOf(conn)
	if err != nil {
		return line{}, err
	}
	l := line{conn: conn, raw: raw}
	return l, raw.Control(func(fd uintptr) { l.fd = int(fd) })
}

func (l line) read(b []byte) (int, error)  { return syscall.Read(l.fd, b) }
func (l line) write(b []byte) (int, error) { return syscall.Write(l.fd, b) }
