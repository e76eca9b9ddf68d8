package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/api"
	"github.com/seri-queue/seri/internal/cli/remote"
	"github.com/seri-queue/seri/internal/cli/term"
	"github.com/seri-queue/seri/internal/wire"
)

type inspectCommand struct {
	Queue string `arg:"" optional:"" help:"Show the tasks of this queue. Default: show all queues, and the types of task that workers run."`
	State string `help:"Only tasks in this state: scheduled, pending, active, retrying, succeeded, failed or revoked." enum:",scheduled,pending,active,retrying,succeeded,failed,revoked" default:"" placeholder:"STATE"`
	Task  string `help:"Show everything about one task." placeholder:"ID"`
	Limit int    `help:"How many tasks to show at most." default:"20"`
	JSON  bool   `name:"json" help:"Print what the API answers."`
	connection
}

func (c *inspectCommand) Run(ctx context.Context, std Streams) error {
	switch {
	case c.Limit < 1:
		return fmt.Errorf("--limit is %d, must be at least 1", c.Limit)
	case c.Task != "" && c.State != "":
		return fmt.Errorf("--task and --state exclude each other")
	case c.Task == "" && c.State != "" && c.Queue == "":
		return fmt.Errorf("--state needs a queue: seri inspect QUEUE --state %s", c.State)
	}
	server, err := c.open()
	if err != nil {
		return err
	}
	switch {
	case c.Task != "":
		return c.task(ctx, server, std.Out)
	case c.Queue != "":
		return c.tasks(ctx, server, std.Out)
	}
	return c.overview(ctx, server, std.Out)
}

// overview shows all queues and types.
func (c *inspectCommand) overview(ctx context.Context, server *remote.Server, out io.Writer) error {
	queues, err := server.Queues(ctx)
	if err != nil {
		return err
	}
	types, err := server.Types(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return writeJSON(out, map[string]any{"queues": queues, "types": types})
	}
	if len(queues) == 0 {
		fmt.Fprintln(out, "There are no queues yet; a queue comes into being with its first task.")
	} else if err := queueTable(queues).Write(out); err != nil {
		return err
	}
	for _, q := range queues {
		for _, server := range q.ForeignServers {
			fmt.Fprintf(out, "%s is not fenced: asynq's server %s consumes it, too, and can end what a worker of Seri's holds.\n",
				term.Line(q.Name), term.Line(server))
		}
		if q.Unserved && len(q.Partitions) > 0 {
			fmt.Fprintf(out, "%s has partitions that no live worker serves: give the workers SERI_PARTITIONS=%s=%d.\n",
				term.Line(q.Name), term.Line(q.Name), len(q.Partitions))
		}
	}
	fmt.Fprintln(out)
	if len(types) == 0 {
		_, err := fmt.Fprintln(out, "No live worker has published types of task.")
		return err
	}
	table := term.Table{Header: []string{"type", "workers", "queues"}, Right: []bool{false, true}}
	for _, t := range types {
		table.Add(term.Line(t.Name), strconv.Itoa(t.Workers), term.Line(strings.Join(t.Queues, ", ")))
	}
	return table.Write(out)
}

func queueTable(queues []api.Queue) *term.Table {
	t := &term.Table{
		Header: []string{"queue", "", "scheduled", "pending", "active", "retrying", "succeeded", "archived", "latency", "processed", "failed", "repaired"},
		Right:  []bool{false, false, true, true, true, true, true, true, true, true, true, true},
	}
	row := func(name string, q api.Queue) {
		var marks []string
		latency := "-"
		if q.Paused {
			marks = append(marks, "paused")
		}
		if q.Unserved {
			marks = append(marks, "unserved")
		}
		if q.Latency > 0 {
			latency = span(seconds(q.Latency))
		}
		t.Add(name, strings.Join(marks, ", "), strconv.Itoa(q.Scheduled), strconv.Itoa(q.Pending), strconv.Itoa(q.Active),
			strconv.Itoa(q.Retrying), strconv.Itoa(q.Succeeded), strconv.Itoa(q.Archived), latency,
			strconv.FormatInt(q.Processed, 10), strconv.FormatInt(q.Failed, 10), strconv.FormatInt(q.Repaired, 10))
	}
	for _, q := range queues {
		row(term.Line(q.Name), q)
		for i, p := range q.Partitions {
			row(fmt.Sprintf("  :%d", i), p)
		}
	}
	return t
}

// inOrder are the states in the order in which somebody who looks at a queue cares for them.
var inOrder = []seri.State{seri.Active, seri.Retrying, seri.Pending, seri.Scheduled, seri.Failed, seri.Revoked, seri.Succeeded}

// tasks shows the tasks of one queue.
func (c *inspectCommand) tasks(ctx context.Context, server *remote.Server, out io.Writer) error {
	states := inOrder
	if c.State != "" {
		states = []seri.State{seri.State(c.State)}
	}
	found, more := []wire.Task{}, false
	for _, state := range states {
		if len(found) == c.Limit {
			more = true // perhaps; asking would cost a request for each state
			break
		}
		some, rest, err := server.Tasks(ctx, c.Queue, state, c.Limit-len(found))
		if err != nil {
			return err
		}
		found, more = append(found, some...), more || rest
	}
	if c.JSON {
		return writeJSON(out, map[string]any{"tasks": found})
	}
	if len(found) == 0 {
		_, err := fmt.Fprintf(out, "The queue %s has no such tasks.\n", term.Line(c.Queue))
		return err
	}
	table := term.Table{Header: []string{"id", "type", "state", "attempt", "age", ""}, Right: []bool{false, false, false, true, true}}
	now := time.Now()
	for _, t := range found {
		age := "-"
		if t.EnqueuedAt != nil {
			age = span(max(0, now.Sub(*t.EnqueuedAt)))
		}
		bar := bar{task: t, now: now}
		table.Add(term.Line(t.ID), term.Line(t.Type), string(t.State), strconv.Itoa(t.Attempt), age,
			strings.TrimSpace(bar.percent()+" "+bar.message()))
	}
	if err := table.Write(out); err != nil {
		return err
	}
	if more {
		fmt.Fprintf(out, "There may be more; --limit %d shows more, --state those of one state.\n", 10*c.Limit)
	}
	return nil
}

// task shows everything about one task.
func (c *inspectCommand) task(ctx context.Context, server *remote.Server, out io.Writer) error {
	t, err := server.Task(ctx, c.Queue, c.Task)
	if err != nil {
		return err
	}
	if c.JSON {
		return writeJSON(out, t)
	}
	var text strings.Builder
	for _, line := range details(t, time.Now()) {
		fmt.Fprintf(&text, "%s%s\n", term.Pad(line.name, 13), line.value)
	}
	_, err = io.WriteString(out, text.String())
	return err
}

// detail is one thing to say about a task; its value is harmless.
type detail struct{ name, value string }

func details(t wire.Task, now time.Time) []detail {
	var all []detail
	add := func(name, value string) {
		if value != "" {
			all = append(all, detail{name, value})
		}
	}
	at := func(name string, when *time.Time) {
		if when != nil {
			add(name, when.UTC().Format("2006-01-02 15:04:05.000 UTC")+", "+distance(*when, now))
		}
	}
	state := string(t.State)
	if t.Reason != "" && string(t.Reason) != state {
		state += " (" + term.Line(string(t.Reason)) + ")"
	}
	add("task", term.Line(t.ID))
	add("type", term.Line(t.Type))
	add("queue", term.Line(t.Queue))
	if t.Partition > 0 {
		add("partition", strconv.Itoa(t.Partition))
	}
	add("owner", term.Line(t.Owner))
	add("state", state)
	add("attempt", fmt.Sprintf("%d of at most %d", t.Attempt, t.MaxRetries+1))
	if t.Crashes > 0 {
		add("crashes", fmt.Sprintf("%d of its workers vanished", t.Crashes))
	}
	if p := t.Progress; p != nil {
		add("progress", strings.TrimSpace(fmt.Sprintf("%d of %s %s", p.Done, total(p.Total), term.Line(p.Message))))
	}
	at("enqueued", t.EnqueuedAt)
	at("due", t.DueAt)
	at("started", t.StartedAt)
	at("finished", t.FinishedAt)
	at("expires", t.ExpiresAt)
	at("deadline", t.Deadline)
	if t.Timeout > 0 {
		add("timeout", seconds(t.Timeout).String())
	}
	add("retention", seconds(t.Retention).String())
	for _, name := range slices.Sorted(maps.Keys(t.Headers)) {
		add("header", term.Line(name)+": "+term.Line(t.Headers[name]))
	}
	add("payload", document(t.Payload))
	if len(t.PayloadBase64) > 0 {
		add("payload", fmt.Sprintf("%d bytes that are not JSON: %s", len(t.PayloadBase64), term.Truncate(term.Line(string(t.PayloadBase64)), 200)))
	}
	add("result", document(t.Result))
	add("error", term.Text(t.Error, strings.Repeat(" ", 13)))
	return all
}

func total(n int64) string {
	if n <= 0 {
		return "?"
	}
	return strconv.FormatInt(n, 10)
}

// distance is a time as seen from now.
func distance(when, now time.Time) string {
	if when.After(now) {
		return until(when, now)
	}
	return span(now.Sub(when)) + " ago"
}

// document shows a JSON document, a long one over several lines.
func document(raw json.RawMessage) string {
	const line = 80
	if len(raw) <= line {
		return term.JSON(raw)
	}
	indented, err := json.MarshalIndent(raw, strings.Repeat(" ", 13), "  ")
	if err != nil {
		return term.JSON(raw)
	}
	return term.JSON(indented)
}

// writeJSON prints a document for programs, which a person may look at.
func writeJSON(out io.Writer, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, term.JSON(text))
	return err
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
