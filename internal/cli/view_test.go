package cli

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/wire"
)

// screen is a terminal that understands what a view writes: CR, LF and "erase to the end of the line".
type screen struct {
	t     *testing.T
	width int
	lines []string // the last one is where the cursor is
	col   int
	drawn int // times that a line was begun anew
}

func (s *screen) Width() int { return s.width }

func (s *screen) Write(p []byte) (int, error) {
	if s.lines == nil {
		s.lines = []string{""}
	}
	text := string(p)
	for text != "" {
		line := []rune(s.lines[len(s.lines)-1])
		if rest, ok := strings.CutPrefix(text, "\x1b[K"); ok {
			s.lines[len(s.lines)-1], text = string(line[:s.col]), rest
			continue
		}
		r := []rune(text)[0]
		text = text[len(string(r)):]
		switch {
		case r == '\r':
			s.col, s.drawn = 0, s.drawn+1
		case r == '\n':
			s.lines, s.col = append(s.lines, ""), 0
		case r < ' ':
			s.t.Errorf("the terminal was sent %q", r)
		case s.col == s.width:
			s.t.Errorf("the line is longer than the terminal is wide: %q", string(line))
		default:
			s.lines[len(s.lines)-1] = string(slices.Replace(line, s.col, min(s.col+1, len(line)), r))
			s.col++
		}
	}
	return len(p), nil
}

func TestTheViewStaysInOneLineOfTheTerminal(t *testing.T) {
	t.Setenv("LC_ALL", "C.UTF-8")
	synctest.Test(t, func(t *testing.T) {
		terminal := &screen{t: t, width: 50}
		v := newView(terminal)

		v.show(wire.Task{State: seri.Pending})
		v.show(active(1, 4, "a message that is much longer than the terminal is wide"))
		time.Sleep(2500 * time.Millisecond)
		synctest.Wait()
		if want := []string{"active    ████░░░░░░░░░░░░░  25%  a messag…  0:02"}; !slices.Equal(terminal.lines, want) {
			t.Errorf("after 2.5 s it shows %q, want %q", terminal.lines, want)
		}
		terminal.width = 30 // the person makes the window smaller
		v.note("the API cannot be reached")
		v.note("")
		v.show(wire.Task{State: seri.Succeeded, Seq: 9})
		v.close()

		if want := []string{"succeeded ████████ 100%  0:02", ""}; !slices.Equal(terminal.lines, want) {
			t.Errorf("in the end it shows %q, want %q", terminal.lines, want)
		}
		if terminal.drawn != 7 { // five changes, two seconds
			t.Errorf("drawn %d times, want 7", terminal.drawn)
		}
	})
}

func TestWithoutATerminalTheViewWritesFewLines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		v := newView(&log)

		v.show(wire.Task{State: seri.Scheduled, DueAt: new(time.Now().Add(9 * time.Second))})
		time.Sleep(9 * time.Second)
		v.show(wire.Task{State: seri.Pending})
		for done := range int64(100) {
			v.show(active(done, 100, ""))
			time.Sleep(100 * time.Millisecond)
		}
		synctest.Wait() // the clock's tick of this very instant
		v.note("the API cannot be reached")
		v.note("")
		v.show(wire.Task{State: seri.Failed, Error: "boom\nstack"})
		v.close()

		want := []string{"scheduled: starts in 9s", "pending: waits for a worker", "active 0%"}
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		if len(lines) < 3 || !slices.Equal(lines[:3], want) {
			t.Errorf("it begins with %q, want %q", lines, want)
		}
		if n := len(lines); n > 12 || !slices.Equal(lines[n-3:], []string{"the API cannot be reached", "the API can be reached again", "failed: boom …"}) {
			t.Errorf("%d lines, which end with %q", n, lines)
		}
	})
}

func TestProgressThatIsHeldBackIsWrittenLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		v := newView(&log)
		defer v.close()

		v.show(active(0, 2, ""))
		v.show(active(1, 2, "half"))
		time.Sleep(logEvery + time.Second + time.Millisecond)
		synctest.Wait()

		if want := "active 0%\nactive 50%: half\n"; log.String() != want {
			t.Errorf("it writes %q, want %q", log.String(), want)
		}
	})
}
