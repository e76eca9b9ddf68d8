package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"unsafe"
)

// raw is no library: bare descriptors, and one system call for each.
type raw struct {
	room[int]
	send func(conn int, b []byte) (int, error)
}

// sendTo is sendto(2), which is cheaper than write(2), and without a word to the scheduler of goroutines, which is cheaper still: it
// cannot be beaten with one call for each.
func sendTo(conn int, b []byte) (int, error) {
	n, _, failed := syscall.RawSyscall6(syscall.SYS_SENDTO, uintptr(conn), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), syscall.MSG_NOSIGNAL, 0, 0)
	if failed != 0 {
		return 0, failed
	}
	return int(n), nil
}

const upgraded = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"

func (r *raw) serve(listener *net.TCPListener) error {
	file, err := listener.File()
	if err != nil {
		return err
	}
	fd := int(file.Fd()) // blocking from here on
	request := make([]byte, 4<<10)
	for {
		conn, _, err := syscall.Accept4(fd, syscall.SOCK_CLOEXEC)
		if err != nil {
			return fmt.Errorf("accept: %w", err)
		}
		if err := shake(conn, request); err != nil {
			return err
		}
		r.enter(conn)
	}
}

// shake answers a request, which is sent as soon as the connection is made.
func shake(conn int, request []byte) error {
	for n := 0; !bytes.HasSuffix(request[:n], []byte("\r\n\r\n")); {
		got, err := syscall.Read(conn, request[n:])
		if err == nil && got == 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return fmt.Errorf("read a request: %w", err)
		}
		n += got
	}
	_, err := syscall.Write(conn, []byte(upgraded))
	return err
}

func (r *raw) broadcast(message []byte) {
	frame := []byte{0x81, 126, 0, 0}
	binary.BigEndian.PutUint16(frame[2:], uint16(len(message))) // of some hundred bytes
	frame = append(frame, message...)
	r.each(func(conn int) {
		if n, err := r.send(conn, frame); n != len(frame) {
			fmt.Fprintln(os.Stderr, "raw: wrote", n, "bytes:", err)
		}
	})
}
