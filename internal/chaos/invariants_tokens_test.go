package chaos_test

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
)

// checkTokens is I3: a token is handed out once, and tokens rise in the order of the stream.
func checkTokens(h *history) (faults []string) {
	type grant struct {
		queue keys.Queue
		token uint64
	}
	granted := make(map[grant]note)
	for _, s := range h.tasks {
		for _, n := range s.starts {
			g := grant{s.queue, n.token}
			if other, twice := granted[g]; twice {
				faults = append(faults, fmt.Sprintf("I3: token %d was handed out twice: to process %d for %s, and to process %d for %s",
					n.token, other.pid, other.id, n.pid, n.id))
			}
			granted[g] = n
		}
	}
	for q, events := range h.byQueue {
		last := grant{}
		for _, e := range events {
			s := h.tasks[e.Task]
			if e.Kind != seri.EventStarted || s.tampered {
				continue
			}
			token, known := s.tokenOf(e)
			if known && token <= last.token {
				faults = append(faults, fmt.Sprintf("I3: token %d was handed out after token %d, in queue %s: %s", token, last.token, q, s.tell()))
			}
			if known {
				last.token = token
			}
		}
	}
	return faults
}

// tokenOf returns the token under which a task was started, if the ledger of its worker has as many starts as the stream;
// a worker that died, or whose answer was lost, has noted fewer.
func (s *story) tokenOf(started *event) (uint64, bool) {
	if s.atLoss {
		return 0, false
	}
	place, of := 0, 0
	for _, e := range s.events {
		if e.Kind == seri.EventStarted && e.pid == started.pid {
			if e == started {
				place = of
			}
			of++
		}
	}
	var tokens []uint64
	for _, n := range s.starts {
		if n.pid == started.pid {
			tokens = append(tokens, n.token)
		}
	}
	if len(tokens) != of {
		return 0, false
	}
	return tokens[place], true
}

// checkHolders is I4 (and with I3 the heart of it): who was told that its outcome is accepted was the last to hold the
// task, and nobody was given it afterwards.
func checkHolders(h *history) (faults []string) {
	for _, s := range h.tasks {
		if s.tampered || s.atLoss {
			continue
		}
		for _, n := range s.accepted {
			final := n.more == "succeeded" || n.more == "archived"
			for _, other := range s.starts {
				if final && other.token > n.token {
					faults = append(faults, fmt.Sprintf("I4: token %d was accepted although token %d had been handed out: %s", n.token, other.token, s.tell()))
				}
			}
			if final && !h.clocks && s.endedBy() != n.pid {
				faults = append(faults, fmt.Sprintf("I4: process %d was told that it has ended a task that process %d held: %s", n.pid, s.endedBy(), s.tell()))
			}
		}
	}
	return faults
}

// endedBy returns the process that held the task when it ended.
func (s *story) endedBy() (pid int) {
	for _, e := range s.events {
		if e.Kind == seri.EventStarted {
			pid = e.pid
		}
	}
	return pid
}

// checkLeases is the other half of I4: a lease is not taken from its holder before its end, which is a lease's length after
// it was given, or after the holder asked for more and got it. In a quiet run none is taken at all.
func checkLeases(h *history) (faults []string) {
	const rounding = 2_000 // events tell milliseconds
	for _, s := range h.tasks {
		if s.tampered || h.clocks {
			continue
		}
		var started int64
		for _, e := range s.events {
			at := e.Time.UnixMicro()
			if e.Kind == seri.EventStarted {
				started = at
			}
			if e.Data.Reason != "crashed" && e.Data.Reason != seri.ReasonPoison {
				continue
			}
			if h.quiet {
				faults = append(faults, "I4: a lease was taken from a worker that nothing had happened to: "+s.tell())
			}
			if at < started+h.lease-rounding {
				faults = append(faults, fmt.Sprintf("I4: a lease was taken %d µs after it was given: %s", at-started, s.tell()))
			}
			for _, n := range s.extended {
				if started-rounding <= n.at && n.at < at && at < n.at+h.lease-rounding && !s.atLoss && !h.losing(n.at) {
					faults = append(faults, fmt.Sprintf("I4: a lease was taken %d µs after its holder had it extended: %s", at-n.at, s.tell()))
				}
			}
		}
	}
	return faults
}

// checkRegister is I10: whoever's outcome Redis accepted, no newer holder had written to the resource outside.
func checkRegister(h *history) (faults []string) {
	for _, s := range h.tasks {
		if s.tampered || s.atLoss {
			continue
		}
		for _, n := range s.accepted {
			if seen := h.highest[s.id]; n.more == "succeeded" && seen > n.token {
				faults = append(faults, fmt.Sprintf("I10: token %d was accepted, and the register had seen token %d: %s", n.token, seen, s.tell()))
			}
		}
	}
	return faults
}

// checkSecrets is I14: what tasks carry stands in no log and in no event.
func checkSecrets(h *history) (faults []string) {
	slices.Sort(h.leaks)
	for _, where := range slices.Compact(h.leaks) {
		faults = append(faults, "I14: the secret of a task stands in "+where)
	}
	return faults
}

// recoveries returns how long it took until somebody had the tasks of a worker that was killed, in µs.
func (h *history) recoveries() (took []int64) {
	for _, s := range h.tasks {
		for i, e := range s.events {
			if e.Kind != seri.EventStarted || i < 2 || s.events[i-1].Kind != seri.EventQueued || s.events[i-1].Data.Reason != "crashed" {
				continue
			}
			for _, before := range slices.Backward(s.events[:i-1]) {
				if before.Kind == seri.EventStarted {
					// A worker that was frozen before it was killed may have lost its task earlier.
					if death := h.deaths[before.pid]; before.Time.UnixMicro() < death && death < s.events[i-1].Time.UnixMicro() {
						took = append(took, e.Time.UnixMicro()-death)
					}
					break
				}
			}
		}
	}
	slices.Sort(took)
	return took
}

func containsSecret(text string) bool { return strings.Contains(text, secret) }
