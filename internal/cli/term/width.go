package term

import (
	"strings"
	"unicode"

	"golang.org/x/text/width"
)

// Columns returns how many columns a terminal takes for s, which has been through [Line]. For sequences of emoji
// terminals disagree; the answer is then the greater one.
func Columns(s string) int {
	n := 0
	for _, r := range s {
		n += columns(r)
	}
	return n
}

func columns(r rune) int {
	switch {
	case r < 0x7F:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// Truncate returns s, or as much of it as fits into the given columns, with a sign that there is more.
func Truncate(s string, limit int) string {
	if Columns(s) <= limit {
		return s
	}
	if limit < 1 {
		return ""
	}
	n, end := 0, 0
	for i, r := range s {
		if n += columns(r); n > limit-1 {
			break
		}
		end = i + len(string(r))
	}
	return strings.TrimRight(s[:end], " ") + "…"
}

// Pad fills s up with blanks to the given columns.
func Pad(s string, columns int) string {
	return s + strings.Repeat(" ", max(0, columns-Columns(s)))
}
