package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/store"
	"github.com/seri-queue/seri/internal/timetable"
)

// PauseRequest is the body that pauses a schedule.
type PauseRequest struct {
	Note string `json:"note,omitempty" maxLength:"1000" doc:"Why, for who looks at the schedule later." example:"the report is being repaired"`
}

// TriggerRequest is the body that runs a schedule now.
type TriggerRequest struct {
	Overlap string `json:"overlap,omitempty" enum:"allow" doc:"allow: beside earlier tasks, whatever the schedule says about overlap."`
}

// BackfillRequest is the body that makes up for ticks.
type BackfillRequest struct {
	From    time.Time `json:"from" doc:"The first tick is at or after it." example:"2026-01-30T00:00:00Z"`
	To      time.Time `json:"to" doc:"The last tick is at or before it, and not in the future." example:"2026-01-31T00:00:00Z"`
	Overlap string    `json:"overlap,omitempty" enum:"allow" doc:"allow: all at once, whatever the schedule says about overlap."`
}

// Run is what became of a run that was asked for.
type Run struct {
	Tick    time.Time `json:"tick"`
	Task    string    `json:"task" doc:"The id of the tick's task: sched:<schedule>:<tick in Unix seconds>." example:"sched:nightly-report:1769828400"`
	Outcome string    `json:"outcome" enum:"enqueued,exists,waits,left_out" doc:"exists: the tick has its task already. waits: until an earlier task has ended. left_out: for an earlier task that has not ended."`
}

// Backfill is what became of the ticks of a span of time.
type Backfill struct {
	Ticks    int   `json:"ticks" doc:"In the span; the sum of the following."`
	Enqueued int   `json:"enqueued" doc:"Tasks that this call has enqueued."`
	Exist    int   `json:"exist" doc:"Ticks that have their tasks already."`
	Wait     int   `json:"wait" doc:"Ticks that wait for an earlier task to end."`
	LeftOut  int   `json:"left_out" doc:"Ticks that are left out, as the schedule says about overlap."`
	Runs     []Run `json:"runs" nullable:"false" doc:"Each of them, the oldest first."`
}

// Past is what became of a tick.
type Past struct {
	Tick   time.Time  `json:"tick" doc:"The time by the schedule; of several that were missed, the first."`
	Task   string     `json:"task,omitempty" doc:"The id of its task." example:"sched:nightly-report:1769828400"`
	State  seri.State `json:"state,omitempty" doc:"The state of that task now. Absent: it is not there any more."`
	LateMs *int64     `json:"late_ms,omitempty" doc:"Milliseconds from when the task was to start to when it was enqueued."`
	Asked  bool       `json:"asked,omitempty" doc:"Somebody has asked for it."`

	Missed int         `json:"missed,omitempty" doc:"So many ticks have no task."`
	Last   *time.Time  `json:"last,omitempty" doc:"The last one of those that were missed."`
	Reason seri.Reason `json:"reason,omitempty" doc:"Why they were missed: outage, nobody could fire them in time; overlap, an earlier task had not ended."`
}

// History is what became of a schedule's newest ticks.
type History struct {
	Ticks []Past `json:"ticks" nullable:"false" doc:"The newest first."`
}

type (
	runOutput      struct{ Body Run }
	backfillOutput struct{ Body Backfill }
	historyInput   struct {
		SchedulePath
		Limit int `query:"limit" minimum:"1" maximum:"50" default:"20" doc:"How many at most. The newest 50 are kept."`
	}
	historyOutput struct{ Body History }
)

func (s *server) addScheduleRuns(api huma.API) {
	pause := huma.Operation{
		OperationID: "pauseSchedule", Method: http.MethodPost, Path: "/v1/schedules/{id}/pause", Tags: scheduleTags,
		Summary:     "Pause a schedule",
		Description: "It does not tick until it is resumed; what passes meanwhile is not missed. A new definition does not end the pause. Pausing a paused schedule changes nothing, not even the note. The body may be left out.",
		Middlewares: huma.Middlewares{takeBodyIfAny},
		Responses:   answers(200, "The schedule, paused", examplePausedSchedule, 400, 404, 408, 409, 413, 415, 422, 503),
	}
	register(api, pause, func(ctx context.Context, in *SchedulePath) (*scheduleOutput, error) {
		ctx, cancel := storeContext(ctx)
		defer cancel()
		o, p := smallBody(ctx, "note")
		if p != nil {
			return nil, p
		}
		note := o.text("note")
		if len(note) > 1000 {
			o.fault("note", nil, "has more than 1000 bytes, which is the limit")
		}
		if len(o.faults) > 0 {
			return nil, invalid(o.faults)
		}
		e, err := s.config.Schedules.Pause(ctx, in.Queue, in.ID, note)
		s.config.Logger.InfoContext(ctx, "schedule paused", "schedule", in.ID, "error", err, "key_id", requestFrom(ctx).keyID)
		return s.scheduleAnswer(ctx, "pause a schedule", in.ID, e, http.StatusOK, err)
	})
	describeBody[PauseRequest](api, pause, PauseRequest{Note: "the report is being repaired"})

	register(api, huma.Operation{
		OperationID: "resumeSchedule", Method: http.MethodPost, Path: "/v1/schedules/{id}/resume", Tags: scheduleTags,
		Summary:     "Resume a schedule",
		Description: "It goes on with the first tick from now on. Resuming a schedule that is not paused changes nothing.",
		Responses:   answers(200, "The schedule, no longer paused", exampleSchedule, 404, 409, 422, 503),
	}, func(ctx context.Context, in *SchedulePath) (*scheduleOutput, error) {
		ctx, cancel := storeContext(ctx)
		defer cancel()
		e, err := s.config.Schedules.Resume(ctx, in.Queue, in.ID)
		s.config.Logger.InfoContext(ctx, "schedule resumed", "schedule", in.ID, "error", err, "key_id", requestFrom(ctx).keyID)
		return s.scheduleAnswer(ctx, "resume a schedule", in.ID, e, http.StatusOK, err)
	})

	trigger := huma.Operation{
		OperationID: "triggerSchedule", Method: http.MethodPost, Path: "/v1/schedules/{id}/trigger", Tags: scheduleTags, DefaultStatus: http.StatusAccepted,
		Summary:     "Run a schedule now",
		Description: "Enqueues the task of a tick of this second, also of a schedule that is paused or has ended. It counts neither as one of its runs nor for its limit. Twice within a second is once: the second answer says exists. 409 if an earlier task has not ended and the schedule says skip. The body may be left out.",
		Middlewares: huma.Middlewares{takeBodyIfAny},
		Responses:   answers(202, "The task is enqueued, or waits", exampleRun, 400, 404, 408, 409, 413, 415, 422, 503),
	}
	register(api, trigger, s.trigger)
	describeBody[TriggerRequest](api, trigger, TriggerRequest{Overlap: "allow"})

	backfill := huma.Operation{
		OperationID: "backfillSchedule", Method: http.MethodPost, Path: "/v1/schedules/{id}/backfill", Tags: scheduleTags, DefaultStatus: http.StatusOK,
		Summary:     "Make up for ticks",
		Description: "Enqueues the tasks of the ticks that the schedule has, or would have had, in a span of the past: at most 1,000. What the schedule says about overlap holds, unless overlap is allow. A task's expiry counts from now, not from its old tick. Repeating it is harmless while the tasks of the first time exist.",
		Middlewares: huma.Middlewares{takeBody(maxTaskBytes)},
		Responses:   answers(200, "What became of each tick", exampleBackfill, 400, 404, 408, 409, 413, 415, 422, 503),
	}
	register(api, backfill, s.backfill)
	describeBody[BackfillRequest](api, backfill, BackfillRequest{From: exampleAt.Add(-48 * time.Hour), To: exampleAt})

	register(api, huma.Operation{
		OperationID: "getScheduleHistory", Method: http.MethodGet, Path: "/v1/schedules/{id}/history", Tags: scheduleTags,
		Summary:     "Look back at a schedule's ticks",
		Description: "What became of its newest 50 ticks, the newest first, and the states of their tasks now.",
		Responses:   answers(200, "The newest ticks", exampleHistory, 404, 409, 422, 503),
	}, s.history)
}

// smallBody returns the fields of a request whose body may be left out.
func smallBody(ctx context.Context, known ...string) (*object, *Problem) {
	body, _ := ctx.Value(bodyKey{}).([]byte)
	if len(body) == 0 {
		body = []byte("{}")
	}
	if err := scan(body); err != nil {
		return nil, kindMalformed.problem(err.Error(), newFault("body", nil, err.Error()))
	}
	o := newObject(body, "body")
	if o.fields == nil {
		return nil, invalid(o.faults)
	}
	o.onlyKnown(known)
	return o, nil
}

func (o *object) allowsOverlap() bool {
	text := o.text("overlap")
	if text != "" && text != "allow" {
		o.fault("overlap", text, "must be allow; leave it out for what the schedule says")
	}
	return text == "allow"
}

func (s *server) trigger(ctx context.Context, in *SchedulePath) (*runOutput, error) {
	ctx, cancel := storeContext(ctx)
	defer cancel()
	o, p := smallBody(ctx, "overlap")
	if p != nil {
		return nil, p
	}
	allow := o.allowsOverlap()
	if len(o.faults) > 0 {
		return nil, invalid(o.faults)
	}
	if s.config.Full() {
		return nil, storeFull()
	}
	run, err := s.config.Schedules.Trigger(ctx, in.Queue, in.ID, allow)
	if err != nil {
		return nil, s.scheduleError(ctx, "run a schedule", in.ID, err)
	}
	s.config.Logger.InfoContext(ctx, "schedule was run by request", "schedule", in.ID, "queue", run.Queue, "task_id", run.Task, "key_id", requestFrom(ctx).keyID)
	if run.Outcome == store.TickLeftOut {
		return nil, kindOverlap.problem(`an earlier task of the schedule has not ended; send {"overlap":"allow"} to run it beside that`)
	}
	return &runOutput{newRun(run)}, nil
}

func (s *server) backfill(ctx context.Context, in *SchedulePath) (*backfillOutput, error) {
	ctx, cancel := storeContext(ctx)
	defer cancel()
	o, p := smallBody(ctx, "from", "to", "overlap")
	if p != nil {
		return nil, p
	}
	from, to, allow := o.time("from"), o.time("to"), o.allowsOverlap()
	for _, name := range []string{"from", "to"} {
		if !o.has(name) {
			o.fault(name, nil, "is missing")
		}
	}
	if len(o.faults) > 0 {
		return nil, invalid(o.faults)
	}
	if s.config.Full() {
		return nil, storeFull()
	}
	runs, err := s.config.Schedules.Backfill(ctx, in.Queue, in.ID, from, to, allow)
	if err != nil {
		return nil, s.scheduleError(ctx, "backfill a schedule", in.ID, err)
	}
	body := Backfill{Ticks: len(runs), Runs: []Run{}}
	for _, r := range runs {
		switch r.Outcome {
		case store.TickExists:
			body.Exist++
		case store.TickWaits:
			body.Wait++
		case store.TickLeftOut:
			body.LeftOut++
		default:
			body.Enqueued++
		}
		body.Runs = append(body.Runs, newRun(r))
	}
	s.config.Logger.InfoContext(ctx, "schedule was backfilled", "schedule", in.ID, "from", from, "to", to, "enqueued", body.Enqueued, "key_id", requestFrom(ctx).keyID)
	return &backfillOutput{body}, nil
}

func newRun(r timetable.Run) Run {
	outcome := map[store.Outcome]string{store.TickExists: "exists", store.TickWaits: "waits", store.TickLeftOut: "left_out"}[r.Outcome]
	if outcome == "" {
		outcome = "enqueued"
	}
	return Run{r.Tick.UTC(), r.Task, outcome}
}

func (s *server) history(ctx context.Context, in *historyInput) (*historyOutput, error) {
	ctx, cancel := storeContext(ctx)
	defer cancel()
	past, _, err := s.config.Schedules.History(ctx, in.Queue, in.ID, in.Limit)
	if err != nil {
		return nil, s.scheduleError(ctx, "look back at a schedule's ticks", in.ID, err)
	}
	body := History{Ticks: []Past{}}
	for _, p := range past {
		one := Past{Tick: p.Tick.UTC(), Task: p.Task, State: p.State, Asked: p.Asked, Missed: p.Missed, Reason: p.Reason, Last: optional(p.Last)}
		if p.Missed == 0 {
			one.LateMs = new(p.Late.Milliseconds())
		}
		body.Ticks = append(body.Ticks, one)
	}
	return &historyOutput{body}, nil
}
