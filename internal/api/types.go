package api

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/client"
	"github.com/seri-queue/seri/internal/typeschema"
)

const (
	typesLife = time.Second // how long what the workers have published is believed
	// typesAgain is how old that must be before an unknown type makes the server look again, so that a worker's
	// first task is not refused for a second, and unknown types cost Redis no more than ten reads a second.
	typesAgain = 100 * time.Millisecond
)

// TypesOf describes handlers for [Config.Types].
func TypesOf(handlers []seri.Handler) ([]client.TypeInfo, error) {
	var types []client.TypeInfo
	for _, h := range handlers {
		args, err := typeschema.For(h.Args)
		if err != nil {
			return nil, fmt.Errorf("task %s: arguments: %w", h.Type, err)
		}
		result, err := typeschema.For(h.Result)
		if err != nil {
			return nil, fmt.Errorf("task %s: result: %w", h.Type, err)
		}
		t := client.TypeOf(&h)
		t.Args, t.Result = args, result
		types = append(types, t)
	}
	return types, nil
}

// knownTypes are the types of task that may be enqueued: those compiled in and those of live workers. Where both know
// a type, the worker's schema counts: it is the one that will decode the payload.
type knownTypes struct {
	compiled []client.TypeInfo
	live     func(context.Context) ([]client.TypeInfo, error)
	now      func() time.Time

	mu      sync.Mutex
	merged  map[string]client.TypeInfo
	fetched time.Time
}

// all returns the known types by name, no older than maxAge. The map must not be changed.
func (k *knownTypes) all(ctx context.Context, maxAge time.Duration) (map[string]client.TypeInfo, error) {
	k.mu.Lock() // held during the read, so that of many requests one asks
	defer k.mu.Unlock()
	if k.merged != nil && k.now().Sub(k.fetched) < maxAge {
		return k.merged, nil
	}
	live, err := k.live(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the types that workers have published: %w", err)
	}
	merged := make(map[string]client.TypeInfo)
	for _, t := range slices.Concat(k.compiled, live) {
		merged[t.Name] = t
	}
	k.merged, k.fetched = merged, k.now()
	return merged, nil
}

// terms returns the function that tells the terms of a type's tasks: the type's own, or the defaults for a type that
// nobody knows.
func (s *server) terms(ctx context.Context) (func(typ string) seri.Message, error) {
	known, err := s.types.all(ctx, typesLife)
	if err != nil {
		return nil, err
	}
	return func(typ string) seri.Message {
		if t := known[typ]; t.Terms.Queue != "" {
			return t.Terms
		}
		return client.TypeOf(&seri.Handler{Type: typ}).Terms
	}, nil
}

// checkType refuses a task that no worker could run: of an unknown type, or with a payload that does not fit.
func (s *server) checkType(ctx context.Context, m seri.Message, at string) (*Problem, error) {
	known, err := s.types.all(ctx, typesLife)
	if err != nil {
		return nil, err
	}
	t, ok := known[m.Type]
	if !ok {
		if known, err = s.types.all(ctx, typesAgain); err != nil {
			return nil, err
		}
		t, ok = known[m.Type]
	}
	if !ok {
		if s.config.AllowUnknownTypes {
			return nil, nil
		}
		fault := newFault(at+".type", m.Type, unknownType(slices.Sorted(maps.Keys(known)), m.Type))
		return kindUnknownType.problem(fault.Location+" "+fault.Message, fault), nil
	}

	misfits, err := s.validator.Check(t.Args, m.Payload)
	if err != nil {
		// What is published for the type is no schema. The worker decodes the payload anyway, and says so if it cannot.
		s.config.Logger.WarnContext(ctx, "payload was not checked", "type", m.Type, "error", err)
		return nil, nil
	}
	if len(misfits) == 0 {
		return nil, nil
	}
	var faults []Fault
	for _, f := range misfits {
		location := at + ".payload"
		if f.Path != "" && f.Path[0] != '[' {
			location += "."
		}
		faults = append(faults, newFault(location+f.Path, f.Value, f.Message))
	}
	return invalid(faults), nil
}

func unknownType(known []string, typ string) string {
	if near := nearest(typ, known); len(near) > 0 {
		return fmt.Sprintf("is not a type that any worker knows; did you mean %s?", strings.Join(near, " or "))
	}
	if len(known) == 0 {
		return "is not a type that any worker knows; no worker has published any, so start one"
	}
	return "is not a type that any worker knows; GET /v1/types lists " + plural(len(known), "type")
}

// Type is one type of task.
type Type struct {
	Name    string          `json:"name" example:"csv.profile"`
	Args    json.RawMessage `json:"args,omitempty" doc:"JSON Schema of the payload; absent: any JSON."`
	Result  json.RawMessage `json:"result,omitempty" doc:"JSON Schema of the result; absent: any JSON."`
	Queues  []string        `json:"queues,omitempty" doc:"Queues whose workers can run the type." example:"[\"default\"]"`
	Workers int             `json:"workers" doc:"Live worker processes that can run the type." example:"2"`

	Queue      string  `json:"queue" doc:"Where a task of the type waits unless the request says otherwise." example:"default"`
	MaxRetries int     `json:"max_retries" doc:"How often a failed attempt is repeated, unless the request says otherwise." example:"5"`
	Timeout    float64 `json:"timeout" doc:"Seconds that one attempt may take, unless the request says otherwise." example:"1800"`
	Retention  float64 `json:"retention" doc:"Seconds for which the result is kept, unless the request says otherwise." example:"86400"`
}

// Types is the answer to GET /v1/types.
type Types struct {
	Types []Type `json:"types" nullable:"false"`
}

type typesOutput struct{ Body Types }

func (s *server) addTypes(api huma.API) {
	op := huma.Operation{
		OperationID: "listTypes", Method: http.MethodGet, Path: "/v1/types", Tags: []string{"Types"},
		Summary:     "List the types of task",
		Description: "What can be enqueued: the types compiled into the server and those that live workers have published, with the JSON Schemas of their payloads and results. Up to one second old.",
		Responses:   answers(200, "The known types", exampleTypes, 503),
	}
	register(api, op, func(ctx context.Context, _ *struct{}) (*typesOutput, error) {
		ctx, cancel := storeContext(ctx)
		defer cancel()
		known, err := s.types.all(ctx, typesLife)
		if err != nil {
			return nil, s.fromError(ctx, "list types", err)
		}
		body := Types{Types: []Type{}}
		for _, name := range slices.Sorted(maps.Keys(known)) {
			t := known[name]
			body.Types = append(body.Types, Type{
				Name: t.Name, Args: usable(t.Args), Result: usable(t.Result), Queues: t.Queues, Workers: t.Workers,
				Queue: t.Terms.Queue, MaxRetries: t.Terms.MaxRetries, Timeout: t.Terms.Timeout.Seconds(), Retention: t.Terms.Retention.Seconds(),
			})
		}
		return &typesOutput{body}, nil
	})
}

// usable keeps what a worker published from breaking the answer.
func usable(schema json.RawMessage) json.RawMessage {
	if !json.Valid(schema) {
		return nil
	}
	return schema
}
