package meter

// Family is one kind of figure, with its names. Names are a public API: dashboards and alarms are built on them.
type Family struct {
	Name       string // as Prometheus has it
	CloudWatch string // as CloudWatch has it; empty: it is not told there
	Kind       Kind
	Unit       Unit
	Labels     []string
	By         string // which role tells it
	Help       string
}

// Kind says what a figure is.
type Kind int

// The kinds of figures.
const (
	Gauge    Kind = iota // goes up and down
	Total                // only rises, of this process: Prometheus computes the rate, CloudWatch is told the difference
	Standing             // only rises, kept in Redis: the same whoever tells it, so CloudWatch is told the total
	Timing               // a histogram of durations
)

// Unit is what a figure counts, as CloudWatch names it.
type Unit string

// The units of figures.
const (
	Number       Unit = "Count"
	Ratio        Unit = "None"
	Seconds      Unit = "Seconds"
	Microseconds Unit = "Microseconds"
)

// Figures about queues, which are read from Redis and the same whoever tells them.
var (
	QueueScheduled = family("seri_queue_scheduled_tasks", "ScheduledTasks", Gauge, Number, "api", "Tasks that wait for their time, or for a worker that knows their type.", "queue")
	QueuePending   = family("seri_queue_pending_tasks", "PendingTasks", Gauge, Number, "api", "Tasks that may start: the depth of the queue.", "queue")
	QueueActive    = family("seri_queue_active_tasks", "ActiveTasks", Gauge, Number, "api", "Tasks that are leased to workers.", "queue")
	QueueRetrying  = family("seri_queue_retrying_tasks", "RetryingTasks", Gauge, Number, "api", "Tasks that have failed and wait for another attempt.", "queue")
	QueueSucceeded = family("seri_queue_succeeded_tasks", "SucceededTasks", Gauge, Number, "api", "Tasks that have succeeded and are still kept.", "queue")
	QueueArchived  = family("seri_queue_archived_tasks", "ArchivedTotal", Gauge, Number, "api", "Tasks that have failed for good or were revoked, and are still kept.", "queue")
	QueuePaused    = family("seri_queue_paused", "Paused", Gauge, Ratio, "api", "1 while the queue is paused.", "queue")
	QueueOldest    = family("seri_queue_oldest_pending_seconds", "OldestPendingAgeSeconds", Gauge, Seconds, "api", "How long the oldest pending task has waited; 0 if there is none.", "queue")
	QueueSlots     = family("seri_queue_slots", "Slots", Gauge, Number, "api", "Slots of live workers that serve the queue; a worker of several queues counts for each.", "queue")
	QueueBacklog   = family("seri_queue_backlog_per_slot", "BacklogPerSlot", Gauge, Ratio, "api", "Pending tasks for each slot; without a worker, the pending tasks themselves; 0 while the queue is paused. Scale workers by it.", "queue")
	QueueFence     = family("seri_queue_fence_ahead_us", "FenceAheadMicros", Gauge, Microseconds, "api", "By how much the last fencing token is ahead of Redis' clock, in microseconds; 0 if it is not.", "queue")
	QueueProcessed = family("seri_queue_processed_total", "ProcessedTotal", Standing, Number, "api", "Attempts that have ended, ever.", "queue")
	QueueFailed    = family("seri_queue_failed_total", "FailedTotal", Standing, Number, "api", "Attempts that have failed, ever.", "queue")
	QueueTrimmed   = family("seri_queue_trimmed_total", "TrimmedTotal", Standing, Number, "api", "Failed and revoked tasks that were deleted because they were too old or too many to keep, ever.", "queue")
	QueueRepairs   = family("seri_queue_repairs_total", "RepairsTotal", Standing, Number, "api", "Faults of the queue's structure that workers have repaired, ever, by kind.", "queue", "kind")
	QueuesLeftOut  = family("seri_queues_left_out", "", Gauge, Number, "api", "Queues of which nothing is told, because there are too many.")
)

// Figures of a worker.
var (
	TasksEnded      = family("seri_tasks_total", "TasksEnded", Total, Number, "worker", "Attempts that have ended, by type and outcome: succeeded, retried, failed, revoked, handed_back or abandoned.", "type", "outcome")
	TaskSeconds     = family("seri_task_seconds", "TaskSeconds", Timing, Seconds, "worker", "How long handlers took.", "type")
	WorkerSlots     = family("seri_worker_slots", "", Gauge, Number, "worker", "How many tasks the worker runs at once.")
	WorkerBusy      = family("seri_worker_busy_slots", "BusySlots", Gauge, Number, "worker", "How many it runs now.")
	WorkerStuck     = family("seri_worker_stuck_slots", "StuckSlots", Gauge, Number, "worker", "Slots that are lost to handlers which ignore the end of their context.")
	LeasesLost      = family("seri_leases_lost_total", "LeasesLost", Total, Number, "worker", "Leases that ran out, or that another worker has, while a handler ran.")
	WritesRefused   = family("seri_writes_refused_total", "WritesRefused", Total, Number, "worker", "Writes that were refused because the lease was lost, or to the log of a task that is gone: outcome, progress or log. The fence at work.", "write")
	OutcomesLost    = family("seri_outcomes_unwritten_total", "OutcomesUnwritten", Total, Number, "worker", "Outcomes that Redis did not take in time; their tasks run again.")
	TasksRecovered  = family("seri_tasks_recovered_total", "TasksRecovered", Total, Number, "worker", "Tasks of vanished workers that this one has put back.")
	TasksPoisoned   = family("seri_tasks_poisoned_total", "TasksPoisoned", Total, Number, "worker", "Of them, those that were archived because too many workers had vanished with them.")
	LogLinesDropped = family("seri_log_lines_dropped_total", "LogLinesDropped", Total, Number, "worker", "Lines of tasks' own logs that were dropped: too many, too long, or Redis did not take them.")
	FetchesFailed   = family("seri_fetches_failed_total", "FetchesFailed", Total, Number, "worker", "Requests for tasks that Redis refused or did not answer.")
	RedisAwaited    = family("seri_redis_awaited_total", "RedisAwaited", Total, Number, "worker", "Round trips to Redis of an idle worker that wait for a task and take it; seri_redis_round_trips_total has the others.")
)

// Figures of live events.
var (
	Subscribers      = family("seri_subscribers", "Subscribers", Gauge, Number, "api", "Open subscriptions to live events.")
	Events           = family("seri_events_total", "Events", Total, Number, "api", "Entries of event streams that were read; each holds the events of one call.")
	EventsLost       = family("seri_events_lost_total", "EventsLost", Total, Number, "api", "How often events were missing from a stream when they should have been read.")
	EventsForgone    = family("seri_events_dropped_total", "EventsDropped", Total, Number, "api", "Events that at_most_once subscriptions were not given because their readers were too slow.")
	SubscribersEnded = family("seri_subscribers_dropped_total", "SubscribersDropped", Total, Number, "api", "Subscriptions that were ended because their readers were too slow.")
)

// Figures of a beat.
var (
	BeatLeads    = family("seri_beat_leads", "BeatLeaders", Gauge, Ratio, "beat", "1 while this beat leads.")
	BeatDenied   = family("seri_beat_denied_queues", "BeatDeniedQueues", Gauge, Number, "beat", "Queues whose schedules the leading beat does not serve because its Redis user may not write there; 0 if it does not lead.")
	BeatLateness = family("seri_beat_lateness_seconds", "BeatLateness", Timing, Seconds, "beat", "How long after their time ticks were enqueued.")
	BeatTicks    = family("seri_beat_ticks_total", "BeatTicks", Total, Number, "beat", "Ticks by what became of them: enqueued, exists, waits, left_out or paused.", "outcome")
	MemoryUsed   = family("seri_redis_memory_used_ratio", "RedisMemoryUsedRatio", Gauge, Ratio, "beat", "Used by maximal memory, 0 to 1, of the fullest node of Redis; absent without a maximum.")
)

// RelayBehind is of a relay of events, read from Redis: every relay tells the same, also those that wait to take over.
var RelayBehind = family("seri_relay_behind_seconds", "RelayBehindSeconds", Gauge, Seconds, "relay", "How old the oldest entry of the event streams is that is not relayed yet; 0 if there is none.")

// Figures of every process.
var (
	RedisSeconds = family("seri_redis_round_trip_seconds", "RedisRoundTrip", Timing, Seconds, "all", "How long round trips to Redis took, those that wait for something left out.")
	RedisTrips   = family("seri_redis_round_trips_total", "RedisRoundTrips", Total, Number, "all", "Round trips to Redis, of single commands and of pipelines.")
	RedisErrors  = family("seri_redis_errors_total", "RedisErrors", Total, Number, "all", "Round trips to Redis that have failed.")
	LinesShipped = family("seri_cloudwatch_log_lines_total", "LogLines", Total, Number, "all", "Lines of the log that were to go to CloudWatch directly, by what became of them: shipped or dropped.", "outcome")
	Build        = family("seri_build_info", "", Gauge, Ratio, "all", "1, with the version and the role of the process.", "version", "role")
)

// Families are all kinds of figures.
var Families []*Family

func family(name, cloudWatch string, kind Kind, unit Unit, by, help string, labels ...string) *Family {
	f := &Family{Name: name, CloudWatch: cloudWatch, Kind: kind, Unit: unit, Labels: labels, By: by, Help: help}
	Families = append(Families, f)
	return f
}
