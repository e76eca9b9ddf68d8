package api

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/schedule"
	"github.com/seri-queue/seri/internal/timetable"
)

// Schedules is what the API asks of the schedules on record; [*timetable.Timetable] has it.
type Schedules interface {
	List(ctx context.Context, queue, after string, limit int) (entries []timetable.Entry, next string, err error)
	Find(ctx context.Context, queue, id string) (timetable.Entry, error)
	Change(ctx context.Context, queue, id string, only timetable.Condition, change func(definition []byte) (schedule.Schedule, error)) (timetable.Entry, bool, error)
	Remove(ctx context.Context, queue, id string, only timetable.Condition) error
	Pause(ctx context.Context, queue, id, note string) (timetable.Entry, error)
	Resume(ctx context.Context, queue, id string) (timetable.Entry, error)
	Trigger(ctx context.Context, queue, id string, allow bool) (timetable.Run, error)
	Backfill(ctx context.Context, queue, id string, from, to time.Time, allow bool) ([]timetable.Run, error)
	History(ctx context.Context, queue, id string, limit int) ([]timetable.Past, timetable.Entry, error)
}

// Schedule is a schedule at one moment.
type Schedule struct {
	ID       string `json:"id" example:"nightly-report"`
	Queue    string `json:"queue" doc:"The queue that its tasks go to." example:"default"`
	Source   string `json:"source" enum:"file,api" doc:"Who has made it: a file of schedules, which alone can change it, or a program or person at run time."`
	Revision string `json:"revision" doc:"Stands for the definition; also in the header ETag." example:"8f2f6a0d3c5b9e71"`

	Definition json.RawMessage `json:"definition" doc:"When, what, and under which terms: as in a file of schedules, with every default filled in. null if what is on record is not JSON."`

	Next     *time.Time  `json:"next,omitempty" doc:"The next tick. Absent: there is none, it is paused, or it has a fault."`
	Last     *time.Time  `json:"last,omitempty" doc:"The last tick whose task was enqueued."`
	LastTask string      `json:"last_task,omitempty" doc:"The id of that task."`
	State    seri.State  `json:"last_state,omitempty" doc:"The state of that task. Absent: it is not there any more."`
	Runs     int64       `json:"runs" doc:"Ticks whose tasks were enqueued, without those that somebody has asked for."`
	Missed   int64       `json:"missed" doc:"Ticks without a task."`
	Failures int         `json:"failures,omitempty" doc:"Tasks that have failed in a row, as the last tick saw it; with pause_after only."`
	Waiting  []time.Time `json:"waiting,omitempty" doc:"Ticks that wait for the task of an earlier one to end."`

	Fault  string `json:"fault,omitempty" doc:"What is wrong with its definition. Beats of this version do not serve it: another version, which takes more, has stored it, or somebody has damaged it. A new definition mends it." example:"jitter is 2m0s, must be no longer than the interval of 1m30s"`
	Denied bool   `json:"denied,omitempty" doc:"It does not tick: no beat may write to its queue. Their Redis users lack the rules for it."`
	Paused *Pause `json:"paused,omitempty" doc:"Absent: it is not paused."`
}

// Pause says since when and why a schedule is paused.
type Pause struct {
	Since    time.Time `json:"since"`
	Note     string    `json:"note,omitempty" doc:"Why." example:"the report is being repaired"`
	ByItself bool      `json:"by_itself,omitempty" doc:"Too many of its tasks have failed in a row (pause_after). Such a pause ends with a new definition, too."`
}

// SchedulePage is one page of schedules.
type SchedulePage struct {
	Schedules []Schedule `json:"schedules" nullable:"false"`
	Next      string     `json:"next,omitempty" doc:"The cursor of the next page; absent on the last one."`
}

// SchedulePath names a schedule in a request.
type SchedulePath struct {
	ID    string `path:"id" maxLength:"200" doc:"The schedule's id." example:"nightly-report"`
	Queue string `query:"queue" maxLength:"256" doc:"The queue that its tasks go to. Without it, all queues are searched."`
}

type (
	schedulesInput struct {
		Queue  string `query:"queue" maxLength:"256" doc:"Only schedules whose tasks go to this queue."`
		Cursor string `query:"cursor" maxLength:"700" pattern:"^[A-Za-z0-9_-]*$" patternDescription:"what next was in an earlier page" doc:"Where to go on: next of the page before. Opaque."`
		Limit  int    `query:"limit" minimum:"1" maximum:"200" default:"50" doc:"How many schedules at most."`
	}
	schedulesOutput struct{ Body SchedulePage }
	scheduleOutput  struct {
		Status int
		ETag   string `header:"ETag" doc:"The revision, in quotes: for If-Match."`
		Body   Schedule
	}
)

var scheduleTags = []string{"Schedules"}

func (s *server) addSchedules(api huma.API) {
	if s.config.Schedules == nil {
		return
	}
	register(api, huma.Operation{
		OperationID: "listSchedules", Method: http.MethodGet, Path: "/v1/schedules", Tags: scheduleTags,
		Summary:     "List the schedules",
		Description: "By queue and id, page by page; those that come and go meanwhile do not shift the pages. The events dev.seri.schedule.* of /v1/events tell of what happens to them.",
		Responses:   answers(200, "One page", exampleSchedules, 422, 503),
	}, s.schedules)
	register(api, huma.Operation{
		OperationID: "getSchedule", Method: http.MethodGet, Path: "/v1/schedules/{id}", Tags: scheduleTags,
		Summary:     "Look at a schedule",
		Description: "Its definition, its next tick, and what became of the last one.",
		Responses:   answers(200, "The schedule", exampleSchedule, 404, 409, 422, 503),
	}, func(ctx context.Context, in *SchedulePath) (*scheduleOutput, error) {
		ctx, cancel := storeContext(ctx)
		defer cancel()
		e, err := s.config.Schedules.Find(ctx, in.Queue, in.ID)
		return s.scheduleAnswer(ctx, "look at a schedule", in.ID, e, http.StatusOK, err)
	})
	s.addScheduleChanges(api)
	s.addScheduleRuns(api)
	s.addScheduleTimes(api)
}

func (s *server) schedules(ctx context.Context, in *schedulesInput) (*schedulesOutput, error) {
	ctx, cancel := storeContext(ctx)
	defer cancel()
	after, err := base64.RawURLEncoding.DecodeString(in.Cursor)
	if err != nil {
		return nil, invalid([]Fault{newFault("query.cursor", in.Cursor, "must be what next was in an earlier page")})
	}
	entries, next, err := s.config.Schedules.List(ctx, in.Queue, string(after), in.Limit)
	if err != nil {
		return nil, s.scheduleError(ctx, "list schedules", "", err)
	}
	body := SchedulePage{Schedules: []Schedule{}, Next: base64.RawURLEncoding.EncodeToString([]byte(next))}
	for i := range entries {
		body.Schedules = append(body.Schedules, newSchedule(&entries[i]))
	}
	return &schedulesOutput{body}, nil
}

func (s *server) scheduleAnswer(ctx context.Context, doing, id string, e timetable.Entry, status int, err error) (*scheduleOutput, error) {
	if err != nil {
		return nil, s.scheduleError(ctx, doing, id, err)
	}
	return &scheduleOutput{status, `"` + e.Revision + `"`, newSchedule(&e)}, nil
}

func newSchedule(e *timetable.Entry) Schedule {
	s := Schedule{
		ID: e.ID, Queue: string(e.Queue), Source: string(e.Origin), Revision: e.Revision, Definition: usable(e.Definition),
		Last: optional(e.Last), LastTask: e.LastTask, State: e.LastState, Runs: e.Runs, Missed: e.Missed, Failures: e.Failures, Fault: e.Fault, Denied: e.Denied,
	}
	for _, w := range e.Waiting {
		s.Waiting = append(s.Waiting, w.Tick.UTC())
	}
	if e.Paused {
		s.Paused = &Pause{e.PausedAt.UTC(), e.Note, e.ByItself}
	} else if e.Fault == "" {
		s.Next = optional(e.Next)
	}
	return s
}

func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return new(t.UTC())
}

// scheduleError turns what the timetable has come back with into an answer.
func (s *server) scheduleError(ctx context.Context, doing, id string, err error) *Problem {
	if e, ok := errors.AsType[*timetable.ElsewhereError](err); ok {
		advice := "; its queue cannot be changed, so delete it and make it anew"
		if len(e.Queues) > 1 {
			advice = "; say which with ?queue="
		}
		return kindElsewhere.problem(e.Error() + advice)
	}
	if e, ok := errors.AsType[*timetable.DeniedError](err); ok {
		return invalid([]Fault{newFault("body.queue", e.Queue, "is one that no beat can serve: Redis denies it to their user, who needs the rules of deploy/ecs/acl/beat.acl for it")})
	}
	if e, ok := errors.AsType[*timetable.FaultError](err); ok {
		return kindUnusable.problem(e.Error() + "; PUT a new one, or mend its file")
	}
	if e, ok := errors.AsType[*timetable.SpanError](err); ok {
		return invalid([]Fault{newFault("body."+e.Field, nil, e.Problem)})
	}
	switch {
	case errors.Is(err, seri.ErrNotFound):
		return kindNotFound.problem("there is no schedule " + quote(id) + "; GET /v1/schedules lists all")
	case errors.Is(err, timetable.ErrFile):
		return kindManaged.problem("the schedule " + quote(id) + " comes from a file of schedules; change it there and deploy it. To silence it now, pause it")
	case errors.Is(err, timetable.ErrRevision):
		return kindPrecondition.problem("the schedule " + quote(id) + " has another revision by now; look at it again")
	case errors.Is(err, timetable.ErrBusy):
		return kindUnavailable.problem("the schedule is being changed by others; try again").withHeader("Retry-After", "1")
	}
	return s.fromError(ctx, doing, err)
}
