package wire

import (
	"encoding/json"
	"time"

	"github.com/seri-queue/seri"
)

// Task is the JSON that the API, the snapshots and the CLI show of a task.
type Task struct {
	ID        string      `json:"id" doc:"Unique in its queue."`
	Type      string      `json:"type" example:"image.thumbnail"`
	Queue     string      `json:"queue" example:"default"`
	Partition int         `json:"partition,omitempty" doc:"Number of the partition that has the task, of a queue that is divided; absent: 0, or the queue is not divided." example:"3"`
	Owner     string      `json:"owner,omitempty" doc:"The label by which tasks can be watched." example:"user:42"`
	State     seri.State  `json:"state" enum:"scheduled,pending,active,retrying,succeeded,failed,revoked"`
	Reason    seri.Reason `json:"reason,omitempty" enum:"exhausted,permanent,poison,archived,revoked,expired,no_worker,crashed,aggregating" doc:"Why the task has ended or waits, where the state alone does not say."`

	Payload       json.RawMessage   `json:"payload,omitempty" doc:"The arguments."`
	PayloadBase64 []byte            `json:"payload_base64,omitempty" doc:"The arguments of a task whose payload is not JSON."`
	Headers       map[string]string `json:"headers,omitempty"`

	Attempt    int     `json:"attempt" doc:"Attempts so far, the running one included."`
	MaxRetries int     `json:"max_retries" doc:"How often a failed attempt is repeated."`
	Crashes    int     `json:"crashes,omitempty" doc:"Times that the task's worker vanished."`
	Timeout    float64 `json:"timeout,omitempty" doc:"Seconds that one attempt may take."`
	Retention  float64 `json:"retention" doc:"Seconds for which the result is kept."`

	Progress *seri.ProgressInfo `json:"progress,omitempty"`
	Result   json.RawMessage    `json:"result,omitempty" doc:"What the handler returned."`
	Error    string             `json:"error,omitempty" doc:"Of the last failed attempt."`

	EnqueuedAt *time.Time `json:"enqueued_at,omitempty"`
	DueAt      *time.Time `json:"due_at,omitempty" doc:"Earliest start, or next attempt."`
	StartedAt  *time.Time `json:"started_at,omitempty" doc:"Start of the last attempt."`
	FinishedAt *time.Time `json:"finished_at,omitempty"`
	ExpiresAt  *time.Time `json:"expires_at,omitempty"`
	Deadline   *time.Time `json:"deadline,omitempty"`

	Seq uint64 `json:"seq" doc:"Number of the task's last event; rises by one with every change."`
}

// NewTask returns the JSON view of info.
func NewTask(info seri.Info) Task {
	t := Task{
		ID: info.ID, Type: info.Type, Queue: info.Queue, Partition: info.Partition, Owner: info.Owner, State: info.State, Reason: info.Reason,
		Headers: info.Headers,
		Attempt: info.Attempt, MaxRetries: info.MaxRetries, Crashes: info.Crashes,
		Timeout: info.Timeout.Seconds(), Retention: info.Retention.Seconds(),
		Progress: info.Progress, Error: info.Error,
		EnqueuedAt: optional(info.EnqueuedAt), DueAt: optional(info.DueAt), StartedAt: optional(info.StartedAt),
		FinishedAt: optional(info.FinishedAt), ExpiresAt: optional(info.Expires), Deadline: optional(info.Deadline),
		Seq: info.Seq,
	}
	if valid(info.Payload) {
		t.Payload = info.Payload
	} else if len(info.Payload) > 0 {
		t.PayloadBase64 = info.Payload
	}
	if valid(info.Result) {
		t.Result = info.Result
	}
	return t
}

func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
