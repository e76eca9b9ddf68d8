package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/cli/term"
	"github.com/seri-queue/seri/internal/role"
	"github.com/seri-queue/seri/internal/schedule"
	"github.com/seri-queue/seri/internal/store"
	"github.com/seri-queue/seri/internal/timetable"
)

type scheduleCommand struct {
	List     schedulesCommand        `cmd:"" help:"Show all schedules: their next ticks, what came of earlier ones, and why some do not tick."`
	Show     showScheduleCommand     `cmd:"" help:"Show everything about one schedule."`
	Set      setScheduleCommand      `cmd:"" help:"Make schedules, or replace them."`
	Delete   deleteScheduleCommand   `cmd:"" help:"Delete a schedule that was made at run time."`
	Pause    pauseScheduleCommand    `cmd:"" help:"Stop a schedule's ticks."`
	Resume   resumeScheduleCommand   `cmd:"" help:"Let a paused schedule tick again, from now on."`
	Trigger  triggerScheduleCommand  `cmd:"" help:"Run a schedule now."`
	Backfill backfillScheduleCommand `cmd:"" help:"Enqueue the tasks of a schedule's ticks in a span of the past."`
	Next     nextScheduleCommand     `cmd:"" help:"Show the next ticks of a schedule, or of one that is not saved."`
	History  scheduleHistoryCommand  `cmd:"" help:"Show what became of a schedule's newest ticks."`
	Schema   scheduleSchemaCommand   `cmd:"" help:"Print the JSON Schema of a file of schedules, for your editor."`
}

// timetable opens the schedules of a Redis. The caller closes what is returned beside them.
func (c *redisConnection) timetable(ctx context.Context) (*timetable.Timetable, io.Closer, error) {
	carrier, err := role.CarrierOf(c.Events)
	if err != nil {
		return nil, nil, fmt.Errorf("--events (SERI_EVENTS): %w", err)
	}
	rdb, err := c.connect(ctx)
	if err != nil {
		return nil, nil, err
	}
	return timetable.New(rdb, store.Config{Events: carrier}), rdb, nil
}

// oneSchedule are the arguments of a command that is about one schedule.
type oneSchedule struct {
	ID    string `arg:"" help:"The schedule's id."`
	Queue string `help:"The queue its tasks go to. Default: all are searched." placeholder:"NAME"`
	redisConnection
}

// with does something with the schedules of a Redis, and says what to do about what goes wrong.
func (c *oneSchedule) with(ctx context.Context, do func(t *timetable.Timetable) error) error {
	t, closer, err := c.timetable(ctx)
	if err != nil {
		return err
	}
	defer closer.Close()
	err = do(t)
	if e, ok := errors.AsType[*timetable.ElsewhereError](err); ok && len(e.Queues) > 1 {
		return fmt.Errorf("%w; say which with --queue", err)
	}
	if _, ok := errors.AsType[*timetable.FaultError](err); ok {
		return fmt.Errorf("%w; give it a new one with `seri schedule set`, or mend its file", err)
	}
	switch {
	case errors.Is(err, seri.ErrNotFound) && c.Queue != "":
		return fmt.Errorf("there is no schedule %q in the queue %q; `seri schedule list` shows all", c.ID, c.Queue)
	case errors.Is(err, seri.ErrNotFound):
		return fmt.Errorf("there is no schedule %q; `seri schedule list` shows all", c.ID)
	case errors.Is(err, timetable.ErrFile):
		return fmt.Errorf("%w; change it there, and restart the beats", err)
	}
	return err
}

type schedulesCommand struct {
	Queue string `help:"Only schedules whose tasks go to this queue." placeholder:"NAME"`
	redisConnection
}

func (c *schedulesCommand) Run(ctx context.Context, std Streams) error {
	t, closer, err := c.timetable(ctx)
	if err != nil {
		return err
	}
	defer closer.Close()
	table := term.Table{
		Header: []string{"schedule", "queue", "source", "next tick", "last task", "runs", "missed", "paused"},
		Right:  []bool{false, false, false, false, false, true, true, false},
	}
	rows := 0
	for after := ""; ; {
		page, next, err := t.List(ctx, c.Queue, after, 1000)
		if err != nil {
			return err
		}
		for _, e := range page {
			next, paused := tickText(e.Next), ""
			switch {
			case e.Fault != "":
				next, paused = "-", "fault: "+e.Fault
			case e.Denied:
				next, paused = "-", "no beat may write to the queue"
			case e.Paused:
				next, paused = "-", strings.TrimSuffix("since "+tickText(e.PausedAt)+": "+e.Note, ": ")
			}
			table.Add(term.Line(e.ID), term.Line(string(e.Queue)), term.Line(string(e.Origin)), next, lastText(&e),
				strconv.FormatInt(e.Runs, 10), strconv.FormatInt(e.Missed, 10), term.Line(paused))
		}
		rows += len(page)
		if after = next; after == "" {
			break
		}
	}
	if rows == 0 {
		_, err := fmt.Fprintln(std.Out, "There are no schedules.")
		return err
	}
	return table.Write(std.Out)
}

// lastText says what became of the task of the last tick.
func lastText(e *timetable.Entry) string {
	switch {
	case e.LastTask == "":
		return "-"
	case e.LastState == "":
		return "gone"
	}
	return term.Line(string(e.LastState))
}

func tickText(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

type showScheduleCommand struct{ oneSchedule }

func (c *showScheduleCommand) Run(ctx context.Context, std Streams) error {
	return c.with(ctx, func(t *timetable.Timetable) error {
		e, err := t.Find(ctx, c.Queue, c.ID)
		if err != nil {
			return err
		}
		next := tickText(e.Next)
		if e.Fault != "" {
			next = "-"
		}
		lines := [][2]string{
			{"schedule", e.ID}, {"queue", string(e.Queue)}, {"source", string(e.Origin)}, {"revision", e.Revision}, {"next tick", next},
			{"last tick", tickText(e.Last)}, {"last task", strings.TrimSpace(e.LastTask + " " + string(e.LastState))},
			{"runs", strconv.FormatInt(e.Runs, 10)}, {"missed", strconv.FormatInt(e.Missed, 10)},
		}
		if e.Paused {
			lines = append(lines, [2]string{"paused", strings.TrimSuffix("since "+tickText(e.PausedAt)+": "+e.Note, ": ")})
		}
		if e.Fault != "" {
			lines = append(lines, [2]string{"fault", e.Fault})
		}
		if e.Denied {
			lines = append(lines, [2]string{"denied", "no beat may write to the queue: their Redis users lack the rules for it (deploy/ecs/acl/beat.acl)"})
		}
		if n := len(e.Waiting); n > 0 {
			lines = append(lines, [2]string{"waiting", fmt.Sprintf("%d from %s on", n, tickText(e.Waiting[0].Tick))})
		}
		for _, l := range lines {
			if _, err := fmt.Fprintf(std.Out, "%-10s %s\n", l[0], term.Line(l[1])); err != nil {
				return err
			}
		}
		var definition bytes.Buffer
		if json.Indent(&definition, e.Definition, "", "  ") == nil {
			_, err = fmt.Fprintf(std.Out, "\n%s\n", term.JSON(definition.Bytes()))
		} else { // the fault says so; what is left of it may tell whose it is
			_, err = fmt.Fprintf(std.Out, "\n%s\n", term.Line(string(e.Definition)))
		}
		return err
	})
}

type setScheduleCommand struct {
	File string `arg:"" help:"YAML or JSON: one schedule, or a file of schedules. -: what comes in."`
	redisConnection
}

// Help implements [kong.HelpProvider].
func (*setScheduleCommand) Help() string {
	return `The fields are those of a file of schedules (docs/schedules.md). What was made here is kept in Redis, and no beat's file touches it; what a beat's file has made is not changed here.

  echo '{id: warm-cache, every: 90s, task: http.request, payload: {url: "https://example.com/warm"}}' | seri schedule set -`
}

func (c *setScheduleCommand) Run(ctx context.Context, std Streams) error {
	wanted, err := readSchedules(c.File, std.In)
	if err != nil {
		return err
	}
	t, closer, err := c.timetable(ctx)
	if err != nil {
		return err
	}
	defer closer.Close()
	for _, s := range wanted {
		e, made, err := t.Change(ctx, "", s.ID, timetable.Condition{}, func([]byte) (schedule.Schedule, error) { return s, nil })
		if err != nil {
			return err
		}
		what := "is set"
		if made {
			what = "is made"
		}
		if _, err := fmt.Fprintf(std.Out, "schedule %s %s; %s\n", term.Line(s.ID), what, nextText(&e)); err != nil {
			return err
		}
	}
	return nil
}

// readSchedules reads a file; -: standard input.
func readSchedules(name string, in io.Reader) ([]schedule.Schedule, error) {
	if name == "-" {
		return schedule.ReadAny(in)
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return schedule.ReadAny(file)
}

func nextText(e *timetable.Entry) string {
	switch {
	case e.Fault != "":
		return "it has a fault, so it does not tick: " + term.Line(e.Fault)
	case e.Denied:
		return "no beat may write to its queue, so it does not tick"
	case e.Paused:
		return "it is paused"
	case e.Next.IsZero():
		return "it has no next tick"
	}
	return "its next tick is " + tickText(e.Next)
}

type deleteScheduleCommand struct{ oneSchedule }

func (c *deleteScheduleCommand) Run(ctx context.Context, std Streams) error {
	return c.with(ctx, func(t *timetable.Timetable) error {
		if err := t.Remove(ctx, c.Queue, c.ID, timetable.Condition{}); err != nil {
			return err
		}
		_, err := fmt.Fprintf(std.Out, "schedule %s is deleted; its tasks stay\n", term.Line(c.ID))
		return err
	})
}

type pauseScheduleCommand struct {
	oneSchedule
	Note string `help:"Why, for who looks at the schedule later." placeholder:"TEXT"`
}

func (c *pauseScheduleCommand) Run(ctx context.Context, std Streams) error {
	return c.with(ctx, func(t *timetable.Timetable) error {
		if _, err := t.Pause(ctx, c.Queue, c.ID, c.Note); err != nil {
			return err
		}
		_, err := fmt.Fprintf(std.Out, "schedule %s is paused\n", term.Line(c.ID))
		return err
	})
}

type resumeScheduleCommand struct{ oneSchedule }

func (c *resumeScheduleCommand) Run(ctx context.Context, std Streams) error {
	return c.with(ctx, func(t *timetable.Timetable) error {
		e, err := t.Resume(ctx, c.Queue, c.ID)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(std.Out, "schedule %s is not paused; %s\n", term.Line(c.ID), nextText(&e))
		return err
	})
}
