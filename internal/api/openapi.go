package api

import (
	"context"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

const about = `Seri runs tasks in the background. Enqueue a task, and watch it live until it has ended.

**Keys.** Everything under ` + "`/v1`" + ` needs ` + "`Authorization: Bearer seri_<id>_<secret>`" + `.

**Times** are RFC 3339; **durations** are numbers of seconds and may have a fraction, but text with units in the definitions of schedules.

**Errors** are RFC 9457 problems (` + "`application/problem+json`" + `): ` + "`type`" + ` says what kind, ` + "`errors`" + ` lists every fault with its place.

**Retries.** A task with an ` + "`id`" + `, or a request with an ` + "`Idempotency-Key`" + `, can be sent again without making a second task. 503 carries Retry-After.

**Limits.** Body 1 MiB (batch: 8 MiB, 1,000 tasks), payload 256 KiB, headers of a task 16 KiB, JSON 32 levels deep. No object may have a key twice.`

const schemeName = "apiKey"

// answers describes the responses of an operation: the good one, by an example, and the statuses of the problems that it
// may end in. 401 and 500 are added for all.
func answers(status int, description string, example any, problems ...int) map[string]*huma.Response {
	responses := map[string]*huma.Response{
		strconv.Itoa(status): {Description: description, Content: map[string]*huma.MediaType{"application/json": {Example: example}}},
	}
	for _, code := range append(problems, http.StatusUnauthorized, http.StatusInternalServerError) {
		responses[strconv.Itoa(code)] = &huma.Response{Description: meaning(code)}
	}
	return responses
}

// meaning lists the kinds of problem that have a status.
func meaning(status int) string {
	text := ""
	for _, k := range problemKinds {
		if k.status != status || k == kindNotReady || k == kindNoRoute {
			continue
		}
		if text != "" {
			text += "; "
		}
		text += k.title
	}
	return text
}

// register adds an operation to the routes and to the documentation.
func register[I, O any](api huma.API, op huma.Operation, handler func(context.Context, *I) (*O, error)) {
	guarded(&op)
	complete(api, &op)
	huma.Register(api, op, handler)
}

// complete fills in what is the same for every operation.
func complete(api huma.API, op *huma.Operation) {
	op.Security = []map[string][]string{{schemeName: {}}}
	for code, r := range op.Responses {
		if r.Content != nil {
			continue
		}
		status, _ := strconv.Atoi(code)
		r.Content = map[string]*huma.MediaType{problemType: {
			Schema:  schemaOf[Problem](api),
			Example: exampleProblem(status),
		}}
	}
}

// answer describes a further good response, of the same form as a task.
func answer(api huma.API, description string, example any) *huma.Response {
	return &huma.Response{Description: description, Content: map[string]*huma.MediaType{"application/json": {
		Schema:  api.OpenAPI().Components.Schemas.Schema(reflect.TypeOf(example), true, ""),
		Example: example,
	}}}
}

// describeBody documents the body of an operation. huma is told only afterwards: it would read and check the body
// itself, and could neither tell a batch's faults one by one nor refuse duplicate keys.
func describeBody[B any](api huma.API, op huma.Operation, example any) {
	describeBodyAs(api, op, "application/json", schemaOf[B](api), example)
}

func describeBodyAs(api huma.API, op huma.Operation, mediaType string, schema *huma.Schema, example any) {
	path := api.OpenAPI().Paths[op.Path]
	operation := map[string]*huma.Operation{http.MethodPost: path.Post, http.MethodPut: path.Put, http.MethodPatch: path.Patch}[op.Method]
	operation.RequestBody = &huma.RequestBody{
		Required: !slices.Contains(mayLackBody, op.OperationID),
		Content:  map[string]*huma.MediaType{mediaType: {Schema: schema, Example: example}},
	}
}

// mayLackBody are the operations whose body may be left out.
var mayLackBody = []string{"pauseSchedule", "triggerSchedule"}

func schemaOf[T any](api huma.API) *huma.Schema {
	return api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[T](), true, "")
}

// exampleProblem shows the first kind of problem with a status.
func exampleProblem(status int) *Problem {
	switch status {
	case http.StatusUnprocessableEntity:
		return invalid([]Fault{newFault("body.payload.sizes[0]", "64", "is a string, must be an integer")})
	case http.StatusConflict:
		return kindConflict.problem(`the queue "default" has a task with the id "invoice-17"`).withTask(exampleRunning)
	}
	for _, k := range problemKinds {
		if k.status == status {
			return k.problem(k.help)
		}
	}
	return kindInternal.problem("")
}

// finish writes what is not about single operations, and takes out what huma has put in for itself.
func finish(doc *huma.OpenAPI) {
	doc.Info.Description = about
	doc.Info.License = &huma.License{Name: "MIT", Identifier: "MIT"}
	doc.Servers = []*huma.Server{{URL: "/", Description: "This server"}}
	doc.Tags = []*huma.Tag{
		{Name: "Tasks", Description: "Enqueue, look at and revoke tasks."},
		{Name: "Queues", Description: "What waits where; pause and resume."},
		{Name: "Schedules", Description: "Periodic tasks: look at them, change them, run them by hand."},
		{Name: "Types", Description: "What can be enqueued."},
		{Name: "Live", Description: "Every change as it happens."},
		{Name: "Health", Description: "For load balancers; no key needed."},
	}
	doc.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		schemeName: {Type: "http", Scheme: "bearer", BearerFormat: "seri_<id>_<secret>", Description: "An API key."},
	}
	schemas := doc.Components.Schemas.Map()
	delete(schemas, "ErrorModel") // huma's own errors, which leave this server as Problem
	delete(schemas, "ErrorDetail")
	for name, schema := range schemas {
		if !strings.HasSuffix(name, "Request") {
			schema.AdditionalProperties = nil // answers may get new members, which no client should trip over
		}
	}
}
