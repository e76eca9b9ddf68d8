package api

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/redisfault"
	"github.com/seri-queue/seri/internal/wire"
)

// Problem is how every error is answered: an RFC 9457 problem, as application/problem+json.
type Problem struct {
	Type   string `json:"type" doc:"What kind of problem it is; the path answers with an explanation." example:"/problems/invalid"`
	Title  string `json:"title" doc:"The kind in words; the same for every problem of a type." example:"The request is not valid"`
	Status int    `json:"status" example:"422"`
	Detail string `json:"detail,omitempty" doc:"What was wrong this time, and what would be right." example:"2 fields are not valid"`

	Errors []Fault    `json:"errors,omitempty" doc:"One entry for every fault that was found."`
	Task   *wire.Task `json:"task,omitempty" doc:"The task that stands in the way, where there is one."`

	header http.Header
}

// Fault is one thing that is wrong with a request.
type Fault struct {
	Message  string `json:"message" doc:"What is wrong, and what would be right." example:"is a string, must be an integer"`
	Location string `json:"location,omitempty" doc:"Where: the path of a field below body, path, query or header." example:"body.payload.sizes[0]"`
	Value    any    `json:"value,omitempty" doc:"What stands there, if it is short."`
}

// maxEchoBytes bounds the value that a fault repeats.
const maxEchoBytes = 256

func newFault(location string, value any, message string) Fault {
	if encoded, err := json.Marshal(value); err != nil || len(encoded) > maxEchoBytes {
		value = nil
	}
	return Fault{Message: message, Location: location, Value: value}
}

// problem makes a problem of a kind. The detail is for this occurrence; it must not tell about the inside.
func (k *problemKind) problem(detail string, faults ...Fault) *Problem {
	return &Problem{Type: problemsPath + k.code, Title: k.title, Status: k.status, Detail: detail, Errors: faults}
}

func (p *Problem) withHeader(name, value string) *Problem {
	if p.header == nil {
		p.header = http.Header{}
	}
	p.header.Set(name, value)
	return p
}

func (p *Problem) withTask(t wire.Task) *Problem {
	p.Task = &t
	return p
}

// Error makes a Problem what a handler may return.
func (p *Problem) Error() string { return p.Detail }

// GetStatus, GetHeaders and ContentType are what huma asks of an error.
func (p *Problem) GetStatus() int            { return p.Status }
func (p *Problem) GetHeaders() http.Header   { return p.header }
func (p *Problem) ContentType(string) string { return problemType }

const problemType = "application/problem+json"

// write answers with the problem outside of huma.
func (p *Problem) write(w http.ResponseWriter) {
	maps.Copy(w.Header(), p.header)
	w.Header().Set("Content-Type", problemType)
	w.WriteHeader(p.Status)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(p) // the client has gone, then; there is nobody to tell
}

// invalid is a request with faults, all of which it lists.
func invalid(faults []Fault) *Problem {
	detail := faults[0].Location + " " + faults[0].Message
	if n := len(faults) - 1; n == 1 {
		detail += "; and 1 more fault"
	} else if n > 1 {
		detail = detail + "; and " + plural(n, "more fault")
	}
	return kindInvalid.problem(detail, faults...)
}

// fromError turns what a call to the store has come back with into an answer. Details of what it does not know stay
// in the log: they are about the inside.
func (s *server) fromError(ctx context.Context, doing string, err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	switch {
	case errors.Is(err, seri.ErrNotFound):
		return kindNotFound.problem("there is no such task, or no longer")
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return kindUnavailable.problem("the request was cancelled") // nobody reads it
	case errors.Is(redisfault.Mark(err), seri.ErrMemoryFull):
		s.config.Logger.ErrorContext(ctx, "store is full", "doing", doing, "error", err)
		return storeFull()
	case unavailable(err):
		s.config.Logger.ErrorContext(ctx, "store did not answer", "doing", doing, "error", err)
		return kindUnavailable.problem("the store does not answer; try again").withHeader("Retry-After", "1")
	}
	s.config.Logger.ErrorContext(ctx, "request failed", "doing", doing, "error", err)
	return internal(ctx)
}

func internal(ctx context.Context) *Problem {
	return kindInternal.problem("this is a fault of the server; its log says more under request " + requestFrom(ctx).id)
}

// unavailable reports whether another attempt may find what this one did not: a Redis that answers. A client that is
// closed is one whose server is stopping; another server may serve the request.
func unavailable(err error) bool {
	return errors.Is(redisfault.Mark(err), seri.ErrUnavailable) || errors.Is(err, redis.ErrClosed)
}

// storeFull answers a request that would need memory of a store that has none to spare.
func storeFull() *Problem {
	return kindUnavailable.problem("the store is full; tasks that run can finish, new ones are refused until there is room").withHeader("Retry-After", "5")
}

// fromHuma is a transformer: it turns the errors that huma itself raises, about parameters, into problems.
func fromHuma(_ huma.Context, _ string, v any) (any, error) {
	e, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	kind := kindInvalid
	if e.Status != http.StatusUnprocessableEntity {
		kind = kindInternal
	}
	var faults []Fault
	for _, detail := range e.Errors {
		if detail != nil {
			faults = append(faults, newFault(detail.Location, detail.Value, strings.TrimSpace(detail.Message)))
		}
	}
	if kind == kindInvalid && len(faults) > 0 {
		return invalid(faults), nil
	}
	p := kind.problem("")
	p.Status = e.Status
	return p, nil
}
