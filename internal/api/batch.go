package api

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"sync"

	"github.com/danielgtaylor/huma/v2"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/wire"
)

// BatchRequest is the body that enqueues many tasks.
type BatchRequest struct {
	Tasks []TaskRequest `json:"tasks" minItems:"1" maxItems:"1000" nullable:"false" doc:"Each as for POST /v1/tasks."`
}

// BatchAnswer is the answer to a batch.
type BatchAnswer struct {
	Items []BatchItem `json:"items" nullable:"false" doc:"One for each task, in the order of the request."`
}

// BatchItem is what POST /v1/tasks would have answered for one task of a batch.
type BatchItem struct {
	Status  int        `json:"status" doc:"202: stored. Otherwise the status of the problem." example:"202"`
	Task    *wire.Task `json:"task,omitempty" doc:"The task, if it was stored."`
	Problem *Problem   `json:"problem,omitempty" doc:"Why it was not."`
}

type batchInput struct {
	IdempotencyKey string `header:"Idempotency-Key" doc:"Not possible here; give each task an id of its own."`
}

type batchOutput struct{ Body BatchAnswer }

// conflictReaders bounds how many existing tasks are read at once for the conflicts of a batch.
const conflictReaders = 16

func (s *server) addBatch(api huma.API) {
	op := huma.Operation{
		OperationID: "enqueueTasks", Method: http.MethodPost, Path: "/v1/tasks/batch", Tags: []string{"Tasks"},
		Summary:     "Enqueue many tasks",
		Description: "Up to 1,000 tasks in a body of up to 8 MiB. 200 means that every task has its own answer in items, with the status that POST /v1/tasks would have given it; a task that is refused does not affect the others. A problem in place of items means that nothing was enqueued, except for 503: then it is not known, and a repeat is safe for tasks with an id.",
		Middlewares: huma.Middlewares{takeBody(maxBatchBytes)},
		Responses:   answers(200, "An answer for each task", exampleBatch, 400, 408, 413, 415, 422, 503),
	}
	register(api, op, s.enqueueBatch)
	describeBody[BatchRequest](api, op, exampleBatchRequest)
}

func (s *server) enqueueBatch(ctx context.Context, in *batchInput) (*batchOutput, error) {
	if in.IdempotencyKey != "" {
		return nil, invalid([]Fault{newFault("header.Idempotency-Key", nil, "is not possible for a batch; give each task an id, then a repeat is answered with 409 for those that exist")})
	}
	ctx, cancel := storeContext(ctx)
	defer cancel()
	body, _ := ctx.Value(bodyKey{}).([]byte)
	if s.config.Full() {
		return nil, storeFull()
	}
	raws, p := splitBatch(body)
	if p != nil {
		return nil, p
	}

	now := s.now()
	terms, err := s.terms(ctx)
	if err != nil {
		return nil, s.fromError(ctx, "read the terms of task types", err)
	}
	items := make([]BatchItem, len(raws))
	var messages []seri.Message
	var places []int // of each message in items
	for i, raw := range raws {
		at := "body.tasks[" + strconv.Itoa(i) + "]"
		m, faults := decodeTask(raw, at, now, terms)
		if len(faults) > 0 {
			items[i] = refusedItem(invalid(faults))
			continue
		}
		p, err := s.checkType(ctx, m, at)
		if err != nil {
			return nil, s.fromError(ctx, "check the types of a batch", err)
		}
		if p != nil {
			items[i] = refusedItem(p)
			continue
		}
		messages, places = append(messages, m), append(places, i)
	}

	stored, outage := 0, (*Problem)(nil)
	conflicts := make(map[*Problem]seri.Message)
	for j, err := range s.config.Tasks.EnqueueBatch(ctx, messages) {
		m, i := messages[j], places[j]
		if err == nil {
			t := s.acceptedTask(m, now)
			items[i] = BatchItem{Status: http.StatusAccepted, Task: &t}
			stored++
			continue
		}
		p := outage // of a thousand tasks that one outage has met, one is logged
		if p == nil || !unavailable(err) {
			p = s.refusal(ctx, m, err)
		}
		if p.Status == http.StatusServiceUnavailable {
			outage = p
		}
		if isConflict(err) {
			conflicts[p] = m
		}
		items[i] = refusedItem(p)
	}
	if outage != nil && stored == 0 {
		return nil, outage
	}
	s.showExisting(ctx, conflicts)
	return &batchOutput{BatchAnswer{items}}, nil
}

func refusedItem(p *Problem) BatchItem { return BatchItem{Status: p.Status, Problem: p} }

// splitBatch reads {"tasks": […]} without looking into the tasks.
func splitBatch(body []byte) ([]json.RawMessage, *Problem) {
	if err := scan(body); err != nil {
		return nil, kindMalformed.problem(err.Error(), newFault("body", nil, err.Error()))
	}
	o := newObject(body, "body")
	if o.fields == nil {
		return nil, invalid(o.faults)
	}
	o.onlyKnown([]string{"tasks"})
	var raws []json.RawMessage
	switch found := o.read("tasks", &raws, "an array of tasks"); {
	case o.faulty("tasks"):
	case !found || len(raws) == 0:
		o.fault("tasks", nil, "is missing or empty; send 1 to "+strconv.Itoa(maxBatchTasks)+" tasks")
	case len(raws) > maxBatchTasks:
		o.fault("tasks", nil, "has "+plural(len(raws), "task")+"; the limit is "+strconv.Itoa(maxBatchTasks)+", send several batches")
	}
	if len(o.faults) > 0 {
		return nil, invalid(o.faults)
	}
	return raws, nil
}

// showExisting adds to each conflict the task that was there before, as far as it can be read.
func (s *server) showExisting(ctx context.Context, conflicts map[*Problem]seri.Message) {
	var wg sync.WaitGroup
	free := make(chan struct{}, conflictReaders)
	for p, m := range conflicts {
		free <- struct{}{}
		wg.Go(func() {
			defer func() { <-free }()
			if existing, err := s.config.Tasks.Task(ctx, m.Queue, m.ID); err == nil {
				p.withTask(wire.NewTask(existing))
			}
		})
	}
	wg.Wait()
}
