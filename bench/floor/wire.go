package floor

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// encode returns a command as it goes over the wire. Arguments are of the kinds that the store sends.
func encode(args []any) ([]byte, error) {
	b := fmt.Appendf(nil, "*%d\r\n", len(args))
	for _, arg := range args {
		var text []byte
		switch v := arg.(type) {
		case string:
			text = []byte(v)
		case []byte:
			text = v
		case int:
			text = strconv.AppendInt(nil, int64(v), 10)
		case int64:
			text = strconv.AppendInt(nil, v, 10)
		case uint64:
			text = strconv.AppendUint(nil, v, 10)
		case float64:
			text = strconv.AppendFloat(nil, v, 'f', -1, 64)
		case nil:
		default:
			return nil, fmt.Errorf("encode a command: argument of type %T", arg)
		}
		b = fmt.Appendf(b, "$%d\r\n", len(text))
		b = append(b, text...)
		b = append(b, '\r', '\n')
	}
	return b, nil
}

// readRaw copies one reply to keep, which may be nil.
func readRaw(r *bufio.Reader, keep *bytes.Buffer) error {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return err
	}
	if keep != nil {
		keep.Write(line)
	}
	if len(line) < 3 {
		return fmt.Errorf("reply %q is not of Redis", line)
	}
	switch line[0] {
	case '+', ':':
		return nil
	case '-':
		return errors.New(string(bytes.TrimSpace(line[1:])))
	case '$', '*':
	default:
		return fmt.Errorf("reply %q is of no kind that scripts give", line)
	}
	n, err := strconv.Atoi(string(line[1 : len(line)-2]))
	if err != nil {
		return fmt.Errorf("reply %q: %w", line, err)
	}
	if line[0] == '*' {
		for range n {
			if err := readRaw(r, keep); err != nil {
				return err
			}
		}
		return nil
	}
	if n < 0 {
		return nil
	}
	if keep == nil {
		_, err = r.Discard(n + 2)
		return err
	}
	_, err = io.CopyN(keep, r, int64(n)+2)
	return err
}

// decode turns a reply that was kept into what go-redis would have made of it.
func decode(r *bufio.Reader) (any, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return nil, err
	}
	text := line[1 : len(line)-2]
	switch line[0] {
	case '+':
		return text, nil
	case ':':
		return strconv.ParseInt(text, 10, 64)
	case '-':
		return nil, errors.New(text)
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return nil, fmt.Errorf("reply %q: %w", line, err)
	}
	if n < 0 {
		return nil, nil
	}
	if line[0] == '*' {
		values := make([]any, n)
		for i := range values {
			if values[i], err = decode(r); err != nil {
				return nil, err
			}
		}
		return values, nil
	}
	bulk := make([]byte, n+2)
	if _, err := io.ReadFull(r, bulk); err != nil {
		return nil, err
	}
	return string(bulk[:n]), nil
}

// line is a connection to Redis.
type line struct {
	conn net.Conn
	r    *bufio.Reader
}

func dial(addr string) (*line, error) {
	conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return nil, fmt.Errorf("measure the floor: %w", err)
	}
	return &line{conn, bufio.NewReaderSize(conn, 256<<10)}, nil
}

// replay sends commands, at most window of them ahead of their replies, and returns how long that took. keep, if not
// nil, gets the replies as they are.
func (l *line) replay(commands [][]byte, window int, keep *bytes.Buffer) (time.Duration, error) {
	begin := time.Now()
	sent := 0
	for heard := range commands {
		for sent < len(commands) && sent-heard < window {
			if _, err := l.conn.Write(commands[sent]); err != nil {
				return 0, fmt.Errorf("replay: %w", err)
			}
			sent++
		}
		if err := readRaw(l.r, keep); err != nil {
			return 0, fmt.Errorf("replay: %w", err)
		}
	}
	return time.Since(begin), nil
}
