package wire

import (
	"encoding/json"
	"time"

	"github.com/seri-queue/seri"
)

// CloudEvent is the envelope in which events reach subscribers, over SSE and WebSocket alike.
//
// Source: CloudEvents 1.0.2, JSON event format; "sequence" is its sequence extension.
type CloudEvent struct {
	SpecVersion     string          `json:"specversion"` // "1.0"
	ID              string          `json:"id"`          // "<queue>/<entry>:<index>", of a divided queue with the partition's name; for a frame about a whole subscription, unique by its cursor
	Source          string          `json:"source"`      // "/v1/queues/<queue>" or "/v1/events"
	Type            string          `json:"type"`        // "dev.seri.task.started", "dev.seri.snapshot", …
	Subject         string          `json:"subject,omitempty"`
	Time            time.Time       `json:"time"`
	DataContentType string          `json:"datacontenttype"` // "application/json"
	Sequence        string          `json:"sequence,omitempty"`
	Conflated       int             `json:"conflated,omitempty"`    // how many progress events of the task, just before this one, a slow reader was not given
	Subscription    string          `json:"subscription,omitempty"` // on a connection with several: the one that this is about
	Cursor          string          `json:"cursor,omitempty"`       // resume the subscription after this frame
	Data            json.RawMessage `json:"data"`
}

// The types of CloudEvent that are not about a single change of a task.
const (
	TypeSnapshot = "dev.seri.snapshot" // data: [Snapshot]
	TypeGap      = "dev.seri.gap"      // data: [Gap]; a snapshot follows
	TypeAlive    = "dev.seri.alive"    // nothing has come, and the connection lives; its cursor is new
	TypeReset    = "dev.seri.reset"    // data: [Gap]; a snapshot follows, in which tasks may have gone back
	TypeDropped  = "dev.seri.dropped"  // data: [Dropped]; nothing makes up for them
)

// Dropped is the data of [TypeDropped]: a subscriber that asked for events at most once has not taken them in time.
type Dropped struct {
	Count int `json:"count"` // of events, just before this frame
}

// TaskEvent is the data of a "dev.seri.task.*" CloudEvent.
type TaskEvent struct {
	Task      string             `json:"task"`
	Type      string             `json:"type"`
	Queue     string             `json:"queue"`
	Partition int                `json:"partition,omitempty"` // of a queue that is divided
	Owner     string             `json:"owner,omitempty"`
	State     seri.State         `json:"state"`
	Seq       uint64             `json:"seq"`
	Attempt   int                `json:"attempt,omitempty"`
	Worker    string             `json:"worker,omitempty"`
	Progress  *seri.ProgressInfo `json:"progress,omitempty"`
	DueAt     *time.Time         `json:"due_at,omitempty"`
	Error     string             `json:"error,omitempty"`
	Reason    seri.Reason        `json:"reason,omitempty"`
	Result    json.RawMessage    `json:"result,omitempty"`
	Truncated bool               `json:"truncated,omitempty"` // the result is too large for an event: read it from the task
}

// The types of what is said over a WebSocket of commands only.
const (
	TypeSubscribed   = "dev.seri.subscribed"   // data: [Subscribed]
	TypeUnsubscribed = "dev.seri.unsubscribed" // data: [Subscribed]
	TypeAuthorized   = "dev.seri.authorized"   // data: [Authorized]
	TypeError        = "dev.seri.error"        // data: [Refused]; "subscription" says which, if it is about one
	TypeLog          = "dev.seri.log"          // data: [LogLines]; "subscription" says which
	TypeAcknowledged = "dev.seri.acknowledged" // data: [Acknowledged]
)

// Acknowledged is the data of [TypeAcknowledged].
type Acknowledged struct {
	Consumer string `json:"consumer"`
	Cursor   string `json:"cursor"` // up to which nothing is delivered again; it may be beyond what was acknowledged now
}

// LogLines is the data of [TypeLog]: lines of a task's own log.
type LogLines struct {
	Lines []LogLine `json:"lines"`
	Whole bool      `json:"whole,omitempty"` // they are all that is kept: earlier ones are to be forgotten
	Cut   bool      `json:"cut,omitempty"`   // there were others before them
}

// Subscribed is the data of [TypeSubscribed] and [TypeUnsubscribed].
type Subscribed struct {
	Subscriptions []string `json:"subscriptions"`
	Resumed       bool     `json:"resumed,omitempty"`  // they go on after a cursor; otherwise a snapshot of each follows
	Consumer      string   `json:"consumer,omitempty"` // for whom the connection reads
	Token         uint64   `json:"token,omitempty"`    // by which he acknowledges by POST, too
}

// Authorized is the data of [TypeAuthorized].
type Authorized struct {
	ExpiresAt time.Time `json:"expires_at"`
}

// Refused is the data of [TypeError]: what was asked for and why there is none of it.
type Refused struct {
	Op     string `json:"op,omitempty"`
	Status int    `json:"status"` // as HTTP would answer
	Title  string `json:"title"`
	Detail string `json:"detail"`
}

// Snapshot is the data of a [TypeSnapshot] event: what is known now of everything subscribed to.
type Snapshot struct {
	Tasks     []Task `json:"tasks"`
	Truncated bool   `json:"truncated,omitempty"` // there are more tasks than a snapshot holds
}

// Gap is the data of a [TypeGap] event: events between two positions can no longer be had. It is that of a [TypeReset],
// too: then the stream has lost what it had after a position or before it, and goes on with another history.
type Gap struct {
	Queue  string `json:"queue"`
	After  string `json:"after"`  // the last position that the subscriber has seen
	Before string `json:"before"` // the first one that is still there; empty: none is
}

// ScheduleEvent is the data of a "dev.seri.schedule.*" CloudEvent.
type ScheduleEvent struct {
	Schedule string      `json:"schedule"`
	Queue    string      `json:"queue"`
	Task     string      `json:"task,omitempty"`    // fired: the ID of the task that was enqueued
	Tick     *time.Time  `json:"tick,omitempty"`    // fired: the time by the schedule
	LateMs   *int64      `json:"late_ms,omitempty"` // fired: after the time that the task was to start
	Count    int64       `json:"count,omitempty"`   // missed
	More     bool        `json:"more,omitempty"`    // missed: Count is where counting stopped
	First    *time.Time  `json:"first,omitempty"`   // missed
	Last     *time.Time  `json:"last,omitempty"`    // missed
	Reason   seri.Reason `json:"reason,omitempty"`  // missed: outage, overlap
	Note     string      `json:"note,omitempty"`    // paused
}
