package term

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Line makes text that others have supplied fit to be printed within a line: what a terminal would obey, what would
// turn the direction of what follows, and bytes that are no text are shown as in a Go string. A message could
// otherwise move the cursor, set the window's title, or forge the output around it.
func Line(s string) string { return escape(s, "") }

// Text is [Line] for text of several lines: line breaks stay, each followed by indent.
func Text(s, indent string) string {
	s = strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\t", "    ")
	return strings.ReplaceAll(escape(s, "\n"), "\n", "\n"+indent)
}

// JSON makes a JSON document fit to be printed. It stays the same document: what is dangerous can stand only inside of
// strings, and is written there as an escape sequence.
func JSON(b []byte) string {
	var out strings.Builder
	for len(b) > 0 {
		r, size := utf8.DecodeRune(b)
		switch {
		case r == utf8.RuneError && size == 1:
			out.WriteString(`\ufffd`) // as every decoder reads it
		case r == '\r': // white space between tokens
			out.WriteByte(' ')
		case r == '\n', r == '\t', !dangerous(r):
			out.WriteRune(r)
		case r > 0xFFFF:
			high, low := (r-0x10000)>>10+0xD800, (r-0x10000)&0x3FF+0xDC00
			fmt.Fprintf(&out, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&out, `\u%04x`, r)
		}
		b = b[size:]
	}
	return out.String()
}

func escape(s, keep string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return dangerous(r) || r == utf8.RuneError }) {
		return s
	}
	var out strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&out, `\x%02x`, s[0])
		case strings.ContainsRune(keep, r) || !dangerous(r):
			out.WriteRune(r)
		case r == '\n':
			out.WriteString(`\n`)
		case r == '\r':
			out.WriteString(`\r`)
		case r == '\t':
			out.WriteString(`\t`)
		case r < 0x80:
			fmt.Fprintf(&out, `\x%02x`, r)
		case r > 0xFFFF:
			fmt.Fprintf(&out, `\U%08x`, r)
		default:
			fmt.Fprintf(&out, `\u%04x`, r)
		}
		s = s[size:]
	}
	return out.String()
}

// dangerous reports whether a terminal may do something else with r than to draw it. The joiners inside of emoji and of
// Indic and Persian words are format characters too, and stay.
func dangerous(r rune) bool {
	switch {
	case r == 0x200C || r == 0x200D: // zero-width non-joiner and joiner
		return false
	case r == 0x2028 || r == 0x2029: // line and paragraph separators
		return true
	}
	return unicode.In(r, unicode.Cc, unicode.Cf)
}
