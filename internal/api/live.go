package api

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/seri-queue/seri/internal/gateway"
)

// addLive adds the live endpoints. They are not huma's, because they answer with streams; their documentation is.
func (s *server) addLive(api huma.API, table *routes) {
	filters := []*huma.Param{
		filter("task", "Only this task.", "R4ZFQ2M5KXW7TJ3NB6VYAH2CLE"),
		filter("owner", "Only tasks with this owner.", "user:42"),
		filter("queue", "Only this queue's tasks.", "default"),
		filter("type", "Only tasks of this type.", "csv.profile"),
		filter("schedule", "Only events about this schedule.", "nightly"),
		filter("after", "Resume after this cursor, which every frame carries.", ""),
	}
	const frames = " First comes one dev.seri.snapshot with the tasks as they are, then every later change in order, as CloudEvents in JSON: dev.seri.task.queued, scheduled, started, progress, retrying, succeeded, failed, revoked. Without a filter: everything. What can no longer be resumed is said by dev.seri.gap or dev.seri.reset, and a snapshot follows."
	table.Handle("GET /asyncapi.yaml", fixed("application/vnd.aai.asyncapi+yaml;version=3.0.0", gateway.AsyncAPI))
	if s.config.Tokens != nil {
		table.HandleFunc("OPTIONS /v1/events", s.preflight)
		table.HandleFunc("OPTIONS /v1/tasks/{id}", s.preflight)
	}

	if s.config.Events != nil {
		table.Handle("GET /v1/events", s.config.Events)
		responses := answers(200, "A stream that does not end by itself", nil, 403, 404, 422, 429, 503)
		responses["200"].Content = map[string]*huma.MediaType{"text/event-stream": {
			Schema:  &huma.Schema{Type: huma.TypeString},
			Example: exampleFrame,
		}}
		parameters := slices.Concat(filters, []*huma.Param{
			{Name: "qos", In: "query", Description: "at_most_once: events have no id, so a browser that reconnects begins anew. at_least_once, the default: resumed at the cursor. exactly_once: for a consumer that acknowledges.", Schema: &huma.Schema{Type: huma.TypeString, Enum: []any{"at_most_once", "at_least_once", "exactly_once"}}},
			filter("consumer", "The name of a consumer that acknowledges (POST /v1/consumers/{name}/ack). It goes on after what it has acknowledged last, on any gateway, and the one that began last reads under a name; its token is in the header Seri-Consumer-Token. Needs an API key.", "billing"),
			{Name: "Last-Event-ID", In: "header", Description: "As after; sent by browsers when they reconnect.", Schema: &huma.Schema{Type: huma.TypeString}},
		})
		describe(api, &huma.Operation{
			OperationID: "streamEvents", Method: http.MethodGet, Path: "/v1/events", Tags: []string{"Live"},
			Summary:     "Watch tasks by server-sent events",
			Description: strings.TrimSpace(frames) + " The id of each event is its cursor, so a browser resumes by itself.",
			Parameters:  parameters,
			Responses:   responses,
		})
	}
	if s.config.WebSocket != nil {
		table.Handle("GET /v1/ws", s.config.WebSocket)
		responses := answers(101, "The connection is a WebSocket from here on; every message is one CloudEvent", nil, 403, 404, 422, 426, 429, 503)
		responses["101"].Content = map[string]*huma.MediaType{}
		describe(api, &huma.Operation{
			OperationID: "watchEvents", Method: http.MethodGet, Path: "/v1/ws", Tags: []string{"Live"},
			Summary:     "Watch tasks by WebSocket",
			Description: strings.TrimSpace(frames) + " With the subprotocol seri.v1 the client says by messages what it wants to watch: many things, that come and go. /asyncapi.yaml describes them.",
			Parameters: slices.Concat(filters, []*huma.Param{
				{Name: "qos", In: "query", Description: "at_most_once: a client that reads slowly loses events, is told how many, and is not cut. at_least_once, the default: resumed at the cursor.", Schema: &huma.Schema{Type: huma.TypeString, Enum: []any{"at_most_once", "at_least_once"}}},
			}),
			Responses: responses,
		})
	}
}

// LiveProblem answers a request to a live endpoint that is refused before its stream begins, as the rest of the API would.
// faults say what is wrong by place, such as "query.task": "is empty"; detail is used if there are none.
func LiveProblem(w http.ResponseWriter, _ *http.Request, status int, detail string, faults map[string]string) {
	if len(faults) > 0 {
		var list []Fault
		for _, place := range slices.Sorted(maps.Keys(faults)) {
			list = append(list, newFault(place, nil, faults[place]))
		}
		invalid(list).write(w)
		return
	}
	kind := kindInternal
	for _, k := range []*problemKind{kindNotFound, kindMethod, kindUpgrade, kindInvalid, kindTooMany, kindUnavailable} {
		if k.status == status {
			kind = k
		}
	}
	switch {
	case status == http.StatusUnauthorized:
		unauthorized(detail).write(w)
		return
	case status == http.StatusForbidden && (detail == gateway.OutOfScope || detail == gateway.KeyNeeded):
		kind = kindForbidden
	case status == http.StatusForbidden:
		kind = kindCrossOrigin
	}
	kind.problem(detail).write(w)
}

// describe documents an operation that huma does not serve.
func describe(api huma.API, op *huma.Operation) {
	complete(api, op)
	api.OpenAPI().AddOperation(op)
}

func filter(name, description, example string) *huma.Param {
	p := &huma.Param{Name: name, In: "query", Description: description, Schema: &huma.Schema{Type: huma.TypeString}}
	if example != "" {
		p.Example = example
	}
	return p
}
