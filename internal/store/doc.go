// Package store is the state machine of a task in Redis. Each transition is one Lua script: one .lua file whose header
// is its contract, one .go file with the method that calls it, one test.
//
//	          enqueue                    dequeue
//	(new) ─────────────▶ pending ──────────────────▶ active ──complete──▶ completed ──purge──▶ (deleted)
//	  │                  ▲  ▲  ▲ ◀──── requeue ─────┘ │ │ │
//	  │ enqueue, later   │  │  └────── recover ───────┘ │ └──archive───▶ archived ───purge──▶ (deleted)
//	  └──▶ scheduled ────┘  └─forward── retry ◀──retry──┘                   ▲
//	             forward                                                    └─ revoke, from any state but active
//
// The states are asynq's, and so is the layout, so that asynq's clients, Inspector and CLI read and write the same
// tasks; docs/states.md maps them to the words of package seri.
//
// # Guarantees
//
//   - A batch is one call. A task that is refused leaves nothing behind and no other task of its batch suffers.
//   - A worker's write about a task names the token and the nonce of its lease. Unless both equal those on record and the
//     task is active, nothing changes and the answer is a [*seri.FencedError].
//   - A write may be repeated after a lost reply: a lease that its holder has ended answers as if for the first time.
//   - A change and its event are one write; the events of a task are numbered 1, 2, 3, … without a gap.
//   - Time is Redis' own.
//
// # Not promised
//
// Stock asynq servers do not know tokens: on a queue that one of them consumes, it may end what a Seri worker holds.
package store
