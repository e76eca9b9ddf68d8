// Package api is Seri's HTTP API. Start with [New]; [Config] says what it needs; /docs on a running server describes
// every operation.
//
//	POST   /v1/tasks                  enqueue one task
//	POST   /v1/tasks/batch            enqueue up to 1,000, with an answer for each
//	GET    /v1/tasks/{id}             state, progress, result; ?queue= saves a search
//	DELETE /v1/tasks/{id}             revoke
//	GET    /v1/queues                 all queues with their counts
//	GET    /v1/queues/{queue}/tasks   a queue's tasks of one state, in pages
//	POST   /v1/queues/{queue}/pause   and /resume
//	GET    /v1/schedules              all schedules, in pages; GET, PUT, PATCH, DELETE /v1/schedules/{id}
//	POST   /v1/schedules/{id}/pause   and /resume, /trigger, /backfill; GET …/next and …/history
//	POST   /v1/schedules/preview      the ticks of a schedule that is not saved
//	GET    /v1/types                  what can be enqueued, with JSON Schemas
//	GET    /v1/events, /v1/ws         live events, as SSE and WebSocket (package gateway)
//	GET    /healthz, /readyz          probes
//	GET    /openapi.json, /docs       the contract, for programs and for people
//
// A request passes, from the outside in: the log and the last-resort recover; in a server without API keys the guard
// against foreign pages; the route; the API key; the limits of the body; the scan for depth, duplicate keys and
// UTF-8; the fields; the payload's schema; the store. Whatever refuses it answers with a [Problem].
//
// Promised: a 202 means that the task is stored. A repeat with the same Idempotency-Key and body makes no second task,
// also at the same time, from another server, or if the server died in between; but see below. Every fault of a request is named at once, with its place. No answer and no
// log line holds a key, and no log line holds a payload.
//
// Not promised: that the task in a 202 is what the store holds by now. It is shown as it was accepted, without
// another look, by this process's clock.
//
// Not promised: that an Idempotency-Key holds back a repeat when its task has come and gone between the request's
// enqueueing and the settling of its record, which follow each other at once. It takes a task that is deleted as it
// succeeds (retention 0), and a server that dies in between, or whose settling fails, or a repeat that is answered in
// that very instant: then the record is open, nothing in the store tells of the task, and the repeat runs it again,
// under the same ID. Whoever must exclude this gives the task a retention that is longer than clients go on repeating.
package api
