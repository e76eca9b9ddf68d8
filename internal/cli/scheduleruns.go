package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/seri-queue/seri/internal/cli/term"
	"github.com/seri-queue/seri/internal/schedule"
	"github.com/seri-queue/seri/internal/store"
	"github.com/seri-queue/seri/internal/timetable"
)

type triggerScheduleCommand struct {
	oneSchedule
	AllowOverlap bool `help:"Beside earlier tasks that have not ended, whatever the schedule says."`
}

func (c *triggerScheduleCommand) Run(ctx context.Context, std Streams) error {
	return c.with(ctx, func(t *timetable.Timetable) error {
		run, err := t.Trigger(ctx, c.Queue, c.ID, c.AllowOverlap)
		if err != nil {
			return err
		}
		what := "is enqueued"
		switch run.Outcome {
		case store.TickExists:
			what = "is there already"
		case store.TickWaits:
			what = "waits for an earlier one to end"
		case store.TickLeftOut:
			return errors.New("an earlier task of the schedule has not ended; --allow-overlap runs it beside that")
		}
		_, err = fmt.Fprintf(std.Out, "task %s %s\n", term.Line(run.Task), what)
		return err
	})
}

type backfillScheduleCommand struct {
	oneSchedule
	From         time.Time `required:"" help:"The first tick is at or after it: 2026-01-30T00:00:00Z." placeholder:"TIME"`
	To           time.Time `required:"" help:"The last tick is at or before it; not in the future." placeholder:"TIME"`
	AllowOverlap bool      `help:"Start all at once, whatever the schedule says."`
}

func (c *backfillScheduleCommand) Run(ctx context.Context, std Streams) error {
	return c.with(ctx, func(t *timetable.Timetable) error {
		runs, err := t.Backfill(ctx, c.Queue, c.ID, c.From, c.To, c.AllowOverlap)
		if err != nil {
			return err
		}
		counts := make(map[store.Outcome]int)
		for _, r := range runs {
			counts[r.Outcome]++
		}
		exist, wait, left := counts[store.TickExists], counts[store.TickWaits], counts[store.TickLeftOut]
		_, err = fmt.Fprintf(std.Out, "schedule %s: %d ticks; enqueued %d, there already %d, waiting %d, left out %d\n",
			term.Line(c.ID), len(runs), len(runs)-exist-wait-left, exist, wait, left)
		return err
	})
}

type nextScheduleCommand struct {
	ID       string `arg:"" optional:"" help:"The schedule's id. Without it, --file or --spec says what is to be looked at."`
	File     string `help:"A schedule that is not saved, or several, as for seri schedule set. -: what comes in." placeholder:"FILE"`
	Spec     string `help:"Nothing but a time: a cron expression, @every 90s, @at 2026-12-24T18:00:00, @solar sunset 52.52 13.405, or DTSTART:… RRULE:…" placeholder:"SPEC"`
	Timezone string `help:"Whose clock --spec means. Default: UTC." placeholder:"ZONE"`
	N        int    `short:"n" default:"20" help:"How many ticks at most."`
	Queue    string `help:"With an id: the queue its tasks go to. Default: all are searched." placeholder:"NAME"`
	redisConnection
}

func (c *nextScheduleCommand) Run(ctx context.Context, std Streams) error {
	given := 0
	for _, what := range []string{c.ID, c.File, c.Spec} {
		if what != "" {
			given++
		}
	}
	switch {
	case given != 1:
		return errors.New("give the id of a schedule, --file or --spec, and only one of them")
	case c.Timezone != "" && c.Spec == "":
		return errors.New("--timezone goes with --spec; other schedules say themselves whose clock they mean")
	case c.Queue != "" && c.ID == "":
		return errors.New("--queue goes with the id of a schedule; what is not saved is in no queue yet")
	case c.N < 1 || c.N > 10_000:
		return fmt.Errorf("-n is %d, must be from 1 to 10000", c.N)
	case c.Spec != "":
		s, err := c.unsaved()
		if err != nil {
			return err
		}
		return c.write(std.Out, s, 0)
	case c.File != "":
		schedules, err := readSchedules(c.File, std.In)
		if err != nil {
			return err
		}
		for _, s := range schedules {
			if err := c.write(std.Out, s, 0); err != nil {
				return err
			}
		}
		return nil
	}
	one := oneSchedule{c.ID, c.Queue, c.redisConnection}
	return one.with(ctx, func(t *timetable.Timetable) error {
		e, err := t.Find(ctx, c.Queue, c.ID)
		if err != nil {
			return err
		}
		s, err := e.Schedule()
		if err != nil {
			return err
		}
		return c.write(std.Out, s, e.Runs)
	})
}

// unsaved returns a schedule that has nothing but the spec.
func (c *nextScheduleCommand) unsaved() (s schedule.Schedule, err error) {
	zone, err := time.LoadLocation(c.Timezone)
	if err != nil {
		return s, fmt.Errorf("--timezone %q is not known; use a name from the IANA database, such as Europe/Berlin or UTC", c.Timezone)
	}
	s.ID = "-"
	s.Spec, err = schedule.Parse(c.Spec, zone)
	return s, err
}

func (c *nextScheduleCommand) write(out io.Writer, s schedule.Schedule, runs int64) error {
	table := term.Table{Header: []string{"schedule", "tick", s.Zone().String()}}
	for _, tick := range s.Upcoming(time.Now(), min(c.N, s.Left(runs))) {
		table.Add(term.Line(s.ID), tickText(tick), tick.In(s.Zone()).Format("Mon 2006-01-02 15:04:05 -07:00"))
	}
	return table.Write(out)
}

type scheduleHistoryCommand struct {
	oneSchedule
	Limit int `default:"20" help:"How many at most; the newest 50 are kept."`
}

func (c *scheduleHistoryCommand) Run(ctx context.Context, std Streams) error {
	if c.Limit < 1 {
		return fmt.Errorf("--limit is %d, must be at least 1", c.Limit)
	}
	return c.with(ctx, func(t *timetable.Timetable) error {
		past, _, err := t.History(ctx, c.Queue, c.ID, c.Limit)
		if err != nil {
			return err
		}
		if len(past) == 0 {
			_, err := fmt.Fprintf(std.Out, "schedule %s has not ticked yet\n", term.Line(c.ID))
			return err
		}
		table := term.Table{Header: []string{"tick", "task", "state", "late"}, Right: []bool{false, false, false, true}}
		for _, p := range past {
			state := string(p.State)
			switch {
			case p.Missed > 0:
				table.Add(tickText(p.Tick), "-", term.Line(missedText(&p)), "")
				continue
			case state == "":
				state = "gone"
			}
			if p.Asked {
				state += " (by hand)"
			}
			table.Add(tickText(p.Tick), term.Line(p.Task), term.Line(state), p.Late.String())
		}
		return table.Write(std.Out)
	})
}

func missedText(p *timetable.Past) string {
	text := "missed: " + string(p.Reason)
	if p.Missed > 1 {
		text = strconv.Itoa(p.Missed) + " until " + tickText(p.Last) + " " + text
	}
	return text
}

type scheduleSchemaCommand struct{}

// Help implements [kong.HelpProvider].
func (*scheduleSchemaCommand) Help() string {
	return `Editors with a YAML language server check a file that begins with

  # yaml-language-server: $schema=./schedules.schema.json

after seri schedule schema > schedules.schema.json.`
}

func (*scheduleSchemaCommand) Run(_ context.Context, std Streams) error {
	_, err := std.Out.Write(schedule.FileSchema)
	return err
}
