// Package keys names every Redis key that Seri touches: its own and asynq's. Keys are a public API: other programs read
// them, operators look at them at three in the morning, so each is declared once, in [Registry], with its type, its
// owner and its life. docs/keys.md is printed from that table and `seri keys --audit` checks a live Redis against it.
//
// All keys of a queue carry the hash tag {queue}, so that one script may touch them together on a Redis Cluster.
package keys

import (
	"crypto/md5"
	"encoding/hex"
	"strconv"
	"strings"
)

// Keys of no queue.
const (
	Queues  = "asynq:queues"
	Servers = "asynq:servers"
	Workers = "asynq:workers"

	// Cancel is the pub/sub channel on which a task ID asks whoever runs it to look for a revocation.
	Cancel = "asynq:cancel"

	// Types is a zset of worker ID by expiry (Unix seconds): who has published its task types.
	Types = "seri:v1:{types}"
)

// Partitions is a hash of queue by number of partitions: into how many each divided queue is divided.
const Partitions = "seri:v1:{partitions}"

// Server returns the key of a worker process's asynq server info. id is "host:pid:id".
func Server(id string) string { return "asynq:servers:{" + id + "}" }

// Running returns the key of the hash of tasks that a worker process is running, for asynq's readers.
func Running(id string) string { return "asynq:workers:{" + id + "}" }

// TypesOf returns the key of the task types, with their JSON Schemas, that one worker process can run.
func TypesOf(id string) string { return "seri:v1:{types}:" + id }

// Idempotency returns the key of the record of an HTTP request with an Idempotency-Key. digest is a hex SHA-256.
func Idempotency(digest string) string { return "seri:v1:idem:{" + digest + "}" }

// Lock returns the key of a named fenced lock's holder.
func Lock(name string) string { return "seri:v1:lock:{" + name + "}" }

// LockFence returns the key of the last token that was handed out for a named lock.
func LockFence(name string) string { return Lock(name) + ":fence" }

// LockQueue returns the key of the zset of those who wait for a named lock, by arrival.
func LockQueue(name string) string { return Lock(name) + ":queue" }

// LockPresence returns the key of the zset of those who wait for a named lock, by until when each counts as present.
func LockPresence(name string) string { return Lock(name) + ":presence" }

// LockBells is what precedes a waiter's nonce in the key of its bell: a list of at most one.
func LockBells(name string) string { return Lock(name) + ":bell:" }

// LockGuard returns the key of the value that only the newest holder of a named lock may write.
func LockGuard(name string) string { return Lock(name) + ":guard" }

// BeatFile returns the key of the hash that tells which file of schedules was applied by the beats that lead under a lock.
func BeatFile(lock string) string { return "seri:v1:beat:{" + lock + "}" }

// Beats is a hash of lock by what the beats tell that lead under it: which queues' schedules they cannot serve.
const Beats = "seri:v1:{beats}"

// Consumers is a zset of the names of consumers of live events, by until when each is remembered.
const Consumers = "seri:v1:{consumers}"

// Consumer returns the key of the hash of what a named consumer of live events has acknowledged. A queue of the name
// "consumers" has no such key.
func Consumer(name string) string { return Consumers + ":named:" + name }

// Queue is a queue's name. Its methods return the queue's keys.
type Queue string

func (q Queue) asynq(suffix string) string { return "asynq:{" + string(q) + "}:" + suffix }
func (q Queue) own(suffix string) string   { return "seri:v1:{" + string(q) + "}:" + suffix }

// TaskPrefix is what precedes a task's ID in the key of its hash.
func (q Queue) TaskPrefix() string { return q.asynq("t:") }

// Task returns the key of a task's hash.
func (q Queue) Task(id string) string { return q.TaskPrefix() + id }

// Pending returns the key of the list of tasks that may start, newest first.
func (q Queue) Pending() string { return q.asynq("pending") }

// Active returns the key of the list of leased tasks.
func (q Queue) Active() string { return q.asynq("active") }

// Lease returns the key of the zset of leased tasks by expiry, in Unix seconds with a fraction.
func (q Queue) Lease() string { return q.asynq("lease") }

// Scheduled returns the key of the zset of tasks by start, in whole Unix seconds.
func (q Queue) Scheduled() string { return q.asynq("scheduled") }

// Retry returns the key of the zset of failed tasks by next attempt, in whole Unix seconds.
func (q Queue) Retry() string { return q.asynq("retry") }

// Archived returns the key of the zset of failed and revoked tasks by their end, in whole Unix seconds.
func (q Queue) Archived() string { return q.asynq("archived") }

// Completed returns the key of the zset of succeeded tasks by when they may be deleted, in whole Unix seconds.
func (q Queue) Completed() string { return q.asynq("completed") }

// Paused returns the key that exists while the queue is paused.
func (q Queue) Paused() string { return q.asynq("paused") }

// Processed returns the key of the count of attempts that ended, ever. A day's count is at this key, ":" and the UTC date.
func (q Queue) Processed() string { return q.asynq("processed") }

// Failed returns the key of the count of attempts that failed, ever. A day's count is at this key, ":" and the UTC date.
func (q Queue) Failed() string { return q.asynq("failed") }

// Unique returns the key of the uniqueness lock of tasks of this type and payload, as asynq forms it.
func (q Queue) Unique(typ string, payload []byte) string {
	if payload == nil {
		return q.asynq("unique:" + typ + ":")
	}
	sum := md5.Sum(payload)
	return q.asynq("unique:" + typ + ":" + hex.EncodeToString(sum[:]))
}

// UniquePrefix is what every uniqueness lock's key of the queue begins with.
func (q Queue) UniquePrefix() string { return q.asynq("unique:") }

// Fence returns the key of the last fencing token that was handed out.
func (q Queue) Fence() string { return q.own("fence") }

// Due returns the key of the zset of scheduled and retrying tasks by their exact time, in Unix milliseconds.
func (q Queue) Due() string { return q.own("due") }

// Wake returns the key of the doorbell that tells the forwarder of an earlier due time: a list of at most one.
func (q Queue) Wake() string { return q.own("wake") }

// Events returns the key of the stream of the queue's events.
func (q Queue) Events() string { return q.own("events") }

// Live returns the channel to which the queue's events are published where they are not kept in a stream.
func (q Queue) Live() string { return q.own("live") }

// AllLive is the pattern of the channels of all queues.
const AllLive = "seri:v1:{*}:live"

// OfLive returns the queue of a channel; false if it is none of them.
func OfLive(channel string) (Queue, bool) {
	name, ok := strings.CutPrefix(channel, "seri:v1:{")
	if !ok {
		return "", false
	}
	name, ok = strings.CutSuffix(name, "}:live")
	return Queue(name), ok
}

// Published returns the key of the number of the last entry that was published.
func (q Queue) Published() string { return q.own("published") }

// Repairs returns the key of the hash that counts what was repaired in the queue.
func (q Queue) Repairs() string { return q.own("repairs") }

// Trimmed returns the key of the total of archived tasks that were deleted.
func (q Queue) Trimmed() string { return q.own("trimmed") }

// Turn returns the key of the worker whose turn it is to look the queue over for what cannot be.
func (q Queue) Turn() string { return q.own("turn") }

// Cursor returns the key of the place among the server's keys where the search for stray tasks goes on.
func (q Queue) Cursor() string { return q.own("cursor") }

// Log returns the key of a task's own log.
func (q Queue) Log(id string) string { return q.own("log:" + id) }

// Owner returns the key of the zset of an owner's tasks by when they were enqueued, in Unix milliseconds.
func (q Queue) Owner(label string) string { return q.own("owner:" + label) }

// OwnerPrefix is what precedes the label in [Queue.Owner].
func (q Queue) OwnerPrefix() string { return q.own("owner:") }

// Schedule returns the key of the hash that holds a schedule: its definition, its next tick, and what became of earlier ones.
func (q Queue) Schedule(id string) string { return q.own("schedule:" + id) }

// History returns the key of the list of what became of a schedule's newest ticks.
func (q Queue) History(id string) string { return q.own("history:" + id) }

// Partition returns partition i of q, a queue to Redis and to stock programs. Partition 0 is q itself, so that a queue keeps
// what it has when it is divided.
func (q Queue) Partition(i int) Queue {
	if i == 0 {
		return q
	}
	return Queue(string(q) + ":" + strconv.Itoa(i))
}

// Schedules returns the key of the zset of the queue's schedules by next tick, in Unix seconds; +inf: it does not tick.
func (q Queue) Schedules() string { return q.own("schedules") }

// Edited returns the key of the zset of schedules that were changed at run time, by the number of their last change.
func (q Queue) Edited() string { return q.own("edited") }

// Beat returns the key of the hash of what beats have to know of the queue: the last token that wrote schedules, for each
// lock under which beats lead, and the number of the last change of a schedule at run time.
func (q Queue) Beat() string { return q.own("beat") }

// OfTask splits the key of a task's hash into queue and ID; false for any other key.
func OfTask(key string) (q Queue, id string, ok bool) {
	rest, ok := strings.CutPrefix(key, "asynq:{")
	if !ok {
		return "", "", false
	}
	name, id, ok := strings.Cut(rest, "}:t:")
	if !ok {
		return "", "", false
	}
	return Queue(name), id, true
}
