package wire

import (
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// SchedulerEntry is one periodic task as its scheduler shows it: an item of the list asynq:schedulers:{host:pid:id}.
// The numbers are those of the protobuf fields.
type SchedulerEntry struct {
	ID       string    // 1
	Spec     string    // 2; such as "@every 30s" or "0 6 * * *"
	TaskType string    // 3
	Payload  []byte    // 4
	Options  []string  // 5; as Go calls: `Queue("mail")`, `MaxRetry(3)`, `Timeout(30s)`, `Unique(1h0m0s)`, `Retention(1h0m0s)`
	Next     time.Time // 6
	Prev     time.Time // 7; zero if it never ran
}

// Encode returns e in asynq's encoding. It cannot fail; see the package comment for what is repaired. Options without
// a "(" are left out, since asynq's Inspector panics on them; it ignores calls that it does not know.
func (e *SchedulerEntry) Encode() []byte {
	var b []byte
	b = appendText(b, 1, validUTF8(e.ID))
	b = appendText(b, 2, validUTF8(e.Spec))
	b = appendText(b, 3, validUTF8(e.TaskType))
	b = appendBytes(b, 4, e.Payload)
	for _, option := range e.Options {
		if strings.Contains(option, "(") {
			b = protowire.AppendString(protowire.AppendTag(b, 5, protowire.BytesType), validUTF8(option))
		}
	}
	b = appendTime(b, 6, e.Next)
	return appendTime(b, 7, e.Prev)
}

// SchedulerEnqueueEvent records that a scheduler has enqueued a task: a member of the sorted set
// asynq:scheduler_history:<entry id>, whose score is the same time in Unix seconds.
type SchedulerEnqueueEvent struct {
	TaskID     string    // 1
	EnqueuedAt time.Time // 2
}

// Encode returns e in asynq's encoding. It cannot fail; see the package comment for what is repaired.
func (e *SchedulerEnqueueEvent) Encode() []byte {
	b := appendText(nil, 1, validUTF8(e.TaskID))
	return appendTime(b, 2, e.EnqueuedAt)
}
