package wire

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// Message is a task as asynq stores it, in the hash field "msg" (TaskMessage in asynq.proto). The numbers are those
// of the protobuf fields. The zero value encodes to no bytes at all.
type Message struct {
	Type         string            // 1; never blank in a valid task
	Payload      []byte            // 2; nil if empty
	ID           string            // 3; unique in its queue
	Queue        string            // 4; asynq builds the task's later keys from it
	MaxRetries   int               // 5; kept in 32 bits
	Retried      int               // 6; failed attempts that were followed by another one, kept in 32 bits
	LastError    string            // 7; of the last failed attempt
	Timeout      int64             // 8; of one attempt in seconds; 0: none (an asynq server then uses 30 minutes unless there is a deadline)
	Deadline     int64             // 9; Unix seconds; 0: none
	UniqueKey    string            // 10; key of the uniqueness lock; empty: none
	LastFailedAt int64             // 11; Unix seconds; 0: never
	Retention    int64             // 12; seconds for which a succeeded task is kept; 0: it is deleted at once
	CompletedAt  int64             // 13; Unix seconds; 0: not yet
	GroupKey     string            // 14; name of the aggregation group; empty: none
	Headers      map[string]string // 15; nil if empty; lost when asynq before v0.26 rewrites the message
}

// Encode returns m in asynq's encoding. It cannot fail; see the package comment for what is repaired.
// It allocates once, unless there is text to repair or there are more than 16 headers.
func (m *Message) Encode() []byte {
	v := m.repaired()
	return v.append(make([]byte, 0, v.size()))
}

// Append appends m in asynq's encoding to b, growing it at most once, and returns the longer slice.
func (m *Message) Append(b []byte) []byte {
	v := m.repaired()
	return v.append(slices.Grow(b, v.size()))
}

// repaired returns m with valid UTF-8 in all texts but the headers, which would have to be copied for that.
func (m *Message) repaired() Message {
	v := *m
	for _, text := range [...]*string{&v.Type, &v.ID, &v.Queue, &v.LastError, &v.UniqueKey, &v.GroupKey} {
		*text = validUTF8(*text)
	}
	return v
}

func (m *Message) append(b []byte) []byte {
	var few [16]string // keeps the usual handful of names off the heap
	names := few[:0]
	for name := range m.Headers {
		names = append(names, name)
	}
	slices.Sort(names)

	b = appendText(b, 1, m.Type)
	b = appendBytes(b, 2, m.Payload)
	b = appendText(b, 3, m.ID)
	b = appendText(b, 4, m.Queue)
	b = appendInt(b, 5, clampInt32(m.MaxRetries))
	b = appendInt(b, 6, clampInt32(m.Retried))
	b = appendText(b, 7, m.LastError)
	b = appendInt(b, 8, m.Timeout)
	b = appendInt(b, 9, m.Deadline)
	b = appendText(b, 10, m.UniqueKey)
	b = appendInt(b, 11, m.LastFailedAt)
	b = appendInt(b, 12, m.Retention)
	b = appendInt(b, 13, m.CompletedAt)
	b = appendText(b, 14, m.GroupKey)
	for _, name := range names {
		// An entry of a protobuf map is a message of its own, {1: key, 2: value}, written even where empty.
		key, value := validUTF8(name), validUTF8(m.Headers[name])
		b = protowire.AppendTag(b, 15, protowire.BytesType)
		b = protowire.AppendVarint(b, uint64(headerSize(key, value)))
		b = protowire.AppendString(protowire.AppendTag(b, 1, protowire.BytesType), key)
		b = protowire.AppendString(protowire.AppendTag(b, 2, protowire.BytesType), value)
	}
	return b
}

// size returns the number of bytes that append will add.
func (m *Message) size() int {
	size := 0
	for _, length := range [...]int{
		len(m.Type), len(m.Payload), len(m.ID), len(m.Queue), len(m.LastError), len(m.UniqueKey), len(m.GroupKey),
	} {
		if length != 0 {
			size += tagSize + protowire.SizeBytes(length)
		}
	}
	for _, n := range [...]int64{
		clampInt32(m.MaxRetries), clampInt32(m.Retried), m.Timeout, m.Deadline, m.LastFailedAt, m.Retention, m.CompletedAt,
	} {
		if n != 0 {
			size += tagSize + protowire.SizeVarint(uint64(n))
		}
	}
	for key, value := range m.Headers {
		size += tagSize + protowire.SizeBytes(headerSize(validUTF8(key), validUTF8(value)))
	}
	return size
}

func headerSize(key, value string) int {
	return tagSize + protowire.SizeBytes(len(key)) + tagSize + protowire.SizeBytes(len(value))
}

// DecodeMessage decodes a message that asynq or [Message.Encode] has written.
//
// The payload is a part of b, not a copy: b must not be changed for as long as the payload is in use. (Its capacity
// ends where it ends, so appending to it does not reach into b.) Everything else is copied.
// Unknown fields are skipped, and so lost if the message is encoded again, as they are in asynq.
// The error says which field is at fault; the message is then zero.
func DecodeMessage(b []byte) (Message, error) {
	var m Message
	for len(b) > 0 {
		var f field
		var err error
		if f, b, err = nextField(b); err != nil {
			return Message{}, fmt.Errorf("decode task message: %w", err)
		}
		switch f.number {
		case 1:
			err = f.text(&m.Type)
		case 2:
			f.data(&m.Payload)
		case 3:
			err = f.text(&m.ID)
		case 4:
			err = f.text(&m.Queue)
		case 5:
			f.int32(&m.MaxRetries)
		case 6:
			f.int32(&m.Retried)
		case 7:
			err = f.text(&m.LastError)
		case 8:
			f.int64(&m.Timeout)
		case 9:
			f.int64(&m.Deadline)
		case 10:
			err = f.text(&m.UniqueKey)
		case 11:
			f.int64(&m.LastFailedAt)
		case 12:
			f.int64(&m.Retention)
		case 13:
			f.int64(&m.CompletedAt)
		case 14:
			err = f.text(&m.GroupKey)
		case 15:
			err = f.header(&m.Headers)
		}
		if err != nil {
			return Message{}, fmt.Errorf("decode task message: field %d: %w", f.number, err)
		}
	}
	return m, nil
}

var (
	errUTF8   = errors.New("text is not valid UTF-8")
	errNumber = errors.New("field number is out of range")
)

// field is one field of an encoded protobuf message, as yet without a meaning.
type field struct {
	number protowire.Number
	kind   protowire.Type
	varint uint64 // if kind is VarintType
	bytes  []byte // if kind is BytesType; a part of the input
}

// nextField splits the first field off b, which must not be empty.
func nextField(b []byte) (f field, rest []byte, err error) {
	var n int
	f.number, f.kind, n = protowire.ConsumeTag(b)
	if n < 0 {
		return field{}, nil, protowire.ParseError(n)
	}
	if f.number > protowire.MaxValidNumber {
		return field{}, nil, errNumber
	}
	b = b[n:]
	switch f.kind {
	case protowire.VarintType:
		f.varint, n = protowire.ConsumeVarint(b)
	case protowire.BytesType:
		f.bytes, n = protowire.ConsumeBytes(b)
	default:
		n = protowire.ConsumeFieldValue(f.number, f.kind, b)
	}
	if n < 0 {
		return field{}, nil, fmt.Errorf("field %d: %w", f.number, protowire.ParseError(n))
	}
	return f, b[n:], nil
}

// The setters below leave their target alone if the field is of another kind than expected: to protobuf, such a field
// is an unknown one.

func (f field) text(to *string) error {
	if f.kind != protowire.BytesType {
		return nil
	}
	if !utf8.Valid(f.bytes) {
		return errUTF8
	}
	*to = string(f.bytes)
	return nil
}

func (f field) data(to *[]byte) {
	if f.kind != protowire.BytesType {
		return
	}
	*to = nil
	if len(f.bytes) > 0 {
		*to = slices.Clip(f.bytes)
	}
}

func (f field) int64(to *int64) {
	if f.kind == protowire.VarintType {
		*to = int64(f.varint)
	}
}

func (f field) int32(to *int) {
	if f.kind == protowire.VarintType {
		*to = int(int32(f.varint)) // protobuf cuts off the upper half
	}
}

func (f field) header(to *map[string]string) error {
	if f.kind != protowire.BytesType {
		return nil
	}
	var key, value string
	for b := f.bytes; len(b) > 0; {
		var entry field
		var err error
		if entry, b, err = nextField(b); err != nil {
			return err
		}
		switch entry.number {
		case 1:
			err = entry.text(&key)
		case 2:
			err = entry.text(&value)
		}
		if err != nil {
			return err
		}
	}
	if *to == nil {
		*to = make(map[string]string)
	}
	(*to)[key] = value
	return nil
}

// tagSize is the length of the tag of every field here: their numbers are all below 16.
const tagSize = 1

func appendText(b []byte, number protowire.Number, s string) []byte {
	if s == "" {
		return b
	}
	return protowire.AppendString(protowire.AppendTag(b, number, protowire.BytesType), s)
}

func appendBytes(b []byte, number protowire.Number, p []byte) []byte {
	if len(p) == 0 {
		return b
	}
	return protowire.AppendBytes(protowire.AppendTag(b, number, protowire.BytesType), p)
}

func appendInt(b []byte, number protowire.Number, n int64) []byte {
	if n == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, number, protowire.VarintType), uint64(n))
}

func clampInt32(n int) int64 { return min(max(int64(n), math.MinInt32), math.MaxInt32) }

func validUTF8(s string) string {
	if utf8.ValidString(s) { // many times faster than ToValidUTF8 on long ASCII
		return s
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
