package gateway

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
)

// masked is a client's frame: the first byte as it stands, and a payload.
func masked(first byte, payload string) []byte {
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, maskBit|byte(n))
	case n <= 0xffff:
		b = binary.BigEndian.AppendUint16(append(b, maskBit|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, maskBit|127), uint64(n))
	}
	key := [4]byte{1, 2, 3, 254}
	b = append(b, key[:]...)
	for i := range len(payload) {
		b = append(b, payload[i]^key[i%4])
	}
	return b
}

// piecemeal returns what comes of bytes that arrive in parts of a size, in short, and the error in the end.
func piecemeal(sent []byte, part int) (got []string, err error) {
	var in incoming
	for b := range slices.Chunk(slices.Clone(sent), part) {
		err := in.take(b, func(kind int, payload []byte) error {
			got = append(got, fmt.Sprintf("%d:%s", kind, payload))
			return nil
		})
		if err != nil {
			return got, err
		}
		if held := len(in.rest) + len(in.fragments); held > 2*readLimit+14 {
			return got, fmt.Errorf("%d bytes are held", held)
		}
	}
	if !in.whole() {
		return got, errUnfinished
	}
	return got, nil
}

var errUnfinished = errors.New("something is on its way")

func TestMessagesComeWholeHoweverTheyAreCut(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("long", 100)
	sent := slices.Concat(
		masked(0x81, "one"), masked(0x01, "t"), masked(0x89, "ping"), masked(0x00, "w"), masked(0x8a, ""), masked(0x80, "o"),
		masked(0x82, long), masked(0x81, ""), masked(0x01, ""), masked(0x80, ""), masked(0x88, "\x03\xe8bye"),
	)
	want := []string{"1:one", "9:ping", "10:", "1:two", "2:" + long, "1:", "1:", "8:\x03\xe8bye"}
	for part := 1; part <= len(sent); part++ {
		got, err := piecemeal(sent, part)

		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("in parts of %d: got %q, %v", part, got, err)
		}
	}
}

func TestFrameThatComesByteByByteIsNotCopiedForEach(t *testing.T) {
	sent := masked(0x81, strings.Repeat("x", readLimit))

	if n := testing.AllocsPerRun(1, func() {
		if got, err := piecemeal(sent, 1); len(got) != 1 || err != nil {
			t.Errorf("%d messages, %v", len(got), err)
		}
	}); n > 200 {
		t.Errorf("%d bytes took %.0f allocations", len(sent), n)
	}
}

func TestBrokenFramesAreRefusedByTheirHeads(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		sent []byte
		code int
	}{
		"not masked":                         {[]byte{0x81, 0x01, 'x'}, websocket.CloseProtocolError},
		"a reserved bit":                     {masked(0xc1, "x"), websocket.CloseProtocolError},
		"an unknown kind":                    {masked(0x83, "x"), websocket.CloseProtocolError},
		"an unknown kind of control":         {masked(0x8b, "x"), websocket.CloseProtocolError},
		"a fragment of nothing":              {masked(0x80, "x"), websocket.CloseProtocolError},
		"a message within a message":         {slices.Concat(masked(0x01, "x"), masked(0x81, "y")), websocket.CloseProtocolError},
		"a ping in fragments":                {masked(0x09, "x"), websocket.CloseProtocolError},
		"a long ping":                        {masked(0x89, strings.Repeat("x", 126)), websocket.CloseProtocolError},
		"a length of 125 in 16 bits":         {[]byte{0x81, maskBit | 126, 0, 125}, websocket.CloseProtocolError},
		"a length of 65,535 in 64 bits":      {[]byte{0x81, maskBit | 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, websocket.CloseProtocolError},
		"a text that is not UTF-8":           {masked(0x81, "\xff"), websocket.CloseInvalidFramePayloadData},
		"a text that breaks off":             {slices.Concat(masked(0x01, "x"), masked(0x80, "\xe2\x82")), websocket.CloseInvalidFramePayloadData},
		"a long message, before it has come": {masked(0x81, strings.Repeat("x", readLimit+1))[:10], websocket.CloseMessageTooBig},
		"a message of 2^63 bytes":            {[]byte{0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0}, websocket.CloseMessageTooBig},
		"a message of 2^64-1 bytes":          {append([]byte{0x81, 0xff}, bytes.Repeat([]byte{0xff}, 8)...), websocket.CloseMessageTooBig},
		"fragments without an end":           {append(masked(0x01, ""), bytes.Repeat(masked(0x00, ""), fragmentLimit)...), websocket.CloseMessageTooBig},
		"many fragments of a long message":   {append(masked(0x01, "x"), bytes.Repeat(masked(0x00, strings.Repeat("x", 1000)), 40)...), websocket.CloseMessageTooBig},
	} {
		_, err := piecemeal(c.sent, 7)

		if broken, ok := errors.AsType[*brokenError](err); !ok || broken.code != c.code {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestCharactersMayBeCutAndBinaryMessagesAreNoText(t *testing.T) {
	t.Parallel()
	got, err := piecemeal(slices.Concat(masked(0x01, "\xe2\x82"), masked(0x80, "\xac"), masked(0x82, "\xff")), 1)

	if err != nil || !slices.Equal(got, []string{"1:€", "2:\xff"}) {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestCloseCodesThatNobodyMaySendAreNotAnswered(t *testing.T) {
	t.Parallel()
	for payload, want := range map[string]int{
		"": websocket.CloseNoStatusReceived, "\x03\xe8": 1000, "\x03\xe9bye": 1001, "\x0b\xb8": 3000, "\x13\x87": 4999,
		"\x03": 0, "\x03\xe7": 0, "\x03\xec": 0, "\x03\xed": 0, "\x03\xee": 0, "\x03\xf7": 0, "\x07\xd0": 0, "\x13\x88": 0,
	} {
		code, err := closeCode([]byte(payload))

		if code != want || (err != nil) != (want == 0) {
			t.Errorf("%x: got %d, %v, want %d", payload, code, err, want)
		}
	}
	if _, err := closeCode([]byte("\x03\xe8\xff")); err != errNotText {
		t.Errorf("a reason that is not UTF-8: got %v", err)
	}
}

func FuzzIncoming(f *testing.F) {
	f.Add(slices.Concat(masked(0x01, "t"), masked(0x89, "ping"), masked(0x80, "wo")), 3)
	f.Add(masked(0x82, strings.Repeat("x", 200)), 100)
	f.Add([]byte{0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0}, 1)
	f.Fuzz(func(t *testing.T, sent []byte, part int) {
		part = max(1, part)
		whole, wholeErr := piecemeal(sent, max(1, len(sent)))
		parts, partsErr := piecemeal(sent, part)

		if !slices.Equal(whole, parts) || fmt.Sprint(wholeErr) != fmt.Sprint(partsErr) {
			t.Errorf("at once: %q, %v; in parts of %d: %q, %v", whole, wholeErr, part, parts, partsErr)
		}
	})
}
