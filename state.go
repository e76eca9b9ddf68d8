package seri

// State is where a task stands, in the one vocabulary that the API, the CLI, the events and Go code share.
// In Redis the names stay asynq's; docs/states.md maps the words.
type State string

// The states of a task.
const (
	// Scheduled tasks wait for their time.
	Scheduled State = "scheduled"
	// Pending tasks may start as soon as a worker has a free slot.
	Pending State = "pending"
	// Active tasks are leased by a worker.
	Active State = "active"
	// Retrying tasks have failed (or lost their worker) and wait for their next attempt.
	Retrying State = "retrying"
	// Succeeded tasks returned a result, which is kept for the task's retention.
	Succeeded State = "succeeded"
	// Failed tasks will not be tried again; the [Reason] says why.
	Failed State = "failed"
	// Revoked tasks were withdrawn, or had expired, before they could succeed.
	Revoked State = "revoked"
)

// States lists every state in the order of a task's life.
var States = []State{Scheduled, Pending, Active, Retrying, Succeeded, Failed, Revoked}

// Terminal reports whether a task in state s will never run again by itself.
func (s State) Terminal() bool {
	return s == Succeeded || s == Failed || s == Revoked
}

// Reason says why a task is where it is, where the state alone does not.
type Reason string

// The reasons of a task that has ended, or that waits for something other than its turn.
const (
	// ReasonExhausted: failed, and no retry was left.
	ReasonExhausted Reason = "exhausted"
	// ReasonPermanent: the handler returned a [Permanent] error.
	ReasonPermanent Reason = "permanent"
	// ReasonPoison: the task took its worker down too many times.
	ReasonPoison Reason = "poison"
	// ReasonArchived: an operator moved the task to the archive.
	ReasonArchived Reason = "archived"
	// ReasonRevoked: somebody withdrew the task.
	ReasonRevoked Reason = "revoked"
	// ReasonExpired: the task did not start before its expiry.
	ReasonExpired Reason = "expired"
	// ReasonNoWorker: scheduled for another look, because the worker that saw the task cannot run its type.
	ReasonNoWorker Reason = "no_worker"
	// ReasonCrashed: retrying, because the worker that ran the task vanished.
	ReasonCrashed Reason = "crashed"
	// ReasonLost: the task's record is gone, and only its ID was left: what it was can no longer be known.
	ReasonLost Reason = "lost"
	// ReasonQuarantined: the task was scheduled, but its time is lost. It is kept for a person to decide.
	ReasonQuarantined Reason = "quarantined"
	// ReasonTooOld: trimmed, because the archive has kept the task for as long as it is to.
	ReasonTooOld Reason = "too_old"
	// ReasonTooMany: trimmed, because the archive holds more tasks than it is to, and this was the oldest.
	ReasonTooMany Reason = "too_many"
	// ReasonAggregating: pending, in an aggregation group of a stock client. Only stock servers run groups.
	ReasonAggregating Reason = "aggregating"
	// ReasonOutage: a tick was missed because no beat, or no Redis, was there in time.
	ReasonOutage Reason = "outage"
	// ReasonOverlap: a tick was left out because the task of an earlier one had not ended.
	ReasonOverlap Reason = "overlap"
)
