package remote

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/cli/term"
	"github.com/seri-queue/seri/internal/wire"
)

// Follower waits for the end of a task. It reads the task's events, and takes up a stream that breaks where it was; in
// between, and where something between here and the API lets no stream through, it asks for the task again and again.
type Follower struct {
	Server    *Server
	Queue, ID string

	// After is the cursor to begin after; empty: at the task as it is. See [Server.Cursor].
	After string
	// See is shown the task whenever it has changed. nil: nobody looks.
	See func(wire.Task)
	// Note is told when the connection to the API is lost, and with an empty text when it is there again. nil: nobody.
	Note func(text string)

	// Patience is how long the API may be away before waiting for it ends. Default: 1 min.
	Patience time.Duration
	// Poll is how often to ask where no stream gets through. Default: 1 s.
	Poll time.Duration
	// Silence is how long a stream may be silent until it counts as dead. Default: 45 s, three of the server's signs of
	// life. A stream that has not begun is given a third of it.
	Silence time.Duration

	task wire.Task
	last time.Time // when the API was last heard
	wait time.Duration
	lost bool
}

// deaf is how long no other stream is tried after one that did not get through.
const deaf = 30 * time.Second

// Gone tells that the task was deleted before its end could be seen.
type Gone struct{ ID string }

func (e *Gone) Error() string {
	return fmt.Sprintf("task %s is no longer there, and how it ended is not known: with a retention of 0 a task is deleted as soon as it succeeds", term.Line(e.ID))
}

// Run returns the task once it has ended, with its result or error. It returns ctx's cause when ctx ends.
func (f *Follower) Run(ctx context.Context) (wire.Task, error) {
	f.Patience, f.Poll = cmp.Or(f.Patience, time.Minute), cmp.Or(f.Poll, time.Second)
	f.Silence = cmp.Or(f.Silence, 45*time.Second)
	f.last = time.Now()
	var streamAgain time.Time
	for {
		f.wait = f.Poll
		if !time.Now().Before(streamAgain) {
			began, err := f.stream(ctx)
			if f.task.State.Terminal() {
				return f.ended(ctx)
			}
			if !began && !passing(err) {
				streamAgain = time.Now().Add(deaf)
			}
		}
		if err := f.poll(ctx); err != nil {
			return wire.Task{}, err
		}
		if f.task.State.Terminal() {
			return f.task, nil
		}
		select {
		case <-ctx.Done():
			return wire.Task{}, context.Cause(ctx)
		case <-time.After(f.wait):
		}
	}
}

// ended returns the task as its last event has told it, and reads what was too large for an event.
func (f *Follower) ended(ctx context.Context) (wire.Task, error) {
	if f.task.State != seri.Succeeded || f.task.Result != nil {
		return f.task, nil
	}
	stored, err := f.Server.Task(ctx, f.Queue, f.ID)
	if refusal, ok := errors.AsType[*Refusal](err); ok && refusal.Status == http.StatusNotFound {
		return f.task, nil // deleted; there was no result, or it was too large to travel
	}
	if err != nil {
		return wire.Task{}, fmt.Errorf("task %s has succeeded, but its result could not be read: %w", term.Line(f.ID), err)
	}
	return stored, nil
}

// poll asks for the task. It returns an error if waiting makes no sense any more.
func (f *Follower) poll(ctx context.Context) error {
	task, err := f.Server.Task(ctx, f.Queue, f.ID)
	if err == nil {
		f.heard()
		f.show(task)
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if refusal, ok := errors.AsType[*Refusal](err); ok && refusal.Status == http.StatusNotFound {
		return &Gone{f.ID}
	}
	if !passing(err) {
		return err
	}
	if away := time.Since(f.last); away > f.Patience {
		return fmt.Errorf("%w; gave up waiting after %v, the task goes on", err, away.Round(time.Second))
	}
	f.lost = true
	f.note("the API cannot be reached, waiting for it")
	return nil
}

// passing reports whether the API may answer another time.
func passing(err error) bool {
	_, away := errors.AsType[*Unreachable](err)
	refusal, refused := errors.AsType[*Refusal](err)
	return away || refused && refusal.Passing()
}

// errSilent ends a stream from which nothing is heard.
var errSilent = errors.New("the stream of events is silent")

// stream follows the task's events until its end, or until the stream ends. began tells whether a stream got through.
func (f *Follower) stream(ctx context.Context) (began bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watchdog := time.AfterFunc(f.Silence/3, func() { cancel(errSilent) })
	defer watchdog.Stop()

	answer, err := f.Server.do(ctx, http.MethodGet, "/v1/events?"+url.Values{"task": {f.ID}, "queue": {f.Queue}}.Encode(), nil, f.header())
	if err != nil {
		if errors.Is(context.Cause(ctx), errSilent) {
			return false, errSilent // something holds the stream back until it has an end
		}
		return false, err
	}
	defer answer.Body.Close()
	if mediaType, _, _ := mime.ParseMediaType(answer.Header.Get("Content-Type")); mediaType != "text/event-stream" {
		return false, fmt.Errorf("events come as %q", mediaType)
	}
	events := newSSEReader(heartbeat{answer.Body, func() { watchdog.Reset(f.Silence) }}, f.After)
	defer func() { f.wait = cmp.Or(events.retry, f.wait) }()
	for {
		e, err := events.next()
		f.After = events.last // it moves on with the server's signs of life, too
		if err != nil {
			return events.begun, err
		}
		f.heard()
		if !f.apply(e) || f.task.State.Terminal() {
			return true, nil
		}
	}
}

func (f *Follower) header() http.Header {
	h := http.Header{"Accept": {"text/event-stream"}}
	if f.After != "" {
		h["Last-Event-Id"] = []string{f.After}
	}
	return h
}

// apply takes in an event; false if the task is not there any more.
func (f *Follower) apply(e sseEvent) bool {
	var frame wire.CloudEvent
	if json.Unmarshal(e.data, &frame) != nil {
		return true // of a newer server; the task is asked for when the stream ends
	}
	switch frame.Type {
	case wire.TypeGap, wire.TypeReset: // a snapshot follows
	case wire.TypeSnapshot:
		var snapshot wire.Snapshot
		if json.Unmarshal(frame.Data, &snapshot) != nil {
			return true
		}
		for _, task := range snapshot.Tasks {
			f.show(task)
		}
		return len(snapshot.Tasks) > 0
	default:
		var change wire.TaskEvent
		if json.Unmarshal(frame.Data, &change) == nil && change.Task == f.ID && change.State != "" {
			f.change(change, frame.Time)
		}
	}
	return true
}

// change brings the task to where an event says it is.
func (f *Follower) change(e wire.TaskEvent, at time.Time) {
	if e.Seq <= f.task.Seq {
		return // seen before, or older than what was asked for
	}
	t := f.task
	if t.State != e.State {
		t.Progress, t.DueAt, t.Error = nil, nil, ""
	}
	if e.Worker != "" {
		t.StartedAt = &at
	}
	if e.State.Terminal() {
		t.FinishedAt = &at
	}
	t.ID, t.Type, t.Queue, t.Owner = e.Task, e.Type, e.Queue, e.Owner
	t.State, t.Reason, t.Seq, t.Result = e.State, e.Reason, e.Seq, e.Result
	t.Attempt = cmp.Or(e.Attempt, t.Attempt)
	t.Error, t.DueAt = cmp.Or(e.Error, t.Error), cmp.Or(e.DueAt, t.DueAt)
	t.Progress = cmp.Or(e.Progress, t.Progress)
	f.show(t)
}

// show passes on what is newer than what was shown.
func (f *Follower) show(t wire.Task) {
	if f.task.State != "" && t.Seq <= f.task.Seq {
		return
	}
	f.task = t
	if f.See != nil {
		f.See(t)
	}
}

func (f *Follower) heard() {
	f.last = time.Now()
	if f.lost {
		f.lost = false
		f.note("")
	}
}

func (f *Follower) note(text string) {
	if f.Note != nil {
		f.Note(text)
	}
}

// Cursor returns where a queue's events are now. Who takes it before a task is enqueued, and follows the task from it,
// misses nothing, even if the task has been deleted by then.
func (s *Server) Cursor(ctx context.Context, queue string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	answer, err := s.do(ctx, http.MethodGet, "/v1/events?"+url.Values{"queue": {queue}}.Encode(), nil, http.Header{"Accept": {"text/event-stream"}})
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	events := newSSEReader(answer.Body, "")
	if _, err := events.next(); err != nil {
		return "", s.unreachable(err)
	}
	return events.last, nil
}

// heartbeat tells of every byte that is read.
type heartbeat struct {
	io.Reader
	alive func()
}

func (h heartbeat) Read(p []byte) (n int, err error) {
	if n, err = h.Reader.Read(p); n > 0 {
		h.alive()
	}
	return n, err
}
