package gateway

import (
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
)

// rawOf returns what is below a connection.
func rawOf(conn net.Conn) (syscall.RawConn, error) {
	plain, ok := conn.(syscall.Conn)
	if !ok {
		return nil, fmt.Errorf("a WebSocket cannot be served over a %T: let TLS end in front", conn)
	}
	return plain.SyscallConn()
}

// receive reads into b what is there; nothing is no error. After the end of what the client says it returns [io.EOF].
func (l line) receive(b []byte) ([]byte, error) {
	for {
		switch n, err := l.read(b); {
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EAGAIN):
			return nil, nil
		case err != nil:
			return nil, err
		case n == 0:
			return nil, io.EOF
		default:
			return b[:n], nil
		}
	}
}

// send writes of b what the kernel has room for, and returns how much that was.
func (l line) send(b []byte) (int, error) {
	for {
		switch n, err := l.write(b); {
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EAGAIN):
			return 0, nil
		case err != nil:
			return 0, err
		default:
			return n, nil
		}
	}
}
