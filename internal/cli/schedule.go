package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/cli/term"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/schedule"
	"github.com/seri-queue/seri/internal/store"
)

type scheduleCommand struct {
	List   schedulesCommand      `cmd:"" help:"Show all schedules: their next ticks, what came of earlier ones, and why some are paused."`
	Pause  pauseScheduleCommand  `cmd:"" help:"Stop a schedule's ticks."`
	Resume resumeScheduleCommand `cmd:"" help:"Let a paused schedule tick again, from now on."`
}

// schedules are those of all queues on one Redis.
type schedules struct {
	*store.Store
	rdb redis.UniversalClient
}

// planned is one schedule as it is on record.
type planned struct {
	store.ScheduleRecord
	queue keys.Queue
}

func (c *redisConnection) schedules(ctx context.Context) (*schedules, error) {
	rdb, err := c.connect(ctx)
	if err != nil {
		return nil, err
	}
	return &schedules{store.New(rdb, store.Config{}), rdb}, nil
}

// all returns the schedules of a queue, empty: of all queues.
func (s *schedules) all(ctx context.Context, queue string) (all []planned, err error) {
	queues := []keys.Queue{keys.Queue(queue)}
	if queue == "" {
		if queues, err = s.Queues(ctx); err != nil {
			return nil, err
		}
		slices.Sort(queues)
	}
	for _, q := range queues {
		ids, err := s.ScheduleIDs(ctx, q)
		if err != nil {
			return nil, err
		}
		slices.Sort(ids)
		records, err := s.ScheduleRecords(ctx, q, ids, nil)
		if err != nil {
			return nil, err
		}
		for _, r := range records {
			if r.ID != "" {
				all = append(all, planned{r, q})
			}
		}
	}
	return all, nil
}

// one returns the schedule of an ID.
func (s *schedules) one(ctx context.Context, queue, id string) (planned, error) {
	all, err := s.all(ctx, queue)
	if err != nil {
		return planned{}, err
	}
	all = slices.DeleteFunc(all, func(p planned) bool { return p.ID != id })
	if len(all) == 0 {
		return planned{}, fmt.Errorf("schedule %s: %w; `seri schedule list` shows all", id, seri.ErrNotFound)
	}
	if len(all) > 1 {
		return planned{}, fmt.Errorf("schedule %s is in the queues %s and %s; say which with --queue", id, all[0].queue, all[1].queue)
	}
	return all[0], nil
}

type schedulesCommand struct {
	Queue string `help:"Only schedules whose tasks go to this queue." placeholder:"NAME"`
	redisConnection
}

func (c *schedulesCommand) Run(ctx context.Context, std Streams) error {
	s, err := c.schedules(ctx)
	if err != nil {
		return err
	}
	defer s.rdb.Close()
	all, err := s.all(ctx, c.Queue)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		_, err := fmt.Fprintln(std.Out, "There are no schedules.")
		return err
	}
	table := term.Table{Header: []string{"schedule", "queue", "next tick", "runs", "missed", "paused"}, Right: []bool{false, false, false, true, true, false}}
	for _, p := range all {
		next, paused := tickText(p.Next), ""
		if p.Paused {
			next, paused = "-", strings.TrimSuffix("since "+tickText(p.PausedAt)+": "+p.Note, ": ")
		}
		table.Add(term.Line(p.ID), term.Line(string(p.queue)), next, strconv.FormatInt(p.Runs, 10), strconv.FormatInt(p.Missed, 10), term.Line(paused))
	}
	return table.Write(std.Out)
}

func tickText(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

type pauseScheduleCommand struct {
	ID    string `arg:"" help:"The schedule's id."`
	Note  string `help:"Why, for who looks at the schedule later." placeholder:"TEXT"`
	Queue string `help:"The queue its tasks go to. Default: all are searched." placeholder:"NAME"`
	redisConnection
}

func (c *pauseScheduleCommand) Run(ctx context.Context, std Streams) error {
	s, err := c.schedules(ctx)
	if err != nil {
		return err
	}
	defer s.rdb.Close()
	p, err := s.one(ctx, c.Queue, c.ID)
	if err != nil {
		return err
	}
	if err := s.PauseSchedule(ctx, p.queue, p.ID, c.Note); err != nil {
		return err
	}
	_, err = fmt.Fprintf(std.Out, "schedule %s is paused\n", term.Line(p.ID))
	return err
}

type resumeScheduleCommand struct {
	ID    string `arg:"" help:"The schedule's id."`
	Queue string `help:"The queue its tasks go to. Default: all are searched." placeholder:"NAME"`
	redisConnection
}

func (c *resumeScheduleCommand) Run(ctx context.Context, std Streams) error {
	s, err := c.schedules(ctx)
	if err != nil {
		return err
	}
	defer s.rdb.Close()
	p, err := s.one(ctx, c.Queue, c.ID)
	if err != nil {
		return err
	}
	next := p.Next
	if p.Paused {
		now, err := s.rdb.Time(ctx).Result() // by which beats fire
		if err != nil {
			return fmt.Errorf("ask for Redis' clock: %w", err)
		}
		if next, err = p.after(now); err != nil {
			return err
		}
		if err := s.ResumeSchedule(ctx, p.queue, p.ID, p.Revision, next); err != nil {
			return err
		}
	}
	if next.IsZero() {
		_, err = fmt.Fprintf(std.Out, "schedule %s is not paused; it has no next tick\n", term.Line(p.ID))
		return err
	}
	_, err = fmt.Fprintf(std.Out, "schedule %s is not paused; its next tick is %s\n", term.Line(p.ID), tickText(next))
	return err
}

// after returns the schedule's first tick after now and after what it has fired; zero: there is none.
func (p *planned) after(now time.Time) (time.Time, error) {
	var s schedule.Schedule
	if err := json.Unmarshal(p.Definition, &s); err != nil {
		return time.Time{}, fmt.Errorf("read the definition of schedule %s: %w", p.ID, err)
	}
	if !s.Enabled || s.Limit > 0 && p.Runs >= int64(s.Limit) {
		return time.Time{}, nil
	}
	if p.Last.After(now) {
		now = p.Last
	}
	return s.Next(now), nil
}
