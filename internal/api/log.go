package api

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/seri-queue/seri/client"
)

// Log is a task's own log: what its handler has written to it.
type Log struct {
	Lines  []client.LogLine  `json:"lines" nullable:"false" doc:"The oldest first."`
	Cut    bool              `json:"cut,omitempty" doc:"There are, or were, others: older ones that are not kept, or more than were asked for."`
	Places []client.LogPlace `json:"places,omitempty" doc:"The streams of CloudWatch Logs that the lines come from, of tasks that have run in AWS."`
}

// LogReader reads the lines of a task in a place outside of the store, at most limit, the oldest first, up to a time; more
// tells that there may be others.
type LogReader func(ctx context.Context, from client.LogPlace, task string, until time.Time, limit int) (lines []client.LogLine, more bool, err error)

type (
	logInput struct {
		ID    string `path:"id" maxLength:"256" doc:"The task's id." example:"R4ZFQ2M5KXW7TJ3NB6VYAH2CLE"`
		Queue string `query:"queue" maxLength:"256" doc:"The task's queue. Without it, all queues are searched."`
		Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"500" doc:"How many lines at most: the newest of those that the store keeps, the oldest of those in CloudWatch."`
	}
	logOutput struct{ Body Log }
)

// maxPlaces bounds the attempts whose places are looked at, the newest ones: each is a few calls.
const maxPlaces = 10

func (s *server) addLogs(api huma.API) {
	register(api, huma.Operation{
		OperationID: "getTaskLog", Method: http.MethodGet, Path: "/v1/tasks/{id}/logs", Tags: []string{"Tasks"},
		Summary:     "Read a task's log",
		Description: "What the task's handler has logged, in all of its attempts, a quarter of a second later. About 64 KiB of it are kept, for as long as the result and a day at least; of workers in AWS whatever CloudWatch keeps is found. 503 if CloudWatch does not answer.",
		Responses:   answers(200, "The log", exampleLog, 404, 422, 503),
	}, s.taskLog)
}

func (s *server) taskLog(ctx context.Context, in *logInput) (*logOutput, error) {
	ctx, cancel := storeContext(ctx)
	defer cancel()
	info, err := s.find(ctx, &taskInput{in.ID, in.Queue})
	if err != nil {
		return nil, s.fromError(ctx, "find a task to read its log", err)
	}
	kept, err := s.config.Tasks.Log(ctx, info.Queue, info.ID)
	if err != nil {
		return nil, s.fromError(ctx, "read the log of a task", err)
	}
	log := Log{Lines: append([]client.LogLine{}, kept.Lines...), Cut: kept.Cut, Places: kept.Places}
	if n := len(log.Lines) - in.Limit; n > 0 {
		log.Lines, log.Cut = log.Lines[n:], true
	}
	if s.config.LogReader == nil || len(kept.Places) == 0 {
		return &logOutput{log}, nil
	}
	until := info.FinishedAt
	if until.IsZero() {
		until = s.now()
	}
	for i, place := range kept.Places {
		if len(kept.Places)-i > maxPlaces {
			log.Cut = true
			continue
		}
		if slices.ContainsFunc(kept.Places[:i], func(p client.LogPlace) bool {
			return p.Region == place.Region && p.Group == place.Group && p.Stream == place.Stream
		}) {
			continue // the first of a stream's begins earlier, and all of them end now
		}
		lines, more, err := s.config.LogReader(ctx, place, info.ID, until, in.Limit-len(log.Lines))
		if err != nil {
			s.config.Logger.ErrorContext(ctx, "log of a task not read", "task_id", info.ID, "queue", info.Queue, "type", info.Type, "group", place.Group, "stream", place.Stream, "error", err)
			return nil, kindUnavailable.problem("CloudWatch does not give the lines out; the api's log says why").withHeader("Retry-After", "5")
		}
		log.Lines, log.Cut = append(log.Lines, lines...), log.Cut || more
		if len(log.Lines) >= in.Limit {
			log.Cut = log.Cut || i+1 < len(kept.Places)
			break
		}
	}
	slices.SortStableFunc(log.Lines, func(a, b client.LogLine) int { return a.Time.Compare(b.Time) })
	return &logOutput{log}, nil
}
