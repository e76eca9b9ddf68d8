package wire

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/seri-queue/seri"
)

// Event returns the event that a CloudEvent was made of by [AppendCloudEvent]. It fails for those about a subscription.
func (c *CloudEvent) Event() (seri.Event, error) {
	if kind, ok := strings.CutPrefix(c.Type, "dev.seri.task."); ok {
		return c.taskEvent(seri.EventKind(kind))
	}
	if kind := seri.EventKind(strings.TrimPrefix(c.Type, "dev.seri.")); kind.OfSchedule() {
		return c.scheduleEvent(kind)
	}
	return seri.Event{}, fmt.Errorf("a CloudEvent of type %q is about no task and no schedule", c.Type)
}

func (c *CloudEvent) taskEvent(kind seri.EventKind) (seri.Event, error) {
	var d TaskEvent
	if err := json.Unmarshal(c.Data, &d); err != nil {
		return seri.Event{}, fmt.Errorf("decode CloudEvent %s: %w", c.ID, err)
	}
	e := seri.Event{
		Kind: kind, Task: d.Task, Type: d.Type, Queue: d.Queue, Partition: d.Partition, Owner: d.Owner, Seq: d.Seq, Time: c.Time.Local(),
		Data: seri.EventData{
			Attempt: d.Attempt, Worker: d.Worker, Progress: d.Progress, Due: moment(d.DueAt), Error: d.Error, Reason: d.Reason,
			Result: d.Result, Truncated: d.Truncated,
		},
	}
	if kind == seri.EventRepaired || kind == seri.EventTrimmed {
		e.Data.State = d.State
	}
	return e, nil
}

func (c *CloudEvent) scheduleEvent(kind seri.EventKind) (seri.Event, error) {
	var d ScheduleEvent
	if err := json.Unmarshal(c.Data, &d); err != nil {
		return seri.Event{}, fmt.Errorf("decode CloudEvent %s: %w", c.ID, err)
	}
	s := &seri.ScheduleEvent{
		ID: d.Schedule, Task: d.Task, Tick: moment(d.Tick), Count: d.Count, More: d.More, First: moment(d.First), Last: moment(d.Last),
		Reason: d.Reason, Note: d.Note,
	}
	if d.LateMs != nil {
		s.Late = time.Duration(*d.LateMs) * time.Millisecond
	}
	return seri.Event{Kind: kind, Queue: d.Queue, Time: c.Time.Local(), Data: seri.EventData{Schedule: s}}, nil
}

// moment is the contrary of optional.
func moment(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.Local()
}
