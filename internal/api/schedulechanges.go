package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/seri-queue/seri/internal/schedule"
	"github.com/seri-queue/seri/internal/timetable"
)

type changeInput struct {
	SchedulePath
	IfMatch     string `header:"If-Match" doc:"The ETag of the schedule that was looked at: 412 if its definition is another by now."`
	IfNoneMatch string `header:"If-None-Match" enum:"*" doc:"*: 412 if there is such a schedule already."`
}

func (in *changeInput) condition() timetable.Condition {
	only := timetable.Condition{New: in.IfNoneMatch != ""}
	if in.IfMatch != "*" {
		only.Revision = strings.Trim(strings.TrimPrefix(in.IfMatch, "W/"), `"`)
	}
	return only
}

const aboutFiles = " A schedule that a file has made is not changed here: 409, of the type managed."

func (s *server) addScheduleChanges(api huma.API) {
	put := huma.Operation{
		OperationID: "setSchedule", Method: http.MethodPut, Path: "/v1/schedules/{id}", Tags: scheduleTags,
		Summary:     "Make or replace a schedule",
		Description: "The body is a schedule as in a file of schedules, in JSON; durations are text with units, such as 90s. What is left out has its default. A schedule whose times stay the same keeps its next tick; one with other times starts anew, from now on. The queue of a schedule cannot be changed. A new one in a queue that no beat may write to is refused where that is known: 422." + aboutFiles,
		Middlewares: huma.Middlewares{takeBody(maxTaskBytes)},
		Responses:   answers(200, "Replaced", exampleSchedule, 400, 408, 409, 412, 413, 415, 422, 503),
	}
	put.Responses["201"] = answer(api, "Made", exampleSchedule)
	register(api, put, s.setSchedule)
	describeBodyAs(api, put, "application/json", scheduleSchema(api), exampleDefinition)

	patch := huma.Operation{
		OperationID: "patchSchedule", Method: http.MethodPatch, Path: "/v1/schedules/{id}", Tags: scheduleTags,
		Summary:     "Change some fields of a schedule",
		Description: "A merge patch (RFC 7396) of the definition: fields that are given replace those on record, null takes one away. Two changes at once do not undo each other." + aboutFiles,
		Middlewares: huma.Middlewares{takeBodyAs(maxTaskBytes, "application/merge-patch+json", "application/json")},
		Responses:   answers(200, "Changed", exampleSchedule, 400, 404, 408, 409, 412, 413, 415, 422, 503),
	}
	register(api, patch, s.patchSchedule)
	describeBodyAs(api, patch, "application/merge-patch+json", &huma.Schema{Type: huma.TypeObject, Description: "Fields of a schedule, and null for those that are to go."}, map[string]any{"cron": "30 4 * * *", "jitter": nil})

	removed := answers(204, "It is gone", nil, 404, 409, 412, 422, 503)
	removed["204"].Content = nil
	register(api, huma.Operation{
		OperationID: "deleteSchedule", Method: http.MethodDelete, Path: "/v1/schedules/{id}", Tags: scheduleTags, DefaultStatus: http.StatusNoContent,
		Summary:     "Delete a schedule",
		Description: "Its history goes, too; its tasks stay." + aboutFiles,
		Responses:   removed,
	}, func(ctx context.Context, in *changeInput) (*struct{}, error) {
		ctx, cancel := storeContext(ctx)
		defer cancel()
		if err := s.config.Schedules.Remove(ctx, in.Queue, in.ID, in.condition()); err != nil {
			return nil, s.scheduleError(ctx, "delete a schedule", in.ID, err)
		}
		s.config.Logger.InfoContext(ctx, "schedule deleted", "schedule", in.ID, "key_id", requestFrom(ctx).keyID)
		return nil, nil
	})
}

func (s *server) setSchedule(ctx context.Context, in *changeInput) (*scheduleOutput, error) {
	ctx, cancel := storeContext(ctx)
	defer cancel()
	body, p := scheduleBody(ctx)
	if p != nil {
		return nil, p
	}
	wanted, p := s.decodeSchedule(ctx, in.ID, body)
	if p != nil {
		return nil, p
	}
	return s.changeSchedule(ctx, in, func(definition []byte) (schedule.Schedule, error) {
		if definition == nil && s.config.Full() {
			return wanted, storeFull()
		}
		return wanted, nil
	})
}

func (s *server) patchSchedule(ctx context.Context, in *changeInput) (*scheduleOutput, error) {
	ctx, cancel := storeContext(ctx)
	defer cancel()
	body, p := scheduleBody(ctx)
	if p != nil {
		return nil, p
	}
	return s.changeSchedule(ctx, in, func(definition []byte) (schedule.Schedule, error) {
		if definition == nil {
			return schedule.Schedule{}, kindNotFound.problem("there is no schedule " + quote(in.ID) + " to change; PUT makes one")
		}
		wanted, p := s.decodeSchedule(ctx, in.ID, merged(definition, body))
		if p != nil {
			return wanted, p
		}
		return wanted, nil
	})
}

func (s *server) changeSchedule(ctx context.Context, in *changeInput, change func([]byte) (schedule.Schedule, error)) (*scheduleOutput, error) {
	e, made, err := s.config.Schedules.Change(ctx, in.Queue, in.ID, in.condition(), change)
	status := http.StatusOK
	if made {
		status = http.StatusCreated
	}
	if err == nil {
		s.config.Logger.InfoContext(ctx, "schedule changed", "schedule", in.ID, "queue", e.Queue, "revision", e.Revision, "key_id", requestFrom(ctx).keyID)
	}
	return s.scheduleAnswer(ctx, "change a schedule", in.ID, e, status, err)
}

// scheduleBody returns the request's body if it is a JSON object.
func scheduleBody(ctx context.Context) (json.RawMessage, *Problem) {
	body, _ := ctx.Value(bodyKey{}).([]byte)
	if err := scan(body); err != nil {
		return nil, kindMalformed.problem(err.Error(), newFault("body", nil, err.Error()))
	}
	if o := newObject(body, "body"); o.fields == nil {
		return nil, invalid(o.faults)
	}
	return body, nil
}

// decodeSchedule reads and checks a definition. Its ID is that of the path, whether the body has it or not.
func (s *server) decodeSchedule(ctx context.Context, id string, definition json.RawMessage) (wanted schedule.Schedule, p *Problem) {
	o := newObject(definition, "body")
	if o.has("id") {
		if inside := o.text("id"); inside != id {
			o.fault("id", inside, "is not that of the path, "+quote(id)+"; leave it out")
		}
	}
	definition = merged(definition, []byte(`{"id":`+string(mustJSON(id))+`}`))
	faults := append(o.faults, scheduleFaults(wanted.UnmarshalJSON(definition))...)
	if len(faults) > 0 {
		return wanted, invalid(faults)
	}
	m := wanted.Task
	m.ID = schedule.TaskID(id, s.now())
	p, err := s.checkType(ctx, m, "body")
	if err != nil {
		return wanted, s.fromError(ctx, "check the type of a schedule's task", err)
	}
	if p != nil && p.Type == problemsPath+kindUnknownType.code {
		p.Errors[0].Location = "body.task"
		p.Detail = p.Errors[0].Location + " " + p.Errors[0].Message
	}
	return wanted, p
}

// scheduleFaults are those of a definition, each with its field.
func scheduleFaults(err error) (faults []Fault) {
	if err == nil {
		return nil
	}
	all := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		all = joined.Unwrap()
	}
	for _, err := range all {
		f, ok := errors.AsType[*schedule.Fault](err)
		if !ok {
			faults = append(faults, newFault("body", nil, err.Error()))
			continue
		}
		location := "body"
		if f.Field != "" {
			location += "." + f.Field
		}
		name := f.Field[strings.LastIndexByte(f.Field, '.')+1:]
		faults = append(faults, newFault(location, nil, strings.TrimPrefix(f.Err.Error(), name+" ")))
	}
	return faults
}

// merged applies a merge patch (RFC 7396) to a JSON object. Values that it does not touch stay as they are written.
func merged(target, patch json.RawMessage) json.RawMessage {
	var into, from map[string]json.RawMessage
	if json.Unmarshal(patch, &from) != nil || from == nil {
		return patch
	}
	if json.Unmarshal(target, &into) != nil || into == nil {
		into = make(map[string]json.RawMessage)
	}
	for name, value := range from {
		if string(bytes.TrimSpace(value)) == "null" {
			delete(into, name)
		} else {
			into[name] = merged(into[name], value)
		}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(into); err != nil {
		return patch // it has been scanned, so it can be encoded
	}
	return bytes.TrimSpace(b.Bytes())
}

func mustJSON(s string) []byte {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string always can
	}
	return b
}

// scheduleSchema is the JSON Schema of a schedule, as files have it, without the ID, which stands in the path.
func scheduleSchema(api huma.API) *huma.Schema {
	const name = "ScheduleRequest"
	schemas := api.OpenAPI().Components.Schemas.Map()
	if schemas[name] == nil {
		var schema huma.Schema
		if err := json.Unmarshal(schedule.Schema(), &schema); err != nil {
			panic(err) // it is embedded
		}
		schema.Required = []string{"task"}
		schemas[name] = &schema
	}
	return &huma.Schema{Ref: "#/components/schemas/" + name}
}
