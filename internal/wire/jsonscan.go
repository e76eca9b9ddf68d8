package wire

import "encoding/json"

// scanner reads JSON of the plain sort that our own programs and scripts write, several times as fast as encoding/json
// reads any. What it takes is JSON, and means to it what it means to encoding/json; what it does not take may be JSON all
// the same: whoever reads by it has encoding/json read that.
type scanner[T string | []byte] struct {
	text T
	at   int // the next byte
	seen feature
}

// feature is what a scanner has come across in strings and between values. Whoever asks resets it before.
type feature uint8

const (
	escape feature = 1 << iota // a backslash
	wide                       // a byte that is not ASCII; it may be no UTF-8 either
	markup                     // a character that json.Marshal does not leave as it is in raw JSON
	space                      // white space between values
)

// maxDepth bounds how deep the arrays and objects are nested that a scanner passes over.
const maxDepth = 64

// valid reports whether a value is JSON, which it nearly always is.
func valid(value []byte) bool {
	s := scanner[[]byte]{text: value}
	return s.value(maxDepth) && s.at == len(value) || json.Valid(value)
}

// is takes a byte, if it is the next one.
func (s *scanner[T]) is(c byte) bool {
	if s.at < len(s.text) && s.text[s.at] == c {
		s.at++
		return true
	}
	return false
}

// word takes a word, if it comes next.
func (s *scanner[T]) word(w string) bool {
	if len(s.text)-s.at < len(w) || string(s.text[s.at:s.at+len(w)]) != w {
		return false
	}
	s.at += len(w)
	return true
}

// value passes over a value of any kind, in which there may be others, so deep.
func (s *scanner[T]) value(depth int) bool {
	if s.at == len(s.text) || depth == 0 {
		return false
	}
	switch s.text[s.at] {
	case '{':
		return s.members('}', depth-1)
	case '[':
		return s.members(']', depth-1)
	case '"':
		return s.quoted()
	case 't':
		return s.word("true")
	case 'f':
		return s.word("false")
	case 'n':
		return s.word("null")
	default:
		return s.number()
	}
}

// members passes over an object or an array, by what closes it.
func (s *scanner[T]) members(closing byte, depth int) bool {
	s.at++
	s.blank()
	if s.is(closing) {
		return true
	}
	for {
		if closing == '}' {
			if !s.quoted() {
				return false
			}
			s.blank()
			if !s.is(':') {
				return false
			}
			s.blank()
		}
		if !s.value(depth) {
			return false
		}
		s.blank()
		if s.is(closing) {
			return true
		}
		if !s.is(',') {
			return false
		}
		s.blank()
	}
}

// quoted passes over a string.
func (s *scanner[T]) quoted() bool {
	if !s.is('"') {
		return false
	}
	for ; s.at < len(s.text); s.at++ {
		switch c := s.text[s.at]; {
		case c == '"':
			s.at++
			return true
		case c == '\\':
			s.seen |= escape
			if !s.escaped() {
				return false
			}
		case c < ' ':
			return false
		case c == '<' || c == '>' || c == '&':
			s.seen |= markup
		case c >= 0x80:
			s.seen |= wide
			if c == 0xE2 && s.separates() {
				s.seen |= markup
			}
		}
	}
	return false
}

// escaped goes from a backslash to the last byte of what it begins.
func (s *scanner[T]) escaped() bool {
	s.at++
	if s.at == len(s.text) {
		return false
	}
	switch s.text[s.at] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return true
	case 'u':
		for range 4 {
			s.at++
			if s.at == len(s.text) || !hexadecimal(s.text[s.at]) {
				return false
			}
		}
		return true
	}
	return false
}

func hexadecimal(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// separates reports whether the line separator comes next, or that of paragraphs, which are no ends of lines to JSON but are
// to JavaScript: E2 80 A8 and E2 80 A9.
func (s *scanner[T]) separates() bool {
	return s.at+2 < len(s.text) && s.text[s.at+1] == 0x80 && s.text[s.at+2]&^1 == 0xA8
}

// number passes over a number.
func (s *scanner[T]) number() bool {
	s.is('-')
	if !s.is('0') && !s.digits() {
		return false
	}
	if s.is('.') && !s.digits() {
		return false
	}
	if s.is('e') || s.is('E') {
		if !s.is('+') {
			s.is('-')
		}
		return s.digits()
	}
	return true
}

// digits passes over one digit or more.
func (s *scanner[T]) digits() bool {
	from := s.at
	for s.at < len(s.text) && '0' <= s.text[s.at] && s.text[s.at] <= '9' {
		s.at++
	}
	return s.at > from
}

// blank passes over white space.
func (s *scanner[T]) blank() {
	for s.at < len(s.text) {
		switch s.text[s.at] {
		case ' ', '\t', '\r', '\n':
			s.seen |= space
			s.at++
		default:
			return
		}
	}
}
