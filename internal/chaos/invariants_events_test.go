package chaos_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seri-queue/seri"
)

// checkTicks is I5: each tick of a schedule was enqueued once, none was made up, and one that is missing was due while
// something was wrong: a beat makes up for the latest missed tick only, and says so.
func checkTicks(h *history) (faults []string) {
	ticks := make(map[string][]int64)
	for _, s := range h.tasks {
		if !s.scheduled || len(s.events) == 0 {
			continue
		}
		fields := strings.Split(s.id, ":")
		if len(fields) != 3 {
			faults = append(faults, "I5: a tick's task does not name its tick: "+s.tell())
			continue
		}
		tick, err := strconv.ParseInt(fields[2], 10, 64)
		period := int64(periods[fields[1]] / time.Second)
		if err != nil || period == 0 || tick%period != 0 {
			faults = append(faults, "I5: a task stands for no tick of its schedule: "+s.tell())
			continue
		}
		if first := s.events[0].Time.Unix(); first < tick && !h.clocks {
			faults = append(faults, fmt.Sprintf("I5: tick %d was enqueued at %d: %s", tick, first, s.tell()))
		}
		enqueued := 0
		for _, e := range s.events {
			if e.Seq == 1 {
				enqueued++
			}
		}
		if enqueued != 1 {
			faults = append(faults, fmt.Sprintf("I5: a tick was enqueued %d times: %s", enqueued, s.tell()))
		}
		ticks[fields[1]] = append(ticks[fields[1]], tick)
		h.figures.Ticks++
	}
	// A task that was made for a tick and does not say which: no producer of ours has handed it over.
	for id, s := range h.tasks {
		if !s.scheduled && s.tried == 0 && len(s.events) > 0 && !h.tampered[id] {
			faults = append(faults, "I5: nobody has handed this task over, and it names no tick: "+s.tell())
		}
	}
	for name, seen := range ticks {
		slices.Sort(seen)
		period := int64(periods[name] / time.Second)
		for i := 1; i < len(seen); i++ {
			for tick := seen[i-1] + period; tick < seen[i]; tick += period {
				h.figures.Missed++
				if !h.clocks && !h.disturbed(tick*1_000_000) {
					faults = append(faults, fmt.Sprintf("I5: tick %d of %s is missing, and nothing was wrong then", tick, name))
				}
			}
		}
	}
	return faults
}

// disturbed reports whether something was wrong about a beat or Redis at a time, or not long ago.
func (h *history) disturbed(at int64) bool {
	const aftermath = 4_000_000 // a beat that finds itself led by nobody takes two leases and a second to lead again
	for _, w := range h.windows {
		if !strings.HasPrefix(w.fault, "worker") && !strings.HasPrefix(w.fault, "lose-") && w.from-1_000_000 <= at && at <= w.to+aftermath {
			return true
		}
	}
	return false
}

// checkWatchers is I8: what a watcher has seen, over all its connections, is what the stream holds: no event is missing,
// none comes twice, or a gap was announced. Only what progress events tell that a later event of their task has made old
// may be left out for a watcher that is slow.
func checkWatchers(h *history) (faults []string) {
	for i, w := range h.watchers {
		h.figures.Reconnects += w.reconnects
		if w.gaps > 0 {
			h.figures.Gaps += w.gaps
			if !h.lossy() {
				faults = append(faults, fmt.Sprintf("I8: watcher %d of %s was told of %d gaps, and nothing was lost", i, w.queue, w.gaps))
			}
			continue
		}
		if wrong := h.compare(w); wrong != "" {
			faults = append(faults, fmt.Sprintf("I8: watcher %d of %s has seen %d events of %d: %s", i, w.queue, len(w.seen), len(h.byQueue[w.queue]), wrong))
		}
	}
	return faults
}

// compare returns the first thing that is wrong with what a watcher has seen.
func (h *history) compare(w *watcher) string {
	n, old := 0, make(map[string]spared) // of each task, what was not seen
	for _, e := range h.byQueue[w.queue] {
		left := old[e.Task]
		switch {
		case n < len(w.seen) && w.seen[n] == e.position:
			stands := w.standsFor[e.position]
			if stands > left.count || stands < left.count && !w.resumed(left.from, n) {
				return fmt.Sprintf("the event at %s stands for %d of progress, and %d were left out", e.position, stands, left.count)
			}
			h.figures.Conflated += left.count
			delete(old, e.Task)
			n++
		case e.Kind == seri.EventProgress:
			if left.count == 0 {
				left.from = n
			}
			left.count++
			old[e.Task] = left
		default:
			return fmt.Sprintf("%s instead of %s (%s, event %d of task %s)", at(w.seen, n), e.position, e.Kind, e.Seq, e.Task)
		}
	}
	if n < len(w.seen) {
		return fmt.Sprintf("%s after the last one", w.seen[n])
	}
	for task, left := range old {
		return fmt.Sprintf("%d events of progress of task %s were left out, and no later one was seen", left.count, task)
	}
	return ""
}

// spared are events of progress of one task that a watcher has not seen.
type spared struct {
	count int
	from  int // how many events it had seen before the first of them
}

// resumed reports whether another connection has begun between two places in what was seen: the later event of the two was
// then read from the stream, perhaps, and does not say what the former connection has left out.
func (w *watcher) resumed(from, to int) bool {
	return slices.ContainsFunc(w.begins, func(begin int) bool { return from < begin && begin <= to })
}

func (h *history) lossy() bool {
	return slices.ContainsFunc(h.windows, func(w window) bool { return w.lost > 0 })
}

func at(list []string, n int) string {
	if n < len(list) {
		return list[n]
	}
	return "nothing"
}
