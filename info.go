package seri

import "time"

// Info is everything on record about a task at one moment. Zero times mean "not (yet)".
type Info struct {
	ID    string
	Type  string
	Queue string
	// Partition is the number of the partition that has the task, of a queue that is divided; 0 otherwise.
	Partition int
	Owner     string
	State     State
	Reason    Reason // why, for an ended task and some waiting ones
	Payload   []byte
	Headers   map[string]string

	Attempt    int // number of the newest attempt; 0: none has started. One that was handed back or lost its worker starts again under its number
	MaxRetries int
	Crashes    int // times that the task's worker vanished
	Timeout    time.Duration
	Deadline   time.Time
	Expires    time.Time
	Retention  time.Duration

	Progress *ProgressInfo // nil: none reported in this attempt
	Result   []byte        // JSON, of a succeeded task
	Error    string        // of the last failed attempt

	EnqueuedAt time.Time
	DueAt      time.Time // start, or next attempt, of a scheduled or retrying task
	StartedAt  time.Time // of the last attempt
	FinishedAt time.Time

	// Seq is the number of the task's last event; it rises by one with every change.
	Seq uint64
}
