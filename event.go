package seri

import "time"

// EventKind says what happened to a task or a schedule.
type EventKind string

// The kinds of event. Each is written by the same script that makes the change.
const (
	EventQueued    EventKind = "queued"    // may start now
	EventScheduled EventKind = "scheduled" // waits for its time
	EventStarted   EventKind = "started"
	EventProgress  EventKind = "progress"
	EventRetrying  EventKind = "retrying"
	EventSucceeded EventKind = "succeeded"
	EventFailed    EventKind = "failed"
	EventRevoked   EventKind = "revoked"
	// EventRepaired: something about the task was set right that no transition can have made. Its state is in the data.
	EventRepaired EventKind = "repaired"
	// EventTrimmed: the record of a task that has failed or was revoked is deleted, because the archive has kept it long
	// enough, or keeps too many. It is the last event of a task.
	EventTrimmed EventKind = "trimmed"
)

// The kinds of event that are about a schedule. They travel in the stream of the queue that the schedule's tasks go to.
const (
	EventScheduleFired   EventKind = "schedule.fired"   // the task of a tick was enqueued
	EventScheduleMissed  EventKind = "schedule.missed"  // ticks passed without a task
	EventSchedulePaused  EventKind = "schedule.paused"  // by an operator, or after too many failures in a row
	EventScheduleResumed EventKind = "schedule.resumed" // by an operator, or by a new definition
	EventScheduleChanged EventKind = "schedule.changed" // made, or given a new definition, at run time: not by a file
	EventScheduleRemoved EventKind = "schedule.removed" // at run time
)

// Event is one change of one task, or of one schedule. Of an event about a schedule, Task, Type, Owner and Seq are not set.
type Event struct {
	Kind  EventKind
	Task  string // its ID
	Type  string
	Queue string
	// Partition is the number of the partition that has the task, of a queue that is divided; 0 otherwise.
	Partition int
	Owner     string
	// Seq numbers the events of one task: 1, 2, 3, … without a gap.
	Seq  uint64
	Time time.Time // the server's, to the millisecond
	Data EventData
}

// EventData is what there is to say beyond the kind; which fields are set depends on it.
type EventData struct {
	Attempt  int           // started, retrying, failed, succeeded
	Worker   string        // started: host:pid:id
	Progress *ProgressInfo // progress
	Due      time.Time     // scheduled, retrying
	Error    string        // retrying, failed
	Reason   Reason        // queued and retrying (where it says more than the kind), failed, revoked; repaired: what was wrong; trimmed: why
	Result   []byte        // succeeded: JSON, if it is small enough to travel; see Truncated
	State    State         // repaired: the one that the task is in now; trimmed: the one that it was in
	// Truncated: the result was too large for an event; read it from the task.
	Truncated bool
	// Schedule is set if and only if the event is about a schedule.
	Schedule *ScheduleEvent
}

// ScheduleEvent is what there is to say of a schedule; which fields are set depends on the kind.
type ScheduleEvent struct {
	ID   string
	Task string        // fired: the ID of the task
	Tick time.Time     // fired: the time by the schedule; with a jitter, the task starts up to that much later
	Late time.Duration // fired: after the time that the task was to start
	// Count ticks from First to Last were missed; more than that, if More.
	Count       int64
	More        bool
	First, Last time.Time
	Reason      Reason // missed: [ReasonOutage], [ReasonOverlap]
	Note        string // paused: why
}

// OfSchedule reports whether the event is about a schedule, not a task.
func (k EventKind) OfSchedule() bool {
	switch k {
	case EventScheduleFired, EventScheduleMissed, EventSchedulePaused, EventScheduleResumed, EventScheduleChanged, EventScheduleRemoved:
		return true
	}
	return false
}

// Terminal reports whether the event is a task's last one, unless an operator runs the task again.
func (k EventKind) Terminal() bool {
	return k == EventSucceeded || k == EventFailed || k == EventRevoked
}

// State returns the state that the task is in after the event, or was in when it was trimmed.
func (e *Event) State() State {
	if e.Kind == EventRepaired || e.Kind == EventTrimmed {
		return e.Data.State
	}
	return e.Kind.State()
}

// State returns the state that a task is in after an event of kind k; empty for [EventRepaired], which leaves it any, and
// for an event about a schedule.
func (k EventKind) State() State {
	switch k {
	case EventQueued:
		return Pending
	case EventScheduled:
		return Scheduled
	case EventStarted, EventProgress:
		return Active
	case EventRetrying:
		return Retrying
	case EventSucceeded:
		return Succeeded
	case EventFailed:
		return Failed
	case EventRevoked:
		return Revoked
	}
	return ""
}
