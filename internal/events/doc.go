// Package events follows the event streams of all queues and hands each event to whoever watches for it.
//
// Use [New], run the hub with [Hub.Run], and subscribe with [Hub.Subscribe]; then call [Subscription.Next] in a loop.
//
//	stream of queue a ──tail──┐                       ┌─▶ subscription: task=…
//	stream of queue b ──tail──┼─▶ hub: one order ─────┼─▶ subscription: owner=…
//	stream of queue c ──tail──┘   each event encoded  └─▶ subscription: everything
//	                              once
//
// One reader follows each stream, however many watch. The hub puts the events of all queues into one order; the
// positions that it has reached in every queue after an event are that event's cursor, for all who have come so far.
//
// # A subscription's life
//
// A new subscription notes the hub's positions, joins it, reads a snapshot of its tasks, and hands out the snapshot and
// then what came after those positions. What the snapshot already shows (an event of a task whose number is not above
// the snapshot's) is left out.
//
// A resumed subscription has no snapshot. It reads from its cursor on until it has reached the ends of the streams, joins
// the hub, reads what lies between its own positions and the hub's, and goes on with the hub. The hub keeps its newest
// events in memory, bounded in bytes, so that those who come back together after a restart are served without Redis; what
// came before is read from the streams, once for all who need the same. Who is far behind tells his reader now and then
// where he is, and if he is cut, goes on there. Where a stream no longer has what the cursor asks for, the subscriber gets
// a gap frame and a fresh snapshot.
//
// A gathering ([Hub.Gather]) is a subscription about many things, which are added and removed as it goes on. It has one
// cursor, and each event comes once, though it may meet several of them.
//
// # Guarantees
//
//   - After its snapshot, or its cursor, a subscription gets every event that matches its filter, each once, in the
//     order of its queue. Events of different queues have no order among each other.
//   - What cannot be had any more is announced, and a fresh snapshot follows: by a gap frame, which names the range, where a
//     stream was trimmed, and by a reset frame where it was deleted or went back in a failover.
//   - Of a reader that is slow, progress events are left out that a later event of their task has made old; that event says
//     how many. No other event is left out.
//   - A subscription's memory is bounded. One that does not take its events ends with a [SlowError]; it can be resumed
//     from its last frame's cursor. One that is to lose events instead ([Subscription.LetGo]) is told how many, in their place.
//
// # What is not promised
//
//   - A resumed subscription does not know its earlier snapshot: resumed at the cursor of that snapshot, or of a frame
//     soon after it, it gets events that the snapshot had shown. (Each event says its task's number, and so does the
//     snapshot.)
//   - A gap may be announced although nothing was missed, for example when the entry that a cursor points at was trimmed
//     and Redis is too old (before 7.0) to say how many followed it. The contrary does not happen.
//   - A task that is deleted, and enqueued anew under the same id, in the milliseconds in which a snapshot is read may
//     show its old life's last events after the snapshot.
//   - How far a cursor reaches back is how long Redis keeps the stream; what the hub keeps in memory is no promise.
package events
