package cli

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/cli/term"
	"github.com/seri-queue/seri/internal/wire"
)

// bar is what one line shows of a task: its state, a bar, percent, a message, and the time since the waiting began.
type bar struct {
	task    wire.Task
	trouble string // to be told in place of the message
	elapsed time.Duration
	now     time.Time
	ascii   bool
}

const (
	stateColumns   = len("succeeded") // the longest
	percentColumns = len("100%")
	leastBar       = 8
	mostBar        = 30
	leastMessage   = 6
)

// line returns the line in at most the given columns. What there is no room for is left
// out: first the message, then the bar.
func (b bar) line(columns int) string {
	head := term.Pad(string(b.task.State), stateColumns)
	clock := b.clock()
	room := columns - term.Columns(head) - len(clock) - 2
	middle := ""
	if fraction, known := b.fraction(); known && room >= leastBar+1+percentColumns {
		width := min(mostBar, max(leastBar, room/2), room-1-percentColumns)
		middle = b.blocks(fraction, width) + " " + strings.Repeat(" ", percentColumns-len(b.percent())) + b.percent()
	} else if room > percentColumns {
		middle = b.percent()
	}
	if middle != "" {
		room -= term.Columns(middle) + 2
	}
	message := b.trouble
	if message == "" {
		message = b.message()
	}
	parts := []string{head}
	if middle != "" {
		parts = append(parts, middle, "")
	}
	if message != "" && room >= leastMessage {
		parts = append(parts, term.Truncate(message, room-1), "")
	}
	return term.Truncate(strings.Join(append(parts, clock), " "), columns)
}

// fraction is how much is done, from 0 to 1; false if that is not known.
func (b bar) fraction() (float64, bool) {
	p := b.task.Progress
	switch {
	case b.task.State == seri.Succeeded:
		return 1, true
	case p == nil:
		return 0, b.task.State == seri.Active
	case p.Total <= 0:
		return 0, false
	}
	return min(1, max(0, float64(p.Done)/float64(p.Total))), true
}

// percent is empty where no progress is known. 100 % is said of what is complete, and not of what is nearly so.
func (b bar) percent() string {
	fraction, known := b.fraction()
	if !known || b.task.Progress == nil && b.task.State != seri.Succeeded {
		return ""
	}
	return fmt.Sprintf("%d%%", int(math.Floor(fraction*100)))
}

func (b bar) blocks(fraction float64, width int) string {
	full, empty := "█", "░"
	if b.ascii {
		full, empty = "#", "-"
	}
	done := int(fraction * float64(width))
	return strings.Repeat(full, done) + strings.Repeat(empty, width-done)
}

// message says in a few words what the state alone does not.
func (b bar) message() string {
	t := b.task
	switch t.State {
	case seri.Pending:
		return "waits for a worker"
	case seri.Scheduled:
		if t.Reason == seri.ReasonNoWorker {
			return "waits for a worker that knows the type " + term.Line(t.Type)
		}
		return "starts " + b.due()
	case seri.Retrying:
		text := "tries again " + b.due()
		if t.Reason == seri.ReasonCrashed {
			text += ", its worker has vanished"
		}
		if t.Error != "" {
			text += ": " + term.Line(firstLine(t.Error))
		}
		return text
	case seri.Failed:
		return term.Line(firstLine(t.Error))
	case seri.Revoked:
		return term.Line(string(t.Reason))
	case seri.Active:
		return b.progress()
	}
	return ""
}

func (b bar) progress() string {
	p := b.task.Progress
	if p == nil {
		return ""
	}
	message := term.Line(p.Message)
	if p.Total <= 0 && p.Done > 0 {
		return strings.TrimSpace(fmt.Sprintf("%d done %s", p.Done, message))
	}
	return message
}

// due says when the task starts, or starts again.
func (b bar) due() string {
	if b.task.DueAt == nil || !b.task.DueAt.After(b.now) {
		return "now"
	}
	return until(*b.task.DueAt, b.now)
}

// clock is the elapsed time, minutes and seconds.
func (b bar) clock() string {
	s := int(b.elapsed / time.Second)
	if s >= 3600 {
		return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
	}
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}

// until is a time to come: "in 4s", and beyond what anybody counts in days, "on 2031-05-17".
func until(when, now time.Time) string {
	const countable = 30 * 24 * time.Hour
	if d := when.Sub(now); d <= countable {
		return "in " + span(d)
	}
	return "on " + when.UTC().Format(time.DateOnly)
}

// span is a duration in its greatest unit that tells enough: 250ms, 4s, 3m, 5h, 12d.
func span(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", int(d.Round(time.Second)/time.Second))
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", int(d.Round(time.Minute)/time.Minute))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Round(time.Hour)/time.Hour))
	}
	return fmt.Sprintf("%dd", int(d/(24*time.Hour)))
}

func firstLine(s string) string {
	line, _, more := strings.Cut(strings.TrimSpace(s), "\n")
	if more {
		return line + " …"
	}
	return line
}
