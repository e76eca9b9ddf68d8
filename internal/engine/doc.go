// Package engine is a worker's inside.
//
//	fetcher ──leases──▶ slots ──outcomes──▶ completer ──▶ Redis
//	                      │ progress ─▶ reporter ───────▶
//	                      └ leases ◀── heartbeat ───────▶  (lost or revoked: the handler's context ends)
//
// The fetcher asks for as many tasks as there are free slots, in one call for each queue; the completer writes whatever
// has finished since its last call, in one call for each kind of outcome. So an idle worker pays one round trip a task and
// a busy one shares it among many, without a timer.
//
// Beside them run a forwarder for each queue (tasks whose time has come), a caretaker (tasks whose worker vanished,
// results whose retention is over), a sweeper (repairs, once a minute by one of the workers), and the announcer (what asynq's readers and the API know of this process).
package engine
