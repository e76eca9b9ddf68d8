package keys

import "regexp"

// Entry declares one kind of key.
type Entry struct {
	Pattern string // with <placeholders>; {q} is the queue's hash tag
	Type    string // as Redis' TYPE names it
	Owner   string // the only component that writes it
	Life    string // its TTL, or why it has none
	TTL     bool   // a key of this kind without a TTL is a leak
	Holds   string
}

// Registry lists every kind of key. Stock asynq clients, servers and inspectors write asynq's keys too.
var Registry = []Entry{
	{"asynq:queues", "set", "engine", "none: the registry of queues", false, "the names of all queues"},
	{"asynq:{q}:t:<id>", "hash", "engine", "with the task: deleted after its retention", false, "a task: asynq's msg, state, pending_since, unique_key, group, result; Seri's fence, nonce, seq, enqueued, started, finished, retried, attempt, crashes, progress, owner, expires, reason, revoked"},
	{"asynq:{q}:pending", "list", "engine", "with its members", false, "IDs that may start; pushed left, popped right"},
	{"asynq:{q}:active", "list", "engine", "with its members", false, "IDs that are leased"},
	{"asynq:{q}:lease", "zset", "engine", "with its members", false, "leased IDs by expiry, Unix seconds with a fraction"},
	{"asynq:{q}:scheduled", "zset", "engine", "with its members", false, "IDs by start, Unix seconds rounded up"},
	{"asynq:{q}:retry", "zset", "engine", "with its members", false, "IDs by next attempt, Unix seconds rounded up"},
	{"asynq:{q}:archived", "zset", "engine", "members trimmed by age and number", false, "failed and revoked IDs by their end, Unix seconds"},
	{"asynq:{q}:completed", "zset", "engine", "members deleted when due", false, "succeeded IDs by when they may be deleted, Unix seconds"},
	{"asynq:{q}:paused", "string", "api, cli", "none: until resumed", false, "Unix seconds of the pause"},
	{"asynq:{q}:processed", "string", "engine", "none: a total", false, "attempts that ended, ever"},
	{"asynq:{q}:failed", "string", "engine", "none: a total", false, "attempts that failed, ever"},
	{"asynq:{q}:processed:<day>", "string", "engine", "90 days", true, "attempts that ended on that day (UTC)"},
	{"asynq:{q}:failed:<day>", "string", "engine", "90 days", true, "attempts that failed on that day (UTC)"},
	{"asynq:{q}:unique:<type>:<md5>", "string", "engine", "the task's UniqueFor; while it runs, its lease at least", true, "ID of the task that holds the uniqueness lock"},
	{"asynq:{q}:groups", "set", "stock clients", "with its members", false, "names of asynq's aggregation groups"},
	{"asynq:{q}:g:<group>", "zset", "stock clients", "with its members", false, "IDs that wait in an aggregation group or set"},
	{"asynq:{q}:aggregation_sets", "zset", "stock servers", "with its members", false, "aggregation sets in the making, by deadline"},
	{"asynq:servers", "zset", "worker", "members expire by score", false, "keys of server infos by expiry, Unix seconds"},
	{"asynq:servers:{<worker>}", "string", "worker", "three heartbeats", true, "a worker process, as asynq's ServerInfo; field 1000 marks Seri's"},
	{"asynq:workers", "zset", "worker", "members expire by score", false, "keys of running-task hashes by expiry, Unix seconds"},
	{"asynq:workers:{<worker>}", "hash", "worker", "three heartbeats", true, "task ID to asynq's WorkerInfo, of the tasks that a process runs"},
	{"asynq:schedulers", "zset", "stock schedulers", "members expire by score", false, "keys of scheduler entries by expiry"},
	{"asynq:schedulers:{<scheduler>}", "list", "stock schedulers", "20 s", true, "asynq's SchedulerEntry messages"},
	{"asynq:scheduler_history:<entry>", "zset", "stock schedulers", "none: at most 1,000 members", false, "enqueue events of a stock scheduler entry"},
	{"asynq:sema:<scope>", "zset", "stock handlers", "members expire by score", false, "IDs of tasks that hold a semaphore of asynq's x/rate, by their deadline"},

	{"seri:v1:{q}:fence", "string", "engine: dequeue", "none: must outlive every task", false, "the last fencing token handed out"},
	{"seri:v1:{q}:due", "zset", "engine", "with its members", false, "scheduled and retrying IDs by exact time, Unix milliseconds"},
	{"seri:v1:{q}:wake", "list", "engine", "10 s", true, "at most one element: an earlier due time has come in"},
	{"seri:v1:{q}:events", "stream", "engine", "trimmed by number and age; 7 days after the last producer or worker", true, "every change of every task, in order: one field e, a JSON array of events"},
	{"seri:v1:{q}:published", "string", "engine", "7 days after the last producer", true, "where events are published and not kept: the number of the last entry; the first is the clock, Unix microseconds"},
	{"seri:v1:{q}:repairs", "hash", "engine: sweep, adopt", "none: totals", false, "how often each kind of fault was repaired: lost, no_lease, no_place, quarantined, stale_lease, stale_time, two_places, wrong_state"},
	{"seri:v1:{q}:trimmed", "string", "engine: purge", "none: a total", false, "archived tasks that were deleted because they were too old or too many, ever"},
	{"seri:v1:{q}:turn", "string", "engine: turn", "60 s", true, "the worker that looks the queue over for what cannot be, in this minute"},
	{"seri:v1:{q}:cursor", "string", "engine: adopt", "24 h after the last look", true, "where the search for stray tasks among the server's keys goes on: a cursor of SCAN"},
	{"seri:v1:{q}:log:<id>", "string", "engine: log", "the task's retention, at least 24 h, after the last line", true, "a task's own log: at most 64 KiB of lines in JSON; or where its lines are in CloudWatch"},
	{"seri:v1:{q}:owner:<label>", "zset", "engine: enqueue", "7 days after the last task", true, "the newest tasks of one owner by enqueue time, Unix milliseconds"},
	{"seri:v1:{q}:schedule:<id>", "hash", "beat", "none: until the schedule is removed", false, "a schedule: def (its definition, JSON), rev and timing (digests of it), origin (file or api), set (the lock of its beats); next and last (Unix seconds), task, runs, missed, fails, open and buffer (ticks), paused (a note), paused_at, auto (it has paused itself)"},
	{"seri:v1:{q}:history:<id>", "list", "beat", "none: at most 60 entries, until the schedule is removed", false, "what became of a schedule's newest ticks, the newest first: fired or asked (by a person), tick, lateness in milliseconds; outage or overlap, first and last tick that was missed, their number"},
	{"seri:v1:{q}:schedules", "zset", "beat", "with its members", false, "schedules of the queue by next tick, Unix seconds; +inf: none"},
	{"seri:v1:{q}:edited", "zset", "api", "none: at most 1,000 members", false, "schedules that were changed at run time, by the number of the change"},
	{"seri:v1:{q}:beat", "hash", "beat", "none: must outlive every leader", false, "token:<lock>: the last token that wrote schedules; edits: number of the last change at run time"},
	{"seri:v1:beat:{<lock>}", "hash", "beat", "none: must outlive every leader", false, "the file of schedules in force: revision, token"},
	{"seri:v1:{beats}", "hash", "beat", "60 s", true, "lock to what its leading beat tells, JSON: until when (Unix milliseconds), and which queues it was denied"},
	{"seri:v1:lock:{<name>}", "hash", "lock", "the lease + 60 s", true, "a named lock: nonce, token, until (Unix microseconds) and lease (microseconds) of its holder; released: the last nonces given up"},
	{"seri:v1:lock:{<name>}:fence", "string", "lock", "none: must outlive every holder", false, "the last token handed out for the lock"},
	{"seri:v1:lock:{<name>}:queue", "zset", "lock", "63 s after the last look", true, "nonces of those who wait for the lock, by arrival, Unix microseconds"},
	{"seri:v1:lock:{<name>}:presence", "zset", "lock", "63 s after the last look", true, "the same nonces by until when each counts as present, Unix microseconds"},
	{"seri:v1:lock:{<name>}:bell:<nonce>", "list", "lock", "10 s", true, "at most one element: the waiter should look"},
	{"seri:v1:lock:{<name>}:guard", "hash", "lock", "none: must outlive every holder", false, "a value that lower tokens may not overwrite: token, value"},
	{"seri:v1:{types}", "zset", "worker", "members expire by score", false, "worker IDs by expiry of what they have published, Unix seconds"},
	{"seri:v1:{types}:<worker>", "string", "worker", "three heartbeats", true, "JSON: the task types that a worker runs, with their schemas and queues"},
	{"seri:v1:{partitions}", "hash", "client, worker, cli", "none: an agreement", false, "divided queues by name: their numbers of partitions"},
	{"seri:v1:{consumers}", "zset", "api", "members expire by score; at most 1,000", false, "names of consumers of live events by until when each is remembered, Unix seconds"},
	{"seri:v1:{consumers}:named:<name>", "hash", "api", "30 days after it has last read or acknowledged", true, "a named consumer of live events: about (what it watches, JSON), token (of who reads), cursor (acknowledged), at (when, Unix milliseconds)"},
	{"seri:v1:idem:{<sha256>}", "string", "api", "24 h", true, "the answer given to an Idempotency-Key"},
}

// Find returns the registry's entry for a concrete key; false if no pattern fits. Of several that do, such as that of a
// lock's fence and that of a queue's, it is the one that says most.
func Find(key string) (Entry, bool) {
	best := -1
	for i, c := range compiled {
		if c.MatchString(key) && (best < 0 || c.literal > compiled[best].literal) {
			best = i
		}
	}
	if best < 0 {
		return Entry{}, false
	}
	return Registry[best], true
}

// expression is a pattern that can be matched.
type expression struct {
	*regexp.Regexp
	literal int // bytes of the pattern that are no placeholder
}

// compiled holds one expression per registry entry: {q} and {<x>} are a hash tag, <x> is anything.
var compiled = func() []expression {
	placeholder := regexp.MustCompile(`\\\{q\\\}|<[a-z0-9]+>`)
	expressions := make([]expression, len(Registry))
	for i, e := range Registry {
		pattern := placeholder.ReplaceAllStringFunc(regexp.QuoteMeta(e.Pattern), func(p string) string {
			if p == "<day>" {
				return `\d{4}-\d\d-\d\d`
			}
			if p[0] == '<' {
				return `[\s\S]*`
			}
			return `\{[^}]+\}`
		})
		literal := len(placeholder.ReplaceAllString(regexp.QuoteMeta(e.Pattern), ""))
		expressions[i] = expression{regexp.MustCompile(`^` + pattern + `$`), literal}
	}
	return expressions
}()
