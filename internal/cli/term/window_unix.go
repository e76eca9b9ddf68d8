//go:build unix

package term

import (
	"os"

	"golang.org/x/sys/unix"
)

// windowWidth asks for the window's size, which only a terminal has.
func windowWidth(f *os.File) int {
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0
	}
	if size.Col == 0 { // a terminal that does not know, such as a serial line
		return 80
	}
	return int(size.Col)
}
