// Package model is the protocol of leases in miniature, and a search through everything that can happen to it.
//
// Two workers share one task. Redis keeps its record: who holds it, under which token and nonce, until when. Calls travel
// as messages, which may be lost, arrive late or arrive twice, in any order. Workers freeze, die and wake up. The clock
// moves on in steps. Redis fails over to a replica that has not seen its newest writes.
//
//	worker ──dequeue──▶ ┌────────────────────────┐
//	       ◀──lease──── │ record: state, token,  │ ──replication, behind──▶ replica
//	       ──complete─▶ │ nonce, end of lease    │
//	       ◀──answer─── └────────────────────────┘
//
// [Search] visits every state that can be reached within the bounds of a [Protocol], breadth first, and returns the
// shortest way to one in which something is wrong; nil if there is none. What must never be:
//
//   - two attempts that both succeed in the surviving history of Redis;
//   - a worker that is told "accepted" although another had been given the task before its outcome was taken;
//   - a lease that is extended or ended by another than its holder.
//
// The search is complete within its bounds, and says nothing beyond them. It knows the protocol, not the code: the tests of
// internal/store hold the scripts against a model of theirs, and package chaos the whole against the world.
package model

import (
	"fmt"
	"slices"
	"strings"
)

// Protocol says which safeguards there are, and how far to search. The zero value has no safeguards.
type Protocol struct {
	Fencing bool // a write names the token of its lease
	Nonce   bool // … and a number that only its holder knows
	// Equality accepts a token only if it is the one on record; without it, any that is not lower.
	Equality bool
	// Clock makes a token at least the time, so that it rises also when the counter has gone back.
	Clock bool

	Leases    int // how many leases are handed out at most
	Time      int // how many steps the clock makes at most; a lease lasts one
	Failovers int // how many times Redis loses its newest writes
	Doubles   int // how many messages arrive twice
}

// The parts of a state are small numbers, so that a state is a value that can be compared and kept by the million.
type (
	// record is the task in Redis.
	record struct {
		state  state
		token  int8 // last token handed out, also when nobody holds the task
		nonce  int8 // of the holder; 0: nobody's
		until  int8 // end of the lease
		holder int8 // which lease it is, counted over all; what the checks know and the protocol does not
		ended  int8 // how many attempts have succeeded
	}
	// lease is what a worker was given: it may have run out long ago, and the worker may not know.
	lease struct {
		token, nonce int8
		sent         bool // its completion is on its way, or was
		known        int8 // what its worker was told: 0 nothing, 1 accepted, 2 refused
	}
	// message is a completion or an extension under way; the zero value is no message.
	message struct {
		kind  kind
		lease int8 // 1, 2, …
	}
)

type state int8

const (
	pending state = iota
	active
	completed
)

type kind int8

const (
	none kind = iota
	completion
	extension
)

const (
	mostLeases   = 4
	mostMessages = 2
)

// world is one state of everything.
type world struct {
	now       int8
	epoch     int8 // how many failovers there have been
	doubles   int8
	handed    int8 // leases handed out, also such as were lost since
	primary   record
	replica   record
	leases    [mostLeases]lease
	messages  [mostMessages]message // sorted
	violation fault
}

type fault int8

const (
	fine fault = iota
	twoEndings
	lateAcceptance
	stolenLease
)

var sentences = map[fault]string{
	twoEndings:     "two attempts have succeeded in the history that survives",
	lateAcceptance: "an outcome was accepted although another worker had been given the task",
	stolenLease:    "a lease was extended by another than its holder",
}

// Counterexample is the shortest way to something that must not be.
type Counterexample struct {
	What  string
	Steps []string
}

func (c *Counterexample) String() string {
	var text strings.Builder
	text.WriteString(c.What + ":")
	for i, s := range c.Steps {
		fmt.Fprintf(&text, "\n  %d. %s", i+1, s)
	}
	return text.String()
}

// Search looks at every state that p can reach. It returns the number of states, and the shortest way to a fault.
func Search(p Protocol) (states int, found *Counterexample) {
	type origin struct {
		from world
		step string
	}
	begin := world{}
	seen := map[world]origin{begin: {}}
	for queue := []world{begin}; len(queue) > 0; {
		var next []world
		for _, w := range queue {
			p.steps(w, func(step string, to world) {
				slices.SortFunc(to.messages[:], compare)
				if _, known := seen[to]; known || found != nil {
					return
				}
				seen[to] = origin{w, step}
				next = append(next, to)
				if to.violation != fine {
					found = &Counterexample{What: sentences[to.violation]}
					for at := to; at != begin; at = seen[at].from {
						found.Steps = append(found.Steps, seen[at].step)
					}
					slices.Reverse(found.Steps)
				}
			})
			if found != nil {
				return len(seen), found
			}
		}
		queue = next
	}
	return len(seen), nil
}

func compare(a, b message) int {
	if a.kind != b.kind {
		return int(a.kind) - int(b.kind)
	}
	return int(a.lease) - int(b.lease)
}
