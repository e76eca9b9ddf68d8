package term

import (
	"cmp"
	"io"
	"os"
	"strings"
)

// Width returns how many columns the terminal behind w has; 0: w is no terminal, or one that cannot go back in a line.
// A test's writer may have a method Width of its own.
func Width(w io.Writer) int {
	switch w := w.(type) {
	case interface{ Width() int }:
		return w.Width()
	case *os.File:
		if os.Getenv("TERM") == "dumb" {
			return 0
		}
		return windowWidth(w)
	}
	return 0
}

// Unicode reports whether the locale lets terminals show more than ASCII.
func Unicode() bool {
	locale := cmp.Or(os.Getenv("LC_ALL"), os.Getenv("LC_CTYPE"), os.Getenv("LANG"))
	locale = strings.ToLower(strings.ReplaceAll(locale, "-", ""))
	return strings.Contains(locale, "utf8")
}
