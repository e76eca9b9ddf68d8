package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/cli/remote"
	"github.com/seri-queue/seri/internal/cli/term"
	"github.com/seri-queue/seri/internal/wire"
)

type enqueueCommand struct {
	Type string `arg:"" help:"What to run; \"seri inspect\" lists what workers can."`
	JSON string `arg:"" name:"json" optional:"" default:"{}" help:"The arguments as JSON, @FILE, or - for the standard input."`

	Queue        string            `help:"Where the task waits. Default: the queue of the type." placeholder:"NAME"`
	ID           string            `help:"Unique in its queue; the same again is refused while the task exists. Default: random." placeholder:"ID"`
	Owner        string            `help:"A label by which tasks can be watched, such as user:42." placeholder:"LABEL"`
	PartitionKey string            `help:"In a queue that is divided: tasks with the same key go to the same partition, such as user:42." placeholder:"KEY"`
	Delay        time.Duration     `help:"How long to wait before the task may start." placeholder:"DURATION"`
	MaxRetries   *int              `help:"How often a failed attempt is repeated. Default: that of the type." placeholder:"TIMES"`
	Timeout      time.Duration     `help:"How long one attempt may take. Default: that of the type." placeholder:"DURATION"`
	Retention    *time.Duration    `help:"How long the result is kept; 0s deletes the task as soon as it succeeds. Default: that of the type." placeholder:"DURATION"`
	UniqueFor    time.Duration     `help:"For how long an equal task is refused." placeholder:"DURATION"`
	Header       map[string]string `help:"A header for the handler; may be repeated." placeholder:"NAME=VALUE" mapsep:"none"`

	Wait     bool `help:"Wait for the end and print the result. Ctrl-C ends the waiting, not the task."`
	Progress bool `help:"Wait, and show how far the task is."`
	connection
}

func (c *enqueueCommand) Run(ctx context.Context, std Streams) error {
	if err := c.check(); err != nil {
		return err
	}
	server, err := c.open()
	if err != nil {
		return err
	}
	payload, err := c.payload(std.In)
	if err != nil {
		return err
	}
	if c.ID == "" {
		c.ID = seri.NewID() // known before the request, so that there is a name for what may have become of it
	}
	waits := c.Wait || c.Progress
	cursor := ""
	if waits && c.Retention != nil && *c.Retention == 0 {
		if cursor, err = server.Cursor(ctx, c.queue()); err != nil {
			return err
		}
	}
	task, err := server.Enqueue(ctx, c.request(payload))
	if err != nil {
		return c.explain(ctx, err)
	}
	if !waits {
		_, err := fmt.Fprintln(std.Out, term.Line(task.ID))
		return err
	}
	ended, err := c.follow(ctx, server, task, cursor, std)
	if err != nil {
		return err
	}
	return report(ended, std.Out)
}

// check says which durations cannot be, in the unit in which they were given: the API knows seconds only.
func (c *enqueueCommand) check() error {
	var errs []error
	for _, flag := range []struct {
		name  string
		given *time.Duration
	}{{"delay", &c.Delay}, {"timeout", &c.Timeout}, {"retention", c.Retention}, {"unique-for", &c.UniqueFor}} {
		if flag.given != nil && *flag.given < 0 {
			errs = append(errs, fmt.Errorf("--%s is %v, must not be negative", flag.name, *flag.given))
		}
	}
	return errors.Join(errs...)
}

func (c *enqueueCommand) queue() string {
	if c.Queue == "" {
		return seri.DefaultQueue
	}
	return c.Queue
}

// given is how the argument itself is called, as opposed to a file that it names.
const given = "the argument"

// maxInput bounds what is read as a payload; the API takes 1 MiB as a whole.
const maxInput = 1 << 20

// payload reads the arguments from where the command line says that they are.
func (c *enqueueCommand) payload(in io.Reader) (json.RawMessage, error) {
	source, text := given, []byte(c.JSON)
	var err error
	switch {
	case c.JSON == "-":
		source = "the standard input"
		text, err = io.ReadAll(io.LimitReader(in, maxInput+1))
	case strings.HasPrefix(c.JSON, "@"):
		source = c.JSON[1:]
		text, err = readFile(c.JSON[1:])
	}
	if err != nil {
		return nil, fmt.Errorf("read the arguments: %w", err)
	}
	if len(text) > maxInput {
		return nil, fmt.Errorf("%s has more than %d bytes; store large data elsewhere and pass a reference", source, maxInput)
	}
	var payload json.RawMessage
	if err := json.Unmarshal(text, &payload); err != nil {
		return nil, notJSON(source, text, err)
	}
	return payload, nil
}

func readFile(name string) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, maxInput+1))
}

// notJSON says where a document stops being JSON.
func notJSON(source string, text []byte, err error) error {
	where := ""
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok && len(text) > 0 {
		before := text[:min(int(max(syntax.Offset-1, 0)), len(text))]
		line := bytes.Count(before, []byte("\n")) + 1
		column := len([]rune(string(before[bytes.LastIndexByte(before, '\n')+1:]))) + 1
		where = fmt.Sprintf(" at line %d, column %d", line, column)
	}
	hint := ""
	if source == given {
		hint = `; quote it for the shell: '{"name": "value"}'`
	}
	return fmt.Errorf("%s is not JSON%s: %s%s", term.Line(source), where, term.Line(err.Error()), hint)
}

// request is the body of POST /v1/tasks: what was not asked for is left to the server's defaults.
func (c *enqueueCommand) request(payload json.RawMessage) map[string]any {
	body := map[string]any{"type": c.Type, "payload": payload, "id": c.ID, "queue": c.queue()}
	if c.Owner != "" {
		body["owner"] = c.Owner
	}
	if c.PartitionKey != "" {
		body["partition_key"] = c.PartitionKey
	}
	if c.Delay != 0 {
		body["countdown"] = c.Delay.Seconds()
	}
	if c.MaxRetries != nil {
		body["max_retries"] = *c.MaxRetries
	}
	if c.Timeout != 0 {
		body["timeout"] = c.Timeout.Seconds()
	}
	if c.Retention != nil {
		body["retention"] = c.Retention.Seconds()
	}
	if c.UniqueFor != 0 {
		body["unique_for"] = c.UniqueFor.Seconds()
	}
	if len(c.Header) > 0 {
		body["headers"] = c.Header
	}
	return body
}

// explain adds what may have become of a task whose request has not been answered.
func (c *enqueueCommand) explain(ctx context.Context, err error) error {
	lost, ok := errors.AsType[*remote.Unreachable](err)
	if !ok || lost.NotSent {
		return err
	}
	unknown := fmt.Sprintf("whether the task was enqueued is not known; `%s` tells", inspectHint(c.queue(), c.ID))
	if ctx.Err() != nil {
		return &interruptedError{"interrupted; " + unknown}
	}
	return fmt.Errorf("%w; %s", err, unknown)
}

// follow waits for the end of a task.
func (c *enqueueCommand) follow(ctx context.Context, server *remote.Server, task wire.Task, cursor string, std Streams) (wire.Task, error) {
	follower := &remote.Follower{Server: server, Queue: task.Queue, ID: task.ID, After: cursor}
	if c.Progress {
		view := newView(std.Err)
		defer view.close()
		view.show(task)
		follower.See, follower.Note = view.show, view.note
	}
	ended, err := follower.Run(ctx)
	if err != nil && ctx.Err() != nil {
		return ended, &interruptedError{fmt.Sprintf("waits no longer; the task goes on. `%s` shows it, `seri revoke %s` ends it",
			inspectHint(task.Queue, task.ID), shellWord(task.ID))}
	}
	return ended, err
}

// report prints the result of a task that has succeeded; that of another is its error.
func report(task wire.Task, out io.Writer) error {
	if task.State != seri.Succeeded {
		return &endError{task}
	}
	result := []byte(task.Result)
	if len(result) == 0 {
		result = []byte("null")
	}
	if term.Width(out) > 0 {
		var indented bytes.Buffer
		if json.Indent(&indented, result, "", "  ") == nil {
			result = indented.Bytes()
		}
	}
	_, err := fmt.Fprintln(out, term.JSON(result))
	return err
}

// endError tells how a task ended that did not succeed.
type endError struct{ task wire.Task }

func (e *endError) Error() string {
	t := e.task
	text := fmt.Sprintf("task %s %s", term.Line(t.ID), t.State)
	if t.State == seri.Revoked {
		text = fmt.Sprintf("task %s was revoked", term.Line(t.ID))
	}
	if t.Reason != "" && t.Reason != seri.ReasonRevoked {
		text += fmt.Sprintf(" (%s)", term.Line(string(t.Reason)))
	}
	if t.Attempt > 1 {
		text += fmt.Sprintf(" at attempt %d", t.Attempt)
	}
	if t.Error != "" {
		text += ": " + term.Text(t.Error, "  ")
	}
	return text
}

func inspectHint(queue, id string) string {
	return fmt.Sprintf("seri inspect %s --task %s", shellWord(queue), shellWord(id))
}

// shellWord quotes what would not reach a command as it is.
func shellWord(s string) string {
	s = term.Line(s)
	plain := func(r rune) bool {
		return r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || strings.ContainsRune("-_./:@=+,", r)
	}
	if s != "" && !strings.ContainsFunc(s, func(r rune) bool { return !plain(r) }) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
