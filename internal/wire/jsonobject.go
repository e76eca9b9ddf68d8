package wire

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// object appends the members of a JSON object byte for byte as json.Marshal does, without reflection. Names are given with
// the comma before and the colon after them.
type object struct {
	b   []byte
	err error // the first one; what is appended after it does not count
}

// raw appends JSON as it is.
func (o *object) raw(text string) { o.b = append(o.b, text...) }

func (o *object) text(name, text string) {
	o.raw(name)
	o.b = appendString(o.b, text)
}

func (o *object) number(name string, n int64) {
	o.raw(name)
	o.b = strconv.AppendInt(o.b, n, 10)
}

func (o *object) natural(name string, n uint64) {
	o.raw(name)
	o.b = strconv.AppendUint(o.b, n, 10)
}

// time appends a time in RFC 3339, in its own zone.
func (o *object) time(name string, t time.Time) {
	o.raw(name)
	b, err := t.AppendText(append(o.b, '"'))
	if err != nil {
		o.fail(err)
		return
	}
	o.b = append(b, '"')
}

// value appends JSON from elsewhere, compact and safe to stand in HTML. It is an error if it is no JSON.
func (o *object) value(name string, value []byte) {
	o.raw(name)
	s := scanner[[]byte]{text: value}
	if s.value(maxDepth) && s.at == len(value) && s.seen&(space|markup) == 0 {
		o.b = append(o.b, value...)
		return
	}
	compact, err := json.Marshal(json.RawMessage(value))
	if err != nil {
		o.fail(err)
	}
	o.b = append(o.b, compact...)
}

func (o *object) fail(err error) {
	if o.err == nil {
		o.err = err
	}
}

// The following leave a member out that has no value.

func (o *object) optionalText(name, text string) {
	if text != "" {
		o.text(name, text)
	}
}

func (o *object) optionalNumber(name string, n int64) {
	if n != 0 {
		o.number(name, n)
	}
}

func (o *object) optionalTime(name string, t time.Time) {
	if !t.IsZero() {
		o.time(name, t.UTC())
	}
}

func (o *object) optionalValue(name string, value []byte) {
	if len(value) > 0 {
		o.value(name, value)
	}
}

func (o *object) optionalFlag(name string, set bool) {
	if set {
		o.raw(name)
		o.raw("true")
	}
}

// appendString appends s as a JSON string.
func appendString(b []byte, s string) []byte {
	if !verbatim(s) {
		return append(b, mustMarshal(strings.Clone(s))...) // of a copy, so that others need not be on the heap
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// verbatim reports whether a text stands between the quotes of a JSON string as it is.
func verbatim(s string) bool {
	ascii := true
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&':
			return false
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	return ascii || utf8.ValidString(s) && !strings.Contains(s, "\u2028") && !strings.Contains(s, "\u2029")
}

// mustMarshal encodes what can always be encoded.
func mustMarshal(data any) []byte {
	b, err := json.Marshal(data)
	if err != nil {
		panic(fmt.Sprintf("wire: encode %T: %v", data, err))
	}
	return b
}
