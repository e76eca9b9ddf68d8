package tables

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/tasks/internal/fetch"
)

// reader reads rows and says in plain words what is wrong with them.
type reader struct {
	csv   *csv.Reader
	meter *meter
	line  int // where the last row began; 0 before the first one
}

// newReader looks at the beginning of source, refuses what is no text, skips a byte order mark, and finds the delimiter
// if it is 0.
func newReader(source io.Reader, delimiter rune) (*reader, error) {
	m := &meter{Reader: source, left: MaxRecordBytes}
	buffer := bufio.NewReaderSize(m, bufferBytes)
	head, err := buffer.Peek(bufferBytes)
	if m.err != nil {
		return nil, fetch.Failure(fmt.Errorf("read source: %w", m.err))
	}
	if err := checkText(head); err != nil {
		return nil, seri.Permanent(err)
	}
	if mark := []byte("\ufeff"); bytes.HasPrefix(head, mark) {
		head = head[len(mark):]
		buffer.Discard(len(mark)) // it was peeked at, so it is there
	}
	if delimiter == 0 {
		delimiter = sniff(head, err == nil)
	}

	r := csv.NewReader(buffer)
	r.Comma = delimiter
	r.ReuseRecord = true
	return &reader{csv: r, meter: m}, nil
}

// next returns the next row, which is valid until the call after, or [io.EOF].
func (r *reader) next() ([]string, error) {
	r.meter.left = MaxRecordBytes + bufferBytes // the buffer reads ahead
	record, err := r.csv.Read()
	switch {
	case err == nil:
		r.line, _ = r.csv.FieldPos(0)
		return record, nil
	case r.meter.err != nil: // it goes first: half a row that was read before it looks like a fault of the table
		return nil, fetch.Failure(fmt.Errorf("read source: %w", r.meter.err))
	case r.meter.ended:
		return nil, seri.Permanent(fmt.Errorf("after line %d a row is longer than %d bytes; is a quote not closed?", r.line, MaxRecordBytes))
	}
	fault, ok := errors.AsType[*csv.ParseError](err)
	if !ok {
		return nil, err // io.EOF
	}
	switch {
	case errors.Is(fault.Err, csv.ErrFieldCount):
		return nil, seri.Permanent(fmt.Errorf("line %d: the number of fields is %d, in the first row it is %d", fault.StartLine, len(record), r.csv.FieldsPerRecord))
	case errors.Is(fault.Err, csv.ErrBareQuote):
		return nil, seri.Permanent(fmt.Errorf(`line %d, column %d: a quote inside of a field that does not begin with one; write "a ""quoted"" word"`, fault.Line, fault.Column))
	case errors.Is(fault.Err, csv.ErrQuote) && fault.Line > fault.StartLine:
		return nil, seri.Permanent(fmt.Errorf("line %d: a quoted field begins in this row, and its closing quote is missing or misplaced in line %d, column %d", fault.StartLine, fault.Line, fault.Column))
	case errors.Is(fault.Err, csv.ErrQuote):
		return nil, seri.Permanent(fmt.Errorf("line %d, column %d: a closing quote is missing, or more follows it than a delimiter", fault.Line, fault.Column))
	}
	return nil, seri.Permanent(fault)
}

// bufferBytes is how far ahead the source is read, and how much of it is seen before the first row is.
const bufferBytes = 128 << 10

// errTooMuch ends a read that would go past the row limit.
var errTooMuch = errors.New("row too long")

// meter counts what is read, keeps the error that was met, and ends a row that does not end by itself.
type meter struct {
	io.Reader
	read  int64
	left  int64 // bytes that may still be read for the current row
	ended bool  // whether they did not suffice
	err   error // of the source; nil at its end
}

func (m *meter) Read(p []byte) (int, error) {
	if m.left <= 0 {
		m.ended = true
		return 0, errTooMuch
	}
	if int64(len(p)) > m.left {
		p = p[:m.left]
	}
	n, err := m.Reader.Read(p)
	m.read += int64(n)
	m.left -= int64(n)
	if err != nil && err != io.EOF {
		m.err = err
	}
	return n, err
}
