package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/seri-queue/seri/internal/schedule"
)

// Upcoming is when a schedule ticks.
type Upcoming struct {
	Timezone string        `json:"timezone" example:"Europe/Berlin"`
	Ticks    []Tick        `json:"ticks" nullable:"false" doc:"The next ones; fewer than were asked for if there are no more."`
	Calendar []CalendarDay `json:"calendar,omitempty" doc:"With calendar=true: of the 365 days from today on, by the clock of timezone, those that have ticks or a change of the clock."`
}

// Tick is one time of a schedule.
type Tick struct {
	Tick  time.Time  `json:"tick"`
	Local string     `json:"local" doc:"The same, as the clock of timezone shows it." example:"2026-03-29T03:00:00+02:00"`
	Due   *time.Time `json:"due,omitempty" doc:"When its task starts, if jitter puts it off."`
}

// CalendarDay is one day of a calendar.
type CalendarDay struct {
	Date        string `json:"date" example:"2026-03-29"`
	Ticks       int    `json:"ticks" doc:"Up to 25."`
	More        bool   `json:"more,omitempty" doc:"There are more than that."`
	ClockChange int    `json:"clock_change,omitempty" doc:"Seconds by which the clock is put forward on that day; negative: back." example:"3600"`
}

// calendarDays is how far a calendar reaches.
const calendarDays = 365

// TimesQuery says how far to look ahead.
type TimesQuery struct {
	N        int  `query:"n" minimum:"0" maximum:"100" default:"20" doc:"How many ticks at most."`
	Calendar bool `query:"calendar" doc:"true: a calendar of a year, too."`
}

type (
	nextInput struct {
		SchedulePath
		TimesQuery
	}
	upcomingOutput struct{ Body Upcoming }
)

func (s *server) addScheduleTimes(api huma.API) {
	register(api, huma.Operation{
		OperationID: "getScheduleTicks", Method: http.MethodGet, Path: "/v1/schedules/{id}/next", Tags: scheduleTags,
		Summary:     "Look ahead at a schedule's ticks",
		Description: "The next ticks as the definition has them and its limit leaves them, whether the schedule is paused or not.",
		Responses:   answers(200, "The next ticks", exampleUpcoming, 404, 409, 422, 503),
	}, func(ctx context.Context, in *nextInput) (*upcomingOutput, error) {
		ctx, cancel := storeContext(ctx)
		defer cancel()
		e, err := s.config.Schedules.Find(ctx, in.Queue, in.ID)
		if err != nil {
			return nil, s.scheduleError(ctx, "look ahead at a schedule's ticks", in.ID, err)
		}
		planned, err := e.Schedule()
		if err != nil {
			return nil, s.scheduleError(ctx, "look ahead at a schedule's ticks", in.ID, err)
		}
		return &upcomingOutput{s.upcoming(planned, e.Runs, in.TimesQuery)}, nil
	})
	preview := huma.Operation{
		OperationID: "previewSchedule", Method: http.MethodPost, Path: "/v1/schedules/preview", Tags: scheduleTags, DefaultStatus: http.StatusOK,
		Summary:     "Look ahead at the ticks of a schedule that is not saved",
		Description: "The body is a schedule as for PUT, of which only what says when is needed: cron, every, at, solar or rrule, and what goes with it. Nothing is stored.",
		Middlewares: huma.Middlewares{takeBody(maxTaskBytes)},
		Responses:   answers(200, "The ticks that it would have", exampleUpcoming, 400, 408, 413, 415, 422, 503),
	}
	register(api, preview, func(ctx context.Context, in *TimesQuery) (*upcomingOutput, error) {
		body, p := scheduleBody(ctx)
		if p != nil {
			return nil, p
		}
		var planned schedule.Schedule
		whole := merged([]byte(`{"id":"preview","task":"preview"}`), body)
		if faults := scheduleFaults(planned.UnmarshalJSON(whole)); len(faults) > 0 {
			return nil, invalid(faults)
		}
		return &upcomingOutput{s.upcoming(planned, 0, *in)}, nil
	})
	describeBodyAs(api, preview, "application/json", &huma.Schema{Type: huma.TypeObject, Description: "What says when, as in a schedule."},
		json.RawMessage(`{"cron":"30 2 * * *","timezone":"Europe/Berlin"}`))
}

// upcoming goes by the server's clock, since nothing depends on it.
func (s *server) upcoming(planned schedule.Schedule, runs int64, asked TimesQuery) Upcoming {
	now := s.now()
	left := planned.Left(runs)
	body := Upcoming{Timezone: planned.Zone().String(), Ticks: []Tick{}}
	for _, at := range planned.Upcoming(now, min(asked.N, left)) {
		tick := Tick{Tick: at.UTC(), Local: at.In(planned.Zone()).Format(time.RFC3339)}
		if due := planned.Due(at); due.After(at) {
			tick.Due = optional(due)
		}
		body.Ticks = append(body.Ticks, tick)
	}
	if asked.Calendar {
		body.Calendar = []CalendarDay{}
		for _, d := range planned.EndingAfter(left, now).Days(now, calendarDays) {
			body.Calendar = append(body.Calendar, CalendarDay{d.Date, d.Ticks, d.More, int(d.Change / time.Second)})
		}
	}
	return body
}
