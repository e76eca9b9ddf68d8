package api

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/wire"
)

type enqueueInput struct {
	TokenTTL       float64 `query:"token_ttl" minimum:"10" maximum:"43200" doc:"Seconds that a token shall last with which a browser can watch this task; it comes in the answer. Without it, none is made." example:"900"`
	IdempotencyKey string  `header:"Idempotency-Key" minLength:"1" maxLength:"255" doc:"Any text. For 24 hours a repeat with the same key and the same body, byte for byte, answers with the first task and makes no second one."`
}

// Resolve implements [huma.Resolver]. huma takes an empty header for none, and a client that sends one, such as from a
// variable that is not set, would go without the protection that it has asked for.
func (*enqueueInput) Resolve(ctx huma.Context) (errs []error) {
	keys := 0
	ctx.EachHeader(func(name, value string) {
		if !strings.EqualFold(name, "Idempotency-Key") {
			return
		}
		if keys++; keys == 2 {
			errs = append(errs, &huma.ErrorDetail{Location: "header.Idempotency-Key", Message: "is given twice; which one counts would be a guess"})
		}
		if value == "" {
			errs = append(errs, &huma.ErrorDetail{
				Location: "header.Idempotency-Key",
				Message:  "is empty, must have 1 to 255 characters; leave the header out to go without a key",
			})
		}
	})
	return errs
}

type enqueueOutput struct {
	Location string `header:"Location" doc:"The path of the task, with its queue."`
	Replayed string `header:"Idempotent-Replayed" doc:"true: the task was made by an earlier request with this Idempotency-Key."`
	Body     Accepted
}

// Accepted is a task that was taken in, and how a browser may watch it.
type Accepted struct {
	wire.Task
	Token          string     `json:"token,omitempty" doc:"With which a browser can watch this task and nothing else, if token_ttl was given."`
	TokenExpiresAt *time.Time `json:"token_expires_at,omitempty"`
}

type taskInput struct {
	ID    string `path:"id" maxLength:"256" doc:"The task's id." example:"R4ZFQ2M5KXW7TJ3NB6VYAH2CLE"`
	Queue string `query:"queue" maxLength:"256" doc:"The task's queue. Without it, all queues are searched."`
}

type taskOutput struct {
	Status int
	Body   wire.Task
}

// addTask adds what browsers may ask for, too.
func (s *server) addTask(api huma.API) {
	register(api, huma.Operation{
		OperationID: "getTask", Method: http.MethodGet, Path: "/v1/tasks/{id}", Tags: []string{"Tasks"},
		Summary:     "Look at a task",
		Description: "State, progress, attempts, times, and the result or the error. 404 if there is no such task, or no longer: after its retention a task is deleted. The holder of a token sees the tasks that it allows, without payload and headers.",
		Responses:   answers(200, "The task", exampleFinished, 404, 422, 503),
	}, s.task)
}

func (s *server) addTasks(api huma.API) {
	tags := []string{"Tasks"}
	enqueue := huma.Operation{
		OperationID: "enqueueTask", Method: http.MethodPost, Path: "/v1/tasks", Tags: tags, DefaultStatus: http.StatusAccepted,
		Summary:     "Enqueue a task",
		Description: "202 means that the task is stored. It is shown as it was accepted; Location has its later states. A second task with the same id in the same queue is refused with 409, whose member task is the one that exists. Durations are numbers of seconds.",
		Middlewares: huma.Middlewares{takeBody(maxTaskBytes)},
		Responses:   answers(202, "Stored", exampleTask, 400, 408, 409, 413, 415, 422, 503),
	}
	register(api, enqueue, s.enqueue)
	describeBody[TaskRequest](api, enqueue, exampleRequest)

	revoke := answers(200, "The task is revoked and will not run", exampleRevoked, 404, 409, 422, 503)
	revoke["202"] = answer(api, "A worker is running the task and has been asked to stop; the task is revoked once the worker has let go", exampleRunning)
	register(api, huma.Operation{
		OperationID: "revokeTask", Method: http.MethodDelete, Path: "/v1/tasks/{id}", Tags: tags,
		Summary:     "Revoke a task",
		Description: "Durable, also while the task runs: its handler's context is cancelled. 409 if the task has ended already; the member task tells how.",
		Responses:   revoke,
	}, s.revoke)
}

func (s *server) enqueue(ctx context.Context, in *enqueueInput) (*enqueueOutput, error) {
	if in.TokenTTL > 0 && s.config.Tokens == nil {
		return nil, invalid([]Fault{newFault("query.token_ttl", in.TokenTTL, noTokens)})
	}
	out, err := s.enqueueTask(ctx, in)
	if err != nil || in.TokenTTL == 0 {
		return out, err
	}
	return s.withToken(ctx, out, in.TokenTTL)
}

func (s *server) enqueueTask(ctx context.Context, in *enqueueInput) (*enqueueOutput, error) {
	ctx, cancel := storeContext(ctx)
	defer cancel()
	body, _ := ctx.Value(bodyKey{}).([]byte)
	if in.IdempotencyKey != "" {
		return s.enqueueOnce(ctx, in.IdempotencyKey, body)
	}
	if s.config.Full() {
		return nil, storeFull()
	}
	now := s.now()
	m, p := s.decode(ctx, body, now)
	if p != nil {
		return nil, p
	}
	if err := s.config.Tasks.Enqueue(ctx, m); err != nil {
		return nil, s.refused(ctx, m, err)
	}
	return accepted(s.acceptedTask(m, now), false), nil
}

// decode reads and checks the body of one task. now is what a countdown begins at.
func (s *server) decode(ctx context.Context, body []byte, now time.Time) (seri.Message, *Problem) {
	if err := scan(body); err != nil {
		return seri.Message{}, kindMalformed.problem(err.Error(), newFault("body", nil, err.Error()))
	}
	terms, err := s.terms(ctx)
	if err != nil {
		return seri.Message{}, s.fromError(ctx, "read the terms of task types", err)
	}
	m, faults := decodeTask(body, "body", now, terms)
	if len(faults) > 0 {
		return m, invalid(faults)
	}
	p, err := s.checkType(ctx, m, "body")
	if err != nil {
		return m, s.fromError(ctx, "check the type of a task", err)
	}
	return m, p
}

// refused answers for a task that the store has not taken.
func (s *server) refused(ctx context.Context, m seri.Message, err error) *Problem {
	p := s.refusal(ctx, m, err)
	if p.Type != problemsPath+kindConflict.code {
		return p
	}
	existing, err := s.config.Tasks.Task(ctx, m.Queue, m.ID)
	if err != nil {
		return p // gone between the two calls, or not readable now; the conflict is true all the same
	}
	return p.withTask(wire.NewTask(existing))
}

// refusal is [server.refused] without another call to the store.
func (s *server) refusal(ctx context.Context, m seri.Message, err error) *Problem {
	switch {
	case isConflict(err):
		return kindConflict.problem("the queue "+quote(m.Queue)+" has a task with the id "+quote(m.ID)).
			withHeader("Location", taskPath(m.Queue, m.ID))
	case isDuplicate(err):
		return kindDuplicate.problem("a task of type " + quote(m.Type) + " with this payload holds the uniqueness lock in the queue " + quote(m.Queue))
	}
	return s.fromError(ctx, "enqueue a task", err)
}

func accepted(t wire.Task, replayed bool) *enqueueOutput {
	out := &enqueueOutput{Location: taskPath(t.Queue, t.ID), Body: Accepted{Task: t}}
	if replayed {
		out.Replayed = "true"
	}
	return out
}

// acceptedTask shows a message as the task that it has just become. Reading it back would cost a round trip to learn
// only what may have happened since.
func (s *server) acceptedTask(m seri.Message, now time.Time) wire.Task {
	info := seri.Info{
		ID: m.ID, Type: m.Type, Queue: m.Queue, Owner: m.Owner, State: seri.Pending,
		Partition: s.config.Partitions.Find(s.config.Partitions.Place(&m)).Partition,
		Payload:   m.Payload, Headers: m.Headers,
		MaxRetries: m.MaxRetries, Timeout: wholeSeconds(m.Timeout), Deadline: m.Deadline, Expires: m.Expires, Retention: wholeSeconds(m.Retention),
		EnqueuedAt: now.Truncate(time.Millisecond), Seq: 1,
	}
	if m.ETA.After(now) {
		info.State, info.DueAt = seri.Scheduled, m.ETA
	}
	return wire.NewTask(info)
}

// wholeSeconds rounds up, as the store does.
func wholeSeconds(d time.Duration) time.Duration {
	return (d + time.Second - 1).Truncate(time.Second)
}

func taskPath(queue, id string) string {
	return "/v1/tasks/" + url.PathEscape(id) + "?queue=" + url.QueryEscape(queue)
}

func (s *server) task(ctx context.Context, in *taskInput) (*taskOutput, error) {
	ctx, cancel := storeContext(ctx)
	defer cancel()
	info, err := s.find(ctx, in)
	pass := requestFrom(ctx).pass
	if err == nil && pass != nil && !pass.Scope.Covers(info) {
		err = seri.ErrNotFound // which tells nothing of what others have
	}
	if err != nil {
		return nil, s.fromError(ctx, "look at a task", err)
	}
	if pass != nil {
		info.Payload, info.Headers = nil, nil
	}
	return &taskOutput{http.StatusOK, wire.NewTask(info)}, nil
}

func (s *server) find(ctx context.Context, in *taskInput) (seri.Info, error) {
	if in.Queue != "" {
		return s.config.Tasks.Task(ctx, in.Queue, in.ID)
	}
	return s.config.Tasks.Find(ctx, in.ID)
}

func (s *server) revoke(ctx context.Context, in *taskInput) (*taskOutput, error) {
	ctx, cancel := storeContext(ctx)
	defer cancel()
	queue := in.Queue
	if queue == "" {
		info, err := s.config.Tasks.Find(ctx, in.ID)
		if err != nil {
			return nil, s.fromError(ctx, "find a task to revoke", err)
		}
		queue = info.Queue
	}
	info, err := s.config.Tasks.Revoke(ctx, queue, in.ID)
	switch {
	case isEnded(err):
		return nil, kindEnded.problem("the task has " + past(info.State) + " already").withTask(wire.NewTask(info))
	case err != nil:
		return nil, s.fromError(ctx, "revoke a task", err)
	case info.State == seri.Revoked:
		return &taskOutput{http.StatusOK, wire.NewTask(info)}, nil
	}
	return &taskOutput{http.StatusAccepted, wire.NewTask(info)}, nil
}

func past(s seri.State) string {
	if s == seri.Revoked {
		return "been revoked"
	}
	return string(s)
}
