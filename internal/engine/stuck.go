package engine

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/seri-queue/seri"
)

// errIgnored is the error of an attempt whose handler goes on although its context has ended.
var errIgnored = errors.New("the handler ignores the end of its context")

// warden looks for handlers that ignore the end of their context: Go cannot end them. It ends their attempts, so that the
// tasks can run elsewhere, and writes their slots off, until they return after all. When no slot is left it ends the
// worker, for a new process has them all again.
type warden struct {
	slots    *slots
	registry *registry
	after    time.Duration // how long a handler may go on
	logger   *slog.Logger

	seen map[*attempt]time.Time // when each was first found to go on
}

func (w *warden) run(ctx context.Context) error {
	ticker := time.NewTicker(max(min(w.after/4, time.Second), time.Millisecond))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if w.look(ctx); w.slots.stuck() == w.slots.size {
			return seri.ErrStuck
		}
	}
}

// look notes who goes on, and gives up those who have for too long.
func (w *warden) look(ctx context.Context) {
	now := time.Now()
	seen := make(map[*attempt]time.Time)
	stacks := sync.OnceValue(stacks)
	for _, a := range w.registry.overdue() {
		since, known := w.seen[a]
		if !known {
			since = now
		}
		seen[a] = since
		if now.Sub(since) >= w.after && w.slots.writeOff(a) {
			w.logger.ErrorContext(ctx, "slot lost: the handler ignores the end of its context", append(a.about(),
				"running_for", time.Since(a.started), "cause", context.Cause(a.ctx), "slots_left", w.slots.size-w.slots.stuck(), "stack", stacks().slot(a.slot))...)
		}
	}
	w.seen = seen
}

// about says which attempt a line of the log is about. Every line about a task begins so.
func (a *attempt) about() []any {
	return []any{"task_id", a.lease.ID(), "queue", a.lease.Queue, "type", a.lease.Message.Type, "attempt", a.lease.Attempt(), "token", a.lease.Token}
}

// maxStack is how much of the stacks of a slot is shown: those of goroutines that the handler has started belong to them.
const maxStack = 16 << 10

// stacks returns what the goroutines of each slot are at, as the profiler writes it but for the addresses. It stops the world
// once, however many slots are asked about.
func stacks() stacksBySlot {
	var profile strings.Builder
	if err := goroutines().WriteTo(&profile, 1); err != nil {
		return stacksBySlot{err: err}
	}
	found := stacksBySlot{of: make(map[string]string)}
	for stack := range strings.SplitSeq(profile.String(), "\n\n") {
		_, label, labelled := strings.Cut(stack, `"`+slotLabel+`":"`)
		slot, _, _ := strings.Cut(label, `"`)
		if !labelled || len(found.of[slot]) > maxStack {
			continue
		}
		var frames strings.Builder
		if found.of[slot] != "" {
			frames.WriteByte('\n')
		}
		for line := range strings.Lines(stack) {
			if frame, ok := strings.CutPrefix(line, "#\t"); ok {
				_, frame, _ = strings.Cut(frame, "\t")
				frames.WriteString(strings.TrimSuffix(frame, "\n") + "\n")
			}
		}
		found.of[slot] += frames.String()
	}
	return found
}

// stacksBySlot is what the goroutines of slots were at, at one moment.
type stacksBySlot struct {
	of  map[string]string
	err error
}

func (s stacksBySlot) slot(slot string) string {
	stack := s.of[slot]
	switch {
	case s.err != nil:
		return s.err.Error()
	case stack == "":
		return "not found: the handler has given its goroutine labels of its own"
	}
	return stack[:min(len(stack), maxStack)]
}
