package wire

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/seri-queue/seri"
)

// MaxEventResult is the size in bytes up to which a result travels in its event; a larger one is read from the task,
// and the event says "truncated".
const MaxEventResult = 8 << 10

// frame is an event as it stands in the stream.
type frame struct {
	Seq   uint64         `json:"seq"`
	At    int64          `json:"at"` // Unix milliseconds
	Kind  seri.EventKind `json:"kind"`
	Task  string         `json:"task"`
	Type  string         `json:"type"`
	Owner string         `json:"owner"`
	Data  frameData      `json:"data"`

	Schedule string `json:"schedule"` // of an event about a schedule, which has neither a task nor a number
}

type frameData struct {
	Attempt   int             `json:"attempt,omitempty"`
	Worker    string          `json:"worker,omitempty"`
	Due       int64           `json:"due,omitempty"` // Unix milliseconds
	Error     string          `json:"error,omitempty"`
	Reason    seri.Reason     `json:"reason,omitempty"`
	State     seri.State      `json:"state,omitempty"`
	Result    json.RawMessage `json:"result,omitempty"`
	Truncated bool            `json:"truncated,omitempty"`

	Done    int64  `json:"done,omitempty"`
	Total   int64  `json:"total,omitempty"`
	Message string `json:"message,omitempty"`

	// Of schedules. Times are Unix seconds, since ticks are.
	TaskID string `json:"task_id,omitempty"`
	Tick   int64  `json:"tick,omitempty"`
	Late   int64  `json:"late,omitempty"` // milliseconds
	Count  int64  `json:"count,omitempty"`
	More   bool   `json:"more,omitempty"`
	First  int64  `json:"first,omitempty"`
	Last   int64  `json:"last,omitempty"`
	Note   string `json:"note,omitempty"`
}

func (f *frame) event(queue string) seri.Event {
	e := seri.Event{
		Kind: f.Kind, Task: f.Task, Type: f.Type, Queue: queue, Owner: f.Owner, Seq: f.Seq, Time: time.UnixMilli(f.At),
		Data: seri.EventData{
			Attempt: f.Data.Attempt, Worker: f.Data.Worker, Error: f.Data.Error, Reason: f.Data.Reason, State: f.Data.State,
			Result: f.Data.Result, Truncated: f.Data.Truncated,
		},
	}
	if f.Data.Due != 0 {
		e.Data.Due = time.UnixMilli(f.Data.Due)
	}
	if f.Kind.OfSchedule() {
		e.Task, e.Type, e.Owner, e.Seq, e.Data = "", "", "", 0, seri.EventData{Schedule: f.schedule()}
	}
	if f.Kind == seri.EventProgress {
		e.Data.Progress = &seri.ProgressInfo{Done: f.Data.Done, Total: f.Data.Total, Message: f.Data.Message}
	}
	return e
}

func (f *frame) schedule() *seri.ScheduleEvent {
	d := &f.Data
	s := &seri.ScheduleEvent{
		ID: f.Schedule, Task: d.TaskID, Late: time.Duration(d.Late) * time.Millisecond, Count: d.Count, More: d.More, Reason: d.Reason, Note: d.Note,
	}
	for _, at := range []struct {
		seconds int64
		time    *time.Time
	}{{d.Tick, &s.Tick}, {d.First, &s.First}, {d.Last, &s.Last}} {
		if at.seconds != 0 {
			*at.time = time.Unix(at.seconds, 0)
		}
	}
	return s
}

// MissedTicks returns the JSON of the data of a missed event of a schedule.
func MissedTicks(count int, more bool, first, last time.Time) string {
	return string(mustMarshal(frameData{Count: int64(count), More: more, First: first.Unix(), Last: last.Unix(), Reason: seri.ReasonOutage}))
}

// About returns the JSON fields that say which task an event is about, without braces.
func About(id, typ, owner string) string {
	b := make([]byte, 0, len(`"task":"","type":"","owner":""`)+len(id)+len(typ)+len(owner))
	b = appendString(append(b, `"task":`...), id)
	b = appendString(append(b, `,"type":`...), typ)
	if owner != "" {
		b = appendString(append(b, `,"owner":`...), owner)
	}
	return string(b)
}

// SucceededEvent returns the JSON of a succeeded event from "kind" on, without the closing brace: the scripts put the
// sequence number and the time before it. If the result, JSON of so many bytes, is to be in the event, what is returned
// ends where it belongs: the script has it already, and adds it and the brace of the data. (Written by hand, because there
// is one for every task.)
func SucceededEvent(about string, attempt, resultBytes int) string {
	const kind, data, result, truncated = `"kind":"succeeded",`, `,"data":{"attempt":`, `,"result":`, `,"truncated":true}`
	b := make([]byte, 0, len(kind)+len(about)+len(data)+len(truncated)+3)
	b = append(append(append(b, kind...), about...), data...)
	b = strconv.AppendInt(b, int64(attempt), 10)
	switch {
	case resultBytes > MaxEventResult:
		b = append(b, truncated...)
	case resultBytes > 0:
		b = append(b, result...)
	default:
		b = append(b, '}')
	}
	return string(b)
}

// EndedEvent returns the JSON of a failed or revoked event from "kind" on, without the closing brace.
func EndedEvent(kind seri.EventKind, about string, attempt int, reason seri.Reason, text string) string {
	return eventRest(kind, about, frameData{Attempt: attempt, Reason: reason, Error: text})
}

// HandedBackEvent returns the JSON of the queued event of a task that a worker could not finish, as the others.
func HandedBackEvent(about string) string {
	return eventRest(seri.EventQueued, about, frameData{Reason: "handed_back"})
}

// FailedAttempt returns the JSON fields that the data of a retrying event has beside the due time, without braces.
func FailedAttempt(attempt int, text string) string {
	object := mustMarshal(frameData{Attempt: attempt, Error: text})
	return string(object[1 : len(object)-1])
}

func eventRest(kind seri.EventKind, about string, data frameData) string {
	return `"kind":"` + string(kind) + `",` + about + `,"data":` + string(mustMarshal(data))
}
