package api

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// problemsPath precedes the code of a problem in its type. A type is a relative reference with an absolute path, as
// RFC 9457 recommends for those that are not absolute, because only the operator knows the host.
const problemsPath = "/problems/"

// problemKind is one type of problem. Its code is part of the API: clients compare it.
type problemKind struct {
	code   string
	status int
	title  string
	help   string // for people: what it means and what to do
}

// The kinds of problem; [problemKinds] lists them all.
var (
	kindMalformed    = &problemKind{"malformed", 400, "The body is not usable JSON", "The body must be one JSON value in UTF-8, nested at most 32 deep, in which no object has a key twice. The detail says what was found and where."}
	kindUnauthorized = &problemKind{"unauthorized", 401, "An API key is needed", "Send \"Authorization: Bearer seri_<id>_<secret>\" with a key that this server knows. `seri key` makes one."}
	kindCrossOrigin  = &problemKind{"cross-origin", 403, "Requests from other sites are refused", "A server without API keys takes changes only from its own pages and from programs, never from a page of another site. A WebSocket can be opened by pages of the server's own origin and of those in --allowed-origins."}
	kindForbidden    = &problemKind{"forbidden", 403, "The token does not allow this", "A token is for the tasks, the owner or the queues that it was made for, and, if it names an origin, for that one's pages. Make another one at POST /v1/tokens."}
	kindNotFound     = &problemKind{"not-found", 404, "There is no such thing", "Nothing has this id or name. A task is deleted once its retention is over; an id that never existed looks the same."}
	kindNoRoute      = &problemKind{"no-route", 404, "There is nothing at this path", "The paths are listed at /openapi.json and described at /docs."}
	kindMethod       = &problemKind{"method-not-allowed", 405, "The path does not take this method", "The header Allow lists the methods that it takes."}
	kindConflict     = &problemKind{"conflict", 409, "A task with this id exists", "The member task is the one that exists. Nothing was enqueued. Leave out id to get a fresh one."}
	kindDuplicate    = &problemKind{"duplicate", 409, "An equal task exists", "A task of the same type, payload and queue was enqueued with unique_for, and its lock has not been released yet. Nothing was enqueued."}
	kindEnded        = &problemKind{"ended", 409, "The task has ended already", "A task that has succeeded, failed or been revoked cannot be revoked. The member task tells how it ended."}
	kindManaged      = &problemKind{"managed", 409, "The schedule comes from a file", "A schedule that a file of schedules has made is changed by that file alone, which would undo every other change with the next deploy. It can be paused, resumed and run here."}
	kindElsewhere    = &problemKind{"elsewhere", 409, "The schedule is in another queue, or in several", "The id of a schedule belongs to one queue. To move a schedule, delete it and make it anew; where two queues have the id, say which with ?queue=."}
	kindOverlap      = &problemKind{"overlap", 409, "An earlier task of the schedule has not ended", "The schedule leaves a tick out while the task of an earlier one has not ended. The body {\"overlap\":\"allow\"} runs it all the same."}
	kindUnusable     = &problemKind{"unusable", 409, "The schedule on record is not usable", "Another version, which takes more than this one, has stored the schedule, or somebody has damaged it. Beats of this version do not serve it; the detail, and the schedule's member fault, say what is wrong. A new definition mends it."}
	kindTaken        = &problemKind{"taken", 409, "Another reads for the consumer", "Of the streams under one name the one that began last reads and acknowledges. Whoever is told this had better stop: if it begins again, it takes the name from the other."}
	kindPrecondition = &problemKind{"precondition-failed", 412, "The schedule has another revision", "If-Match names the revision that was looked at, If-None-Match: * asks for none to be there. Look at the schedule again and repeat the change if it still makes sense."}
	kindTooLarge     = &problemKind{"too-large", 413, "The body is too large", "A task may have 1 MiB, a batch 8 MiB. Store large data elsewhere and pass a reference."}
	kindMediaType    = &problemKind{"unsupported-media-type", 415, "The body is not declared as plain JSON", "Send \"Content-Type: application/json\", and no Content-Encoding."}
	kindMisdirected  = &problemKind{"misdirected", 421, "The server does not answer to this host name", "The server runs without API keys, so it answers only to localhost and loopback addresses: a foreign name that resolves to them is how DNS rebinding works."}
	kindInvalid      = &problemKind{"invalid", 422, "The request is not valid", "The member errors lists every fault with the place of the field."}
	kindUnknownType  = &problemKind{"unknown-type", 422, "No worker knows this type of task", "GET /v1/types lists the types that are compiled into the server or that live workers have published. A worker that has just started may take a second to be seen."}
	kindUpgrade      = &problemKind{"upgrade-required", 426, "The path is a WebSocket", "Ask for an upgrade to a WebSocket of version 13, as every WebSocket client does; or read the same events at /v1/events."}
	kindKeyReused    = &problemKind{"idempotency-key-reused", 422, "The Idempotency-Key belongs to another request", "Within 24 hours a key stands for one body, byte for byte. Use a fresh key for another task."}
	kindTimeout      = &problemKind{"request-timeout", 408, "The body did not arrive in time", "The body must arrive within 30 seconds."}
	kindTooMany      = &problemKind{"too-many", 429, "There are too many connections", "One key or token, and one address, may have so many live connections at once. Close some, or come back after Retry-After. Of consumers that acknowledge there may be 1,000; delete those that are not needed."}
	kindInternal     = &problemKind{"internal", 500, "The server has a fault", "It is in the log under the X-Request-Id of the answer."}
	kindUnavailable  = &problemKind{"unavailable", 503, "Not possible at the moment", "Redis cannot be reached, or takes no writes now; or the server is starting or stopping, and opens no live streams, or has no room for more of them. Whether a change was made is not known; a retry with the same id or Idempotency-Key finds out safely."}
	kindNotReady     = &problemKind{"not-ready", 503, "The server is not ready", "Send traffic elsewhere; the detail says why."}
)

var problemKinds = []*problemKind{
	kindMalformed, kindUnauthorized, kindCrossOrigin, kindForbidden, kindNotFound, kindNoRoute, kindMethod, kindTimeout, kindConflict, kindDuplicate,
	kindEnded, kindManaged, kindElsewhere, kindOverlap, kindUnusable, kindTaken, kindPrecondition, kindTooLarge, kindMediaType, kindMisdirected, kindInvalid, kindUnknownType, kindKeyReused, kindUpgrade, kindTooMany, kindInternal,
	kindUnavailable, kindNotReady,
}

// explainProblem answers GET /problems/{code}, where the type of a problem points.
func explainProblem(w http.ResponseWriter, r *http.Request) {
	for _, k := range problemKinds {
		if k.code == r.PathValue("code") {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			fmt.Fprintf(w, "%s\n\nStatus %d. %s\n", k.title, k.status, k.help)
			return
		}
	}
	var codes []string
	for _, k := range problemKinds {
		codes = append(codes, k.code)
	}
	kindNotFound.problem("there is no such problem; known are " + strings.Join(codes, ", ")).write(w)
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}
