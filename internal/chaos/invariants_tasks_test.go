package chaos_test

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seri-queue/seri"
)

// checkNothingIsMissing is I1: every task that was acknowledged has ended. What is missing must have been acknowledged
// while writes were being lost, after the newest write that was kept.
func checkNothingIsMissing(h *history) (faults []string) {
	for _, s := range h.tasks {
		switch {
		case s.stored == 0 && len(s.events) == 0, s.tampered:
			continue
		case len(s.events) == 0:
			lost := h.lossAt(s.stored)
			if lost == nil {
				faults = append(faults, "I1: an acknowledged task is missing: "+s.tell())
				continue
			}
			h.figures.loss(lost, s.stored)
		case !s.events[len(s.events)-1].Kind.Terminal():
			faults = append(faults, "I1: a task has not ended: "+s.tell())
		default:
			h.figures.Tasks++
		}
	}
	return faults
}

// lossAt returns the window in which what was acknowledged at a time may have been lost, the latest of several; nil if there
// is none.
func (h *history) lossAt(at int64) (latest *window) {
	const slack = 1_000_000 // an answer is noted a little after Redis gave it
	for i, w := range h.windows {
		if w.lost > 0 && w.lost*1000-1000 <= at && at <= w.to+slack && (latest == nil || w.lost > latest.lost) {
			latest = &h.windows[i]
		}
	}
	return latest
}

// checkOneEnding is I2: a task succeeds at most once in the surviving history, and is told so at most once.
func checkOneEnding(h *history) (faults []string) {
	for _, s := range h.tasks {
		if s.tampered {
			continue
		}
		succeeded, told := 0, 0
		for _, e := range s.events {
			if e.Kind == seri.EventSucceeded {
				succeeded++
			}
		}
		for _, n := range s.accepted {
			if n.more == "succeeded" && !h.losing(n.at) {
				told++
			}
		}
		if succeeded > 1 || told > 1 {
			faults = append(faults, fmt.Sprintf("I2: a task has succeeded %d times, and %d workers were told so: %s", succeeded, told, s.tell()))
		}
	}
	return faults
}

// checkEndings is I6: each end of a task has one event, and no event is without its state.
func checkEndings(h *history) (faults []string) {
	states := map[seri.EventKind]string{
		seri.EventQueued: "pending", seri.EventScheduled: "scheduled", seri.EventStarted: "active", seri.EventProgress: "active",
		seri.EventRetrying: "retry", seri.EventSucceeded: "completed", seri.EventFailed: "archived", seri.EventRevoked: "archived",
	}
	for _, s := range h.tasks {
		if s.tampered || len(s.events) == 0 {
			continue
		}
		endings := 0
		for _, e := range s.events {
			if e.Kind.Terminal() {
				endings++
			}
		}
		last := s.events[len(s.events)-1]
		record := h.records[s.id]
		switch {
		case endings > 1:
			faults = append(faults, fmt.Sprintf("I6: a task has %d endings: %s", endings, s.tell()))
		case record == nil && last.Kind == seri.EventSucceeded: // it is not kept
		case record == nil:
			faults = append(faults, "I6: the last event of a task says that it is there, and it is not: "+s.tell())
		case record["state"] != states[last.Kind]:
			faults = append(faults, fmt.Sprintf("I6: a task is %s, its last event says otherwise: %s", record["state"], s.tell()))
		}
	}
	for id := range h.records {
		if s := h.tasks[id]; (s == nil || len(s.events) == 0) && !h.tampered[id] && !slices.ContainsFunc(h.places[id], ofNobody) {
			faults = append(faults, "I6: task "+id+" is there, and no event tells of it")
		}
	}
	return faults
}

func ofNobody(place string) bool { return strings.HasPrefix(place, uniqueQueue+" ") }

// follows lists which kinds of event may come after which.
var follows = map[seri.EventKind]string{
	"":                  "queued scheduled",
	seri.EventQueued:    "started",
	seri.EventScheduled: "queued started",
	seri.EventStarted:   "progress succeeded failed retrying queued",
	seri.EventProgress:  "progress succeeded failed retrying queued",
	seri.EventRetrying:  "queued started",
	seri.EventFailed:    "trimmed",
}

// checkSequences is I7: the events of a task are numbered 1, 2, 3, … in the order of the stream, and tell a story that the
// states allow.
func checkSequences(h *history) (faults []string) {
	for _, s := range h.tasks {
		if s.tampered {
			continue
		}
		before := seri.EventKind("")
		for i, e := range s.events {
			if e.Seq != uint64(i+1) || !slices.Contains(strings.Fields(follows[before]), string(e.Kind)) {
				faults = append(faults, fmt.Sprintf("I7: event %d (%s) comes after event %d (%s): %s", e.Seq, e.Kind, i, before, s.tell()))
				break
			}
			before = e.Kind
		}
		h.figures.Events += len(s.events)
	}
	return faults
}

// checkCrashes is I13: a task is poison after exactly three crashes, and a crash costs a healthy task no retry.
func checkCrashes(h *history) (faults []string) {
	for _, s := range h.tasks {
		if s.tampered || len(s.events) == 0 {
			continue
		}
		crashes := 0
		for _, e := range s.events {
			if e.Data.Reason == seri.Reason("crashed") || e.Data.Reason == seri.ReasonPoison {
				crashes++
			}
		}
		h.figures.Crashes += crashes
		last := s.events[len(s.events)-1]
		attempts := 1
		if s.typ == flaky {
			attempts = 2
		}
		switch {
		case last.Kind == seri.EventFailed && last.Data.Reason != seri.ReasonPoison:
			faults = append(faults, "I13: a task has failed that cannot fail: "+s.tell())
		case last.Kind == seri.EventFailed && crashes != 3:
			faults = append(faults, fmt.Sprintf("I13: a task is poison after %d crashes: %s", crashes, s.tell()))
		case last.Kind == seri.EventSucceeded && crashes >= 3:
			faults = append(faults, fmt.Sprintf("I13: a task was not archived after %d crashes: %s", crashes, s.tell()))
		case s.typ == poison && last.Kind != seri.EventFailed:
			faults = append(faults, "I13: a task that ends its process has not become poison: "+s.tell())
		case last.Kind == seri.EventSucceeded && last.Data.Attempt > attempts:
			faults = append(faults, fmt.Sprintf("I13: a task took %d attempts: %s", last.Data.Attempt, s.tell()))
		}
		if last.Kind == seri.EventFailed {
			h.figures.Poison++
		}
	}
	return faults
}
