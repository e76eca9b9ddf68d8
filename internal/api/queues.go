package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/client"
	"github.com/seri-queue/seri/internal/wire"
)

// Queue is a queue at one moment.
type Queue struct {
	Name      string  `json:"name" example:"default"`
	Paused    bool    `json:"paused" doc:"Workers take nothing out of a paused queue."`
	Scheduled int     `json:"scheduled"`
	Pending   int     `json:"pending"`
	Active    int     `json:"active"`
	Retrying  int     `json:"retrying"`
	Succeeded int     `json:"succeeded" doc:"Whose results are still kept."`
	Archived  int     `json:"archived" doc:"Failed and revoked, together."`
	Latency   float64 `json:"latency" doc:"Seconds for which the oldest pending task has waited."`
	Processed int64   `json:"processed" doc:"Attempts that have ended, ever."`
	Failed    int64   `json:"failed" doc:"Attempts that have failed, ever."`
	Trimmed   int64   `json:"trimmed" doc:"Failed and revoked tasks that were deleted because they were too old or too many to keep, ever."`
	Repaired  int64   `json:"repaired" doc:"Faults of the queue's structure that were repaired, ever: traces of lost writes or foreign hands."`

	ForeignServers []string `json:"foreign_servers,omitempty" doc:"Live servers of stock asynq that consume the queue, as host:pid:id. While there is one, nothing is fenced on the queue. Up to 5 s old. Absent: none, or they could not be looked for."`

	Unserved bool `json:"unserved,omitempty" doc:"No live worker takes tasks out of the queue, or out of one of its partitions: they wait for one. Absent: it is served, or workers could not be looked for."`

	Partitions []Queue `json:"partitions,omitempty" doc:"Those of a queue that is divided, under their own names. The queue's numbers are their sums, its latency the greatest."`
}

// Queues is the answer to GET /v1/queues.
type Queues struct {
	Queues []Queue `json:"queues" nullable:"false"`
}

// Page is one page of a queue's tasks.
type Page struct {
	Tasks []wire.Task `json:"tasks" nullable:"false"`
	Next  string      `json:"next,omitempty" doc:"The cursor of the next page; absent on the last one."`
}

type (
	queueInput struct {
		Queue string `path:"queue" maxLength:"256" doc:"The queue's name." example:"default"`
	}
	// A page may hold the payloads and results of all its tasks, hence the low limit.
	pageInput struct {
		Queue  string `path:"queue" maxLength:"256" doc:"The queue's name." example:"default"`
		State  string `query:"state" required:"true" enum:"scheduled,pending,active,retrying,succeeded,failed,revoked" doc:"Which tasks."`
		Cursor string `query:"cursor" pattern:"^([0-9]{1,9}|x)([.]([0-9]{1,9}|x)){0,63}$" patternDescription:"what next was in an earlier page" doc:"Where to go on: next of the page before. Opaque."`
		Limit  int    `query:"limit" minimum:"1" maximum:"200" default:"50" doc:"How many tasks at most."`
	}
	queueOutput  struct{ Body Queue }
	queuesOutput struct{ Body Queues }
	pageOutput   struct{ Body Page }
)

func (s *server) addQueues(api huma.API) {
	tags := []string{"Queues"}
	register(api, huma.Operation{
		OperationID: "listQueues", Method: http.MethodGet, Path: "/v1/queues", Tags: tags,
		Summary:     "List the queues",
		Description: "Every queue that was ever used, with how many tasks it has in each state. The counts of one queue belong to one moment; those of different queues, and of the partitions of one that is divided, may not.",
		Responses:   answers(200, "The queues", exampleQueues, 503),
	}, s.queues)
	register(api, huma.Operation{
		OperationID: "listTasks", Method: http.MethodGet, Path: "/v1/queues/{queue}/tasks", Tags: tags,
		Summary:     "List a queue's tasks",
		Description: "The tasks of one state, page by page: those that wait with the next one first, those that have ended with the newest first; of a queue that is divided, those of all partitions. Tasks that come and go meanwhile may shift the pages.",
		Responses:   answers(200, "One page", examplePage, 404, 422, 503),
	}, s.page)
	register(api, huma.Operation{
		OperationID: "pauseQueue", Method: http.MethodPost, Path: "/v1/queues/{queue}/pause", Tags: tags,
		Summary:     "Pause a queue",
		Description: "Workers stop taking tasks out of the queue; those that run go on, and new ones are still taken in. Pausing a paused queue changes nothing.",
		Responses:   answers(200, "The queue, paused", examplePaused, 404, 422, 503),
	}, func(ctx context.Context, in *queueInput) (*queueOutput, error) {
		return s.change(ctx, "pause a queue", in.Queue, s.config.Tasks.Pause)
	})
	register(api, huma.Operation{
		OperationID: "resumeQueue", Method: http.MethodPost, Path: "/v1/queues/{queue}/resume", Tags: tags,
		Summary:     "Resume a queue",
		Description: "Ends a pause. Resuming a queue that is not paused changes nothing.",
		Responses:   answers(200, "The queue, no longer paused", exampleQueue, 404, 422, 503),
	}, func(ctx context.Context, in *queueInput) (*queueOutput, error) {
		return s.change(ctx, "resume a queue", in.Queue, s.config.Tasks.Resume)
	})
}

func (s *server) queues(ctx context.Context, _ *struct{}) (*queuesOutput, error) {
	ctx, cancel := storeContext(ctx)
	defer cancel()
	infos, err := s.config.Tasks.Queues(ctx)
	if err != nil {
		return nil, s.fromError(ctx, "list queues", err)
	}
	body := Queues{Queues: []Queue{}}
	for _, info := range infos {
		body.Queues = append(body.Queues, newQueue(info))
	}
	return &queuesOutput{body}, nil
}

func (s *server) page(ctx context.Context, in *pageInput) (*pageOutput, error) {
	ctx, cancel := storeContext(ctx)
	defer cancel()
	infos, next, err := s.config.Tasks.Page(ctx, in.Queue, seri.State(in.State), in.Cursor, in.Limit)
	if errors.Is(err, client.ErrCursor) { // that of another queue, or the queue was divided otherwise meanwhile
		return nil, invalid([]Fault{newFault("query.cursor", in.Cursor, client.ErrCursor.Error())})
	}
	if err == nil && len(infos) == 0 {
		_, err = s.config.Tasks.Queue(ctx, in.Queue) // an empty page of a queue that is not there would be misleading
	}
	if err != nil {
		return nil, s.queueError(ctx, "list a queue's tasks", in.Queue, err)
	}
	body := Page{Tasks: []wire.Task{}, Next: next}
	for _, info := range infos {
		body.Tasks = append(body.Tasks, wire.NewTask(info))
	}
	return &pageOutput{body}, nil
}

func (s *server) change(ctx context.Context, doing, queue string, do func(context.Context, string) error) (*queueOutput, error) {
	ctx, cancel := storeContext(ctx)
	defer cancel()
	if err := do(ctx, queue); err != nil {
		return nil, s.queueError(ctx, doing, queue, err)
	}
	info, err := s.config.Tasks.Queue(ctx, queue)
	if err != nil {
		return nil, s.queueError(ctx, doing, queue, err)
	}
	s.config.Logger.InfoContext(ctx, "queue changed", "doing", doing, "queue", queue, "key_id", requestFrom(ctx).keyID)
	return &queueOutput{newQueue(info)}, nil
}

func (s *server) queueError(ctx context.Context, doing, queue string, err error) *Problem {
	if errors.Is(err, seri.ErrNotFound) {
		return kindNotFound.problem("there is no queue " + quote(queue) + "; a queue comes into being with its first task")
	}
	return s.fromError(ctx, doing, err)
}

func newQueue(q client.QueueInfo) Queue {
	queue := Queue{
		Name: q.Name, Paused: q.Paused,
		Scheduled: q.Scheduled, Pending: q.Pending, Active: q.Active, Retrying: q.Retrying, Succeeded: q.Succeeded, Archived: q.Archived,
		Latency: q.Latency.Seconds(), Processed: q.Processed, Failed: q.Failed, Trimmed: q.Trimmed, Repaired: q.Repaired, ForeignServers: q.Foreign, Unserved: q.Unserved,
	}
	for _, p := range q.Partitions {
		queue.Partitions = append(queue.Partitions, newQueue(p))
	}
	return queue
}
