// Package wire turns asynq's messages and our own frames into bytes and back. Every function in it is pure:
// no Redis, no clock, no state.
//
// There are two families:
//
//   - What asynq's clients, servers and Inspector read and write in Redis, in protobuf: [Message], [ServerInfo],
//     [WorkerInfo], [SchedulerEntry], [SchedulerEnqueueEvent].
//   - What our API and live subscriptions send, in JSON: [Task], [CloudEvent], [Snapshot], [Gap].
//
// # Promises of the protobuf half
//
// The layout is that of asynq v0.26 (internal/proto/asynq.proto). asynq does not export its generated code, so
// the few messages are encoded by hand here; tests hold them against asynq itself and against protobuf's own decoder.
//
//   - Equal values have equal bytes: fields are written in the order of their numbers, map entries in the order of
//     their keys, zero values not at all. (asynq's own bytes vary with Go's map order; so compare values, not bytes.)
//   - Encoding cannot fail. Text that is not valid UTF-8, which asynq refuses to encode or decode, is repaired:
//     each run of bad bytes becomes one U+FFFD. Integers beyond int32 become the nearest int32 where asynq keeps 32 bits.
//   - Decoding accepts what asynq accepts and refuses what it refuses: fields in any order, the last of several
//     equal fields wins, invalid UTF-8 and cut-off input are errors.
//   - Decoding does not keep unknown fields, and neither does asynq when it rewrites a message. New knowledge about a
//     task belongs in extra fields of its hash, not in new field numbers.
package wire
