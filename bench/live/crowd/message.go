package crowd

import (
	"bytes"
	"encoding/binary"
	"strconv"
	"time"
)

// Of RFC 6455.
const (
	opText, opClose, opPing, opPong = 1, 8, 9, 10

	finalBit, maskBit = 0x80, 0x80
)

// frame is one frame of a server.
type frame struct {
	op      byte
	payload []byte
	bytes   int // all of it; 0: there has to come more
}

// next returns the first frame of b, which is what a server sends: not masked, and not in fragments.
func next(b []byte) frame {
	if len(b) < 2 {
		return frame{}
	}
	head, length := 2, int(b[1]&^maskBit)
	switch {
	case length == 126 && len(b) >= 4:
		head, length = 4, int(binary.BigEndian.Uint16(b[2:]))
	case length == 127 && len(b) >= 10:
		head, length = 10, int(binary.BigEndian.Uint64(b[2:]))
	case length >= 126:
		return frame{}
	}
	if len(b) < head+length {
		return frame{}
	}
	return frame{b[0] &^ finalBit, b[head : head+length], head + length}
}

// appendMessage appends a frame of a client, masked by zeros: so its payload is what it was.
func appendMessage(b []byte, op byte, payload []byte) []byte {
	b = append(b, finalBit|op)
	if n := len(payload); n < 126 {
		b = append(b, maskBit|byte(n))
	} else {
		b = binary.BigEndian.AppendUint16(append(b, maskBit|126), uint16(n))
	}
	return append(append(b, 0, 0, 0, 0), payload...)
}

// news is what a message says, as far as it is counted.
type news struct {
	kind      []byte // of "dev.seri.task.progress": task.progress
	subject   []byte
	seq       uint64
	conflated uint64
	stamp     int64 // Unix nanoseconds; 0: it has none
	cursor    []byte
}

// Stamp is how an event carries the time at which it was committed: anywhere in its data.
func Stamp(b []byte, at time.Time) []byte {
	return strconv.AppendInt(append(b, stampKey...), at.UnixNano(), 10)
}

const stampKey = "stamp="

// read takes out of a CloudEvent what is counted. It looks for keys and does not parse, because there are hundreds of
// thousands a second; the order of the keys is that of the gateway.
func read(event []byte) (n news) {
	rest := event
	n.kind, rest = text(rest, `"type":"dev.seri.`)
	n.subject, rest = text(rest, `"subject":"`)
	_, rest, _ = bytes.Cut(rest, []byte(`"data":`))
	n.seq, rest = number(rest, `"seq":`)
	stamp, _ := number(rest, stampKey)
	n.stamp = int64(stamp)
	const key = `"cursor":"`
	tail := rest[max(0, len(rest)-128):]
	if i := bytes.LastIndex(tail, []byte(key)); i >= 0 {
		n.cursor, _ = text(tail[i:], key)
	}
	if i := bytes.Index(tail, []byte(`"conflated":`)); i >= 0 {
		n.conflated, _ = number(tail[i:], `"conflated":`)
	}
	return n
}

// text returns what follows a key up to the next quote, and what comes after; nothing, and all of b, if the key is not there.
func text(b []byte, key string) (value, rest []byte) {
	i := bytes.Index(b, []byte(key))
	if i < 0 {
		return nil, b
	}
	value, rest, _ = bytes.Cut(b[i+len(key):], []byte(`"`))
	return value, rest
}

// number is text for digits.
func number(b []byte, key string) (value uint64, rest []byte) {
	i := bytes.Index(b, []byte(key))
	if i < 0 {
		return 0, b
	}
	for rest = b[i+len(key):]; len(rest) > 0 && rest[0] >= '0' && rest[0] <= '9'; rest = rest[1:] {
		value = 10*value + uint64(rest[0]-'0')
	}
	return value, rest
}
