package gateway

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"unicode/utf8"

	"github.com/gorilla/websocket"
)

// Of RFC 6455: the bits of a frame's first two bytes, the opcode of a further fragment, and what a control frame may hold.
const (
	finalBit     = 0x80
	reservedBits = 0x70
	maskBit      = 0x80
	continuation = 0
	controlLimit = 125
)

// brokenError is what is wrong with a frame; the code is that of the close frame which says so.
type brokenError struct {
	code int
	what string
}

func (e *brokenError) Error() string { return "the client sends " + e.what }

// incoming puts messages together from what a client sends. It exists while a message is on its way.
type incoming struct {
	rest      []byte // the beginning of a frame
	fragments []byte // of a message
	count     int    // of them
	kind      int    // of that message; 0: none
}

// take gives the messages and control frames that have come with b to got; what it is given is valid during the call, and b
// is changed. Nothing is kept of the rest but what is in the incoming. An error of got leaves what follows for the next call.
func (in *incoming) take(b []byte, got func(kind int, payload []byte) error) error {
	owned := len(in.rest) > 0
	if owned {
		b, in.rest = append(in.rest, b...), nil
	}
	for len(b) > 0 {
		f, err := in.next(b)
		if err != nil {
			return err
		}
		if f.bytes == 0 { // there has to come more
			if in.rest = b; !owned {
				in.rest = slices.Clone(b)
			}
			return nil
		}
		err = in.frame(f, got)
		if b = b[f.bytes:]; err != nil {
			in.rest = slices.Clone(b)
			return err
		}
	}
	return nil
}

// whole reports whether nothing is on its way.
func (in *incoming) whole() bool { return len(in.rest) == 0 && in.kind == 0 }

// frame is a frame of a client.
type frame struct {
	kind    int
	final   bool
	payload []byte
	bytes   int // all of it; 0: it is not complete
}

// next takes the first frame apart. A frame that must not be is refused by its head.
func (in *incoming) next(b []byte) (f frame, err error) {
	if len(b) < 2 {
		return f, nil
	}
	f.kind, f.final = int(b[0]&0x0f), b[0]&finalBit != 0
	control := f.kind >= websocket.CloseMessage
	length, head := uint64(b[1]&^maskBit), 2
	broken := func(what string) (frame, error) { return frame{}, &brokenError{websocket.CloseProtocolError, what} }
	switch {
	case b[0]&reservedBits != 0:
		return broken("reserved bits")
	case b[1]&maskBit == 0:
		return broken("a frame that is not masked")
	case control && (length > controlLimit || !f.final):
		return broken("a control frame that is too long, or in fragments")
	case f.kind == continuation && in.kind == 0:
		return broken("a fragment of nothing")
	case (f.kind == websocket.TextMessage || f.kind == websocket.BinaryMessage) && in.kind != 0:
		return broken("a message within a message")
	case f.kind > websocket.BinaryMessage && !control || f.kind > websocket.PongMessage:
		return broken(fmt.Sprintf("a frame of the unknown kind %d", f.kind))
	}
	switch length {
	case 126:
		if head += 2; len(b) < head {
			return frame{}, nil
		}
		if length = uint64(binary.BigEndian.Uint16(b[2:])); length < 126 {
			return broken("a length that is not in its shortest form")
		}
	case 127:
		if head += 8; len(b) < head {
			return frame{}, nil
		}
		if length = binary.BigEndian.Uint64(b[2:]); length <= math.MaxUint16 {
			return broken("a length that is not in its shortest form")
		}
	}
	if !control && length > uint64(readLimit-len(in.fragments)) {
		return frame{}, &brokenError{websocket.CloseMessageTooBig, fmt.Sprintf("a message of more than %d bytes", readLimit)}
	}
	if !control && in.count == fragmentLimit {
		return frame{}, &brokenError{websocket.CloseMessageTooBig, fmt.Sprintf("a message in more than %d fragments", fragmentLimit)}
	}
	const key = 4
	if uint64(len(b)) < uint64(head+key)+length {
		return frame{}, nil
	}
	f.bytes = head + key + int(length)
	f.payload = b[head+key : f.bytes]
	for i := range f.payload {
		f.payload[i] ^= b[head+i%key]
	}
	return f, nil
}

// frame hands on what a frame completes.
func (in *incoming) frame(f frame, got func(kind int, payload []byte) error) error {
	switch {
	case f.kind >= websocket.CloseMessage:
		return got(f.kind, f.payload)
	case f.final && in.kind == 0:
		return message(f.kind, f.payload, got)
	case in.kind == 0:
		in.kind = f.kind
	}
	in.fragments = append(in.fragments, f.payload...)
	if in.count++; !f.final {
		return nil
	}
	kind, payload := in.kind, in.fragments
	in.kind, in.fragments, in.count = 0, nil, 0
	return message(kind, payload, got)
}

// message hands on a whole message, if it is what it says to be.
func message(kind int, payload []byte, got func(kind int, payload []byte) error) error {
	if kind == websocket.TextMessage && !utf8.Valid(payload) {
		return errNotText
	}
	return got(kind, payload)
}

// errNotText is what is wrong with a text, also of a close frame.
var errNotText = &brokenError{websocket.CloseInvalidFramePayloadData, "text that is not UTF-8"}

// closeCode returns the code of a client's close frame, to be answered with.
func closeCode(payload []byte) (int, error) {
	if len(payload) == 0 {
		return websocket.CloseNoStatusReceived, nil
	}
	code := 0
	if len(payload) > 1 {
		code = int(binary.BigEndian.Uint16(payload))
		if !utf8.Valid(payload[2:]) {
			return 0, errNotText
		}
	}
	switch {
	case code >= 1000 && code <= 1014 && code != 1004 && code != websocket.CloseNoStatusReceived && code != websocket.CloseAbnormalClosure, code >= 3000 && code <= 4999:
		return code, nil
	}
	return 0, &brokenError{websocket.CloseProtocolError, fmt.Sprintf("the close code %d", code)}
}

// appendFrame appends a frame of a server, which is not masked.
func appendFrame(b []byte, kind int, payload []byte) []byte {
	b = append(b, finalBit|byte(kind))
	switch n := len(payload); {
	case n < 126:
		b = append(b, byte(n))
	case n <= 0xffff:
		b = binary.BigEndian.AppendUint16(append(b, 126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 127), uint64(n))
	}
	return append(b, payload...)
}
