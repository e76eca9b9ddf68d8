//go:build linux && !386 && !portable

package gateway

import (
	"fmt"
	"net"
	"syscall"
	"unsafe"
)

// line is a peer's connection: a descriptor that belongs to nobody else, and that the runtime's poller does not know.
type line struct{ fd int }

// takeOver makes a connection a line. The connection must not be used any more after that; if it fails, it is as before.
func takeOver(conn net.Conn) (line, error) {
	raw, err := rawOf(conn)
	if err != nil {
		return line{}, err
	}
	var fd uintptr
	var failed syscall.Errno
	err = raw.Control(func(of uintptr) {
		fd, _, failed = syscall.Syscall(syscall.SYS_FCNTL, of, syscall.F_DUPFD_CLOEXEC, 0)
	})
	switch {
	case err != nil:
		return line{}, err
	case failed != 0:
		return line{}, fmt.Errorf("duplicate the descriptor of a connection: %w", failed)
	}
	conn.Close() // of the two descriptors; if it fails, there is one more than needed
	return line{int(fd)}, nil
}

// The scheduler is not told of the following system calls, because they do not wait. It would take the processor from those it
// finds in one for some 20 µs, which on a busy machine are many, and have another thread wake up for it: of a broadcast to
// thousands that is a tenth of all work.

func (l line) read(b []byte) (int, error) { return l.call(syscall.SYS_RECVFROM, b) }

func (l line) write(b []byte) (int, error) { return l.call(syscall.SYS_SENDTO, b) }

// call makes a system call that only sockets have. read(2) and write(2), which all files have, take some hundred nanoseconds more.
func (l line) call(number uintptr, b []byte) (int, error) {
	n, _, failed := syscall.RawSyscall6(number, uintptr(l.fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL, 0, 0)
	if failed != 0 {
		return 0, failed
	}
	return int(n), nil
}
