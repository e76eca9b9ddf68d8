package remote

import (
	"bufio"
	"bytes"
	"io"
	"strconv"
	"time"
)

// maxLineBytes bounds a line of a stream: a snapshot holds a task with its payload and result.
const maxLineBytes = 64 << 20

// sseReader reads Server-Sent Events as the HTML standard describes them, but for lines that end in a lone CR, which
// nobody sends.
type sseReader struct {
	lines *bufio.Scanner
	last  string        // the id to resume after
	retry time.Duration // how long the server wants clients to wait before they come back; 0: it has not said
	begun bool
}

type sseEvent struct {
	name string
	data []byte
}

// newSSEReader reads from r, which has been resumed after the event with the id last.
func newSSEReader(r io.Reader, last string) *sseReader {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4096), maxLineBytes)
	return &sseReader{lines: lines, last: last}
}

// next returns the next event that has data. [io.EOF]: the stream has ended; an event that was cut off is dropped.
func (s *sseReader) next() (sseEvent, error) {
	var e sseEvent
	id := s.last
	for s.lines.Scan() {
		line := s.lines.Bytes()
		if !s.begun {
			line, s.begun = bytes.TrimPrefix(line, []byte("\ufeff")), true
		}
		if len(line) == 0 {
			s.last = id
			if e.data != nil {
				e.data = bytes.TrimSuffix(e.data, []byte("\n"))
				return e, nil
			}
			e = sseEvent{}
			continue
		}
		field, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "event":
			e.name = string(value)
		case "data":
			e.data = append(append(e.data, value...), '\n')
		case "id":
			if !bytes.ContainsRune(value, 0) {
				id = string(value)
			}
		case "retry":
			if ms, err := strconv.ParseUint(string(value), 10, 31); err == nil {
				s.retry = time.Duration(ms) * time.Millisecond
			}
		}
	}
	if err := s.lines.Err(); err != nil {
		return sseEvent{}, err
	}
	return sseEvent{}, io.EOF
}
