package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// whiteSpace is JSON's, which is less than Unicode's.
const whiteSpace = " \t\r\n"

// scan refuses JSON that encoding/json would read with a guess or at a price: an object with a key twice (the last would
// win), bytes that are not UTF-8 (they would be replaced), something after the value (it would be ignored by a
// decoder), and nesting deeper than maxDepth. It runs before anything decodes the body, keeps at most maxDepth
// frames, and does not recurse. The error says what is wrong and where.
func scan(body []byte) error {
	if len(bytes.Trim(body, whiteSpace)) == 0 {
		return errors.New("the body is empty; send a JSON object")
	}
	if i := invalidUTF8(body); i >= 0 {
		return fmt.Errorf("the body is not valid UTF-8 at byte %d", i)
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber() // Token would refuse 1e400, which may well be right in a payload
	var s scanner
	for {
		token, err := decoder.Token()
		if err != nil {
			return syntaxError(err, decoder.InputOffset())
		}
		if err := s.take(token); err != nil {
			return err
		}
		if len(s.open) == 0 {
			break
		}
	}
	if rest := bytes.TrimLeft(body[decoder.InputOffset():], whiteSpace); len(rest) > 0 {
		return fmt.Errorf("something follows the JSON value at byte %d; send exactly one value", len(body)-len(rest))
	}
	return nil
}

// scanner follows the tokens of one value.
type scanner struct {
	open []frame // objects and arrays that have not been closed, outermost first
}

type frame struct {
	keys  map[string]struct{} // nil for an array
	key   string              // of the value that comes next or is open
	value bool                // in an object: a value comes next, not a key
	index int                 // in an array: of the element that comes next or is open
}

func (s *scanner) take(token json.Token) error {
	delim, isDelim := token.(json.Delim)
	if isDelim && (delim == '}' || delim == ']') {
		s.open = s.open[:len(s.open)-1]
		s.ended()
		return nil
	}
	if top := s.top(); top != nil && top.keys != nil && !top.value {
		key := token.(string) // the decoder lets nothing else be a key
		if _, twice := top.keys[key]; twice {
			return fmt.Errorf("%s has the key %s twice; which one counts would be a guess", s.path(len(s.open)-1), quote(key))
		}
		top.keys[key] = struct{}{}
		top.key, top.value = key, true
		return nil
	}
	if !isDelim {
		s.ended()
		return nil
	}
	if len(s.open) == maxDepth {
		return fmt.Errorf("%s is nested deeper than %d levels, which is the limit", s.path(len(s.open)), maxDepth)
	}
	f := frame{}
	if delim == '{' {
		f.keys = make(map[string]struct{})
	}
	s.open = append(s.open, f)
	return nil
}

// ended notes that a value is complete.
func (s *scanner) ended() {
	if top := s.top(); top != nil {
		if top.keys != nil {
			top.value = false
		} else {
			top.index++
		}
	}
}

func (s *scanner) top() *frame {
	if len(s.open) == 0 {
		return nil
	}
	return &s.open[len(s.open)-1]
}

// path names the value that the first n frames lead to.
func (s *scanner) path(n int) string {
	var b strings.Builder
	b.WriteString("body")
	for _, f := range s.open[:n] {
		if f.keys != nil {
			b.WriteString("." + clip(f.key))
		} else {
			b.WriteString("[" + strconv.Itoa(f.index) + "]")
		}
	}
	return b.String()
}

func syntaxError(err error, offset int64) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the JSON breaks off before its end")
	}
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		offset = syntax.Offset
	}
	return fmt.Errorf("the body is not JSON: %w (at byte %d)", err, offset)
}

func invalidUTF8(b []byte) int {
	for i := 0; i < len(b); {
		r, size := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return -1
}

func quote(s string) string { return strconv.Quote(clip(s)) }

// clip shortens text from a request before it goes into a message.
func clip(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
