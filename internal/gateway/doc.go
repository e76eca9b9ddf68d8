// Package gateway serves live events to browsers and other clients, over Server-Sent Events ([Gateway.SSE]) and
// WebSocket ([Gateway.WebSocket]). Both carry the same frames, CloudEvents in JSON, one to a message.
//
// # Request
//
// A GET with any of the parameters task, owner, queue, type and schedule, each at most once; those given must all be true of an
// event, none given means everything. The first frame is a snapshot of what is asked for; then follows every later event.
//
// With ?after=<cursor> (or, for SSE, the header Last-Event-ID, which wins because a browser sends it when it reconnects)
// there is no snapshot: the first frame is the first event after the cursor. The cursor of each frame is its attribute
// "cursor"; in SSE it is also the event's id.
//
// Before the stream begins, faults are answered as problem+json (RFC 9457): 422 for parameters that are wrong, with the
// place of each, 403 for a foreign Origin, 404 for a task that does not exist, 426 for a request at the WebSocket that does
// not ask properly for one, 503 with Retry-After when Redis cannot be read or the gateway does not run.
//
// # Commands
//
// A WebSocket of the subprotocol seri.v1 has no parameters: its client says by messages what it wants to watch, as often as
// it likes. All of it is one stream with one cursor. [AsyncAPI] is the contract.
//
// # Who may watch what
//
// With [Config.Tokens], a request needs a token (package token) or must be [Trusted]. What a token leaves open in a request
// it fills in; for more than it allows the answer is 403, whether that exists or not. Over seri.v1 each thing that is asked
// for needs a token that allows it, and ends when none is left. Connections are bounded in all (503), by key or token, and by
// address (429).
//
// # End
//
// A stream stays open after its task has ended, until the client closes it. Otherwise it ends
//
//   - when the client does not keep up, and has not asked for events at most once: WebSocket close 1013, reason
//     "reason=slow&after=<cursor>"
//   - when its token expires: close 1008, reason "reason=expired"
//   - when another begins to read for its consumer, or that is deleted: close 1008, reason "reason=taken"; when the consumer
//     acknowledges nothing for too long: reason "reason=unacknowledged"
//   - when the gateway stops: close 1001, reason "reason=stopping&reconnect_ms=<delay>"; the delays are spread, so that
//     the clients do not come back all at once
//   - when Redis cannot be read at a moment when it must be: close 1011, reason "reason=unavailable&reconnect_ms=<delay>"
//   - when the client sends what it must not, too much of it, or asks for nothing: close 1008 with "reason=unexpected",
//     "reason=rate&reconnect_ms=60000" or "reason=idle"; of frames that are not those of RFC 6455, texts that are not UTF-8, and
//     messages that are too long, 1002, 1007 and 1009 with "reason=protocol", "encoding" or "size", and a detail
//
// A reason is a query string. The cursor is left out where it does not fit into the 123 bytes of a reason; the last
// frame has it too. In SSE a stream just ends; the delay comes before as "retry:", and EventSource resumes by itself.
package gateway
