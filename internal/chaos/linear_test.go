package chaos_test

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// I11: histories of locks and of unique enqueues must be linearizable: there is an order of the calls, in keeping with the
// times at which they began and ended, in which each answer is right. A call without an answer may have had its effect at
// any time since, or never.

// operation is one call about one key.
type operation struct {
	key          string
	what, answer string // answer "unknown": none came
	token        uint64
	from, to     int64 // Unix µs; to is far away if no answer came
	client       int
}

// holding is the state of a lock: who has it (0: nobody, nameless: somebody who was not told), and the newest token.
type holding struct{ holder, last uint64 }

const nameless = math.MaxUint64

// repeatAfter is how long a release that had to be repeated takes at least, in µs. A lock remembers its last 32 releases, so
// that a repeated one is answered as the first was; after more of them it is told that the lock is another's.
const repeatAfter = 50_000

func lockStep(state, input, output any) []any {
	s, _ := state.(holding)
	op, _ := input.(operation)
	answer, _ := output.(operation)
	switch {
	case op.what == "try" && answer.answer == "ok":
		if s.holder == 0 && answer.token > s.last {
			return []any{holding{answer.token, answer.token}}
		}
	case op.what == "try" && answer.answer == "held":
		if s.holder != 0 {
			return []any{s}
		}
	case op.what == "try": // unknown
		if s.holder == 0 {
			return []any{s, holding{nameless, s.last}}
		}
		return []any{s}
	case answer.answer == "ok": // release
		if s.holder == op.token {
			return []any{holding{0, s.last}}
		}
	case answer.answer == "lost":
		if s.holder != op.token {
			return []any{s}
		}
		if op.to-op.from > repeatAfter { // released by the first try, whose reply was lost, and forgotten by the second
			return []any{holding{0, s.last}}
		}
	default:
		if s.holder == op.token {
			return []any{s, holding{0, s.last}}
		}
		return []any{s}
	}
	return nil
}

func uniqueStep(state, input, output any) []any {
	taken, _ := state.(bool)
	answer, _ := output.(operation)
	switch answer.answer {
	case "ok":
		if !taken {
			return []any{true}
		}
	case "duplicate":
		if taken {
			return []any{true}
		}
	default:
		return []any{taken, true}
	}
	return nil
}

var (
	lockModel = (&porcupine.NondeterministicModel{
		Init:  func() []any { return []any{holding{}} },
		Step:  lockStep,
		Equal: func(a, b any) bool { return a == b },
	}).ToModel()
	uniqueModel = (&porcupine.NondeterministicModel{
		Init:  func() []any { return []any{false} },
		Step:  uniqueStep,
		Equal: func(a, b any) bool { return a == b },
	}).ToModel()
)

// collectOperations pairs calls with answers.
func collectOperations(calls, returns []note) map[string][]operation {
	type name struct {
		pid    int
		number uint64
	}
	answers := make(map[name]note)
	for _, n := range returns {
		answers[name{n.pid, n.token}] = n
	}
	byKey := make(map[string][]operation)
	for i, n := range calls {
		what, rest, _ := strings.Cut(n.more, " ")
		op := operation{key: n.id, what: what, answer: "unknown", from: n.at, to: math.MaxInt64, client: i}
		op.token, _ = strconv.ParseUint(rest, 10, 64)
		if a, ok := answers[name{n.pid, n.token}]; ok {
			answer, token, _ := strings.Cut(a.more, " ")
			if answer != "unknown" {
				op.answer, op.to = answer, a.at
				op.token, _ = strconv.ParseUint(token, 10, 64)
			}
		}
		byKey[n.id] = append(byKey[n.id], op)
	}
	return byKey
}

func checkLinearizable(h *history) (faults []string) {
	for key, ops := range collectOperations(h.calls, h.returns) {
		h.figures.Operations += len(ops)
		model := lockModel
		if strings.HasPrefix(key, "unique-") {
			model = uniqueModel
		}
		var history []porcupine.Operation
		for _, op := range ops {
			history = append(history, porcupine.Operation{ClientId: op.client, Input: op, Output: op, Call: op.from, Return: op.to})
		}
		switch porcupine.CheckOperationsTimeout(model, history, 20*time.Second) {
		case porcupine.Illegal:
			faults = append(faults, fmt.Sprintf("I11: the history of %s is not linearizable: %s", key, tell(ops)))
		case porcupine.Unknown:
			h.figures.Unchecked++
		}
	}
	return faults
}

func tell(ops []operation) string {
	slices.SortFunc(ops, func(a, b operation) int { return int(a.from - b.from) })
	var b strings.Builder
	for _, op := range ops[:min(len(ops), 60)] {
		fmt.Fprintf(&b, "\n  %d–%d %s %d: %s", op.from, op.to, op.what, op.token, op.answer)
	}
	return b.String()
}
