package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/wire"
)

// stage is an API that plays a part: it answers each request by the next scene for its path.
type stage struct {
	t  *testing.T
	mu sync.Mutex
	// streams and tasks are what GET /v1/events and GET /v1/tasks/{id} answer, in order; the last one again and again.
	streams, tasks []http.HandlerFunc
	resumed        []string // the Last-Event-ID of each stream
}

func (s *stage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	scenes := &s.tasks
	if r.URL.Path == "/v1/events" {
		scenes = &s.streams
		s.resumed = append(s.resumed, r.Header.Get("Last-Event-ID"))
		if got := r.URL.Query(); got.Get("task") != "a/b" || got.Get("queue") != "q" {
			s.t.Errorf("the stream is about %v", got)
		}
	}
	scene := (*scenes)[0]
	if len(*scenes) > 1 {
		*scenes = (*scenes)[1:]
	}
	s.mu.Unlock()
	scene(w, r)
}

// streamOf sends blocks of an event stream and ends; with hang, it stays open and silent.
func streamOf(hang bool, blocks ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "retry: 1\n\n"+strings.Join(blocks, ""))
		w.(http.Flusher).Flush()
		if hang {
			<-r.Context().Done()
		}
	}
}

func block(t *testing.T, cursor, typ string, data any) string {
	t.Helper()
	encoded, err := json.Marshal(data)
	if err != nil {
		t.Fatal(err)
	}
	frame, err := json.Marshal(wire.CloudEvent{Type: typ, Data: encoded, Time: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("id: %s\nevent: %s\ndata: %s\n\n", cursor, typ, frame)
}

func snapshot(t *testing.T, cursor string, tasks ...wire.Task) string {
	return block(t, cursor, wire.TypeSnapshot, wire.Snapshot{Tasks: tasks})
}

func change(t *testing.T, cursor string, e wire.TaskEvent) string {
	e.Task, e.Queue, e.Type = "a/b", "q", "t"
	return block(t, cursor, "dev.seri.task."+string(e.State), e)
}

func taskIn(state seri.State, seq uint64) wire.Task {
	t := wire.Task{ID: "a/b", Queue: "q", Type: "t", State: state, Seq: seq}
	if state == seri.Succeeded {
		t.Result = json.RawMessage(`"stored"`)
	}
	return t
}

func answer(status int, v any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if status >= 400 {
			w.Header().Set("Content-Type", "application/problem+json")
		}
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
}

func problem(status int, code string) http.HandlerFunc {
	return answer(status, map[string]any{"type": "/problems/" + code, "status": status, "detail": code})
}

func html(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html")
	fmt.Fprint(w, "<html>")
}

var succeeded = wire.TaskEvent{State: seri.Succeeded, Seq: 5, Result: json.RawMessage(`"told"`)}

// follow runs a follower against the stage; it says which states it was shown.
func follow(t *testing.T, s *stage, f *Follower) (task wire.Task, states []seri.State, err error) {
	t.Helper()
	s.t = t
	web := httptest.NewServer(s)
	t.Cleanup(web.Close)
	if f.Server, err = Open(web.URL, ""); err != nil {
		t.Fatal(err)
	}
	f.Queue, f.ID, f.Poll = "q", "a/b", time.Millisecond
	f.See = func(t wire.Task) { states = append(states, t.State) }
	task, err = f.Run(t.Context())
	return task, states, err
}

func TestFollowingEndsWithTheTask(t *testing.T) {
	t.Parallel()
	active := wire.TaskEvent{State: seri.Active, Seq: 2, Attempt: 1, Worker: "w"}
	progress := wire.TaskEvent{State: seri.Active, Seq: 3, Progress: &seri.ProgressInfo{Done: 1, Total: 2}}
	for name, c := range map[string]struct {
		streams []http.HandlerFunc
		tasks   []http.HandlerFunc
		states  []seri.State
		result  string
		resumed []string
	}{
		"by its events": {
			streams: []http.HandlerFunc{streamOf(true,
				snapshot(t, "c1", taskIn(seri.Pending, 1)), change(t, "c2", active), change(t, "c3", progress), change(t, "c5", succeeded))},
			states: []seri.State{seri.Pending, seri.Active, seri.Active, seri.Succeeded}, result: `"told"`, resumed: []string{""},
		},
		"by a stream that was cut and goes on where it was": {
			streams: []http.HandlerFunc{
				streamOf(false, snapshot(t, "c1", taskIn(seri.Pending, 1)), change(t, "c2", active)),
				streamOf(false, "id: c3\n\n"),
				streamOf(true, change(t, "c4", progress), change(t, "c5", succeeded)),
			},
			tasks:  []http.HandlerFunc{answer(200, taskIn(seri.Active, 3))},
			states: []seri.State{seri.Pending, seri.Active, seri.Active, seri.Succeeded}, result: `"told"`, resumed: []string{"", "c2", "c3"},
		},
		"by a snapshot, if it had ended before": {
			streams: []http.HandlerFunc{streamOf(true, snapshot(t, "c1", taskIn(seri.Succeeded, 5)))},
			states:  []seri.State{seri.Succeeded}, result: `"stored"`, resumed: []string{""},
		},
		"after a gap in the events": {
			streams: []http.HandlerFunc{streamOf(true, snapshot(t, "c1", taskIn(seri.Pending, 1)),
				block(t, "c2", wire.TypeGap, wire.Gap{}), snapshot(t, "c3", taskIn(seri.Succeeded, 5)))},
			states: []seri.State{seri.Pending, seri.Succeeded}, result: `"stored"`, resumed: []string{""},
		},
		"with a result that is too large for an event": {
			streams: []http.HandlerFunc{streamOf(true, change(t, "c5", wire.TaskEvent{State: seri.Succeeded, Seq: 5, Truncated: true}))},
			tasks:   []http.HandlerFunc{answer(200, taskIn(seri.Succeeded, 5))},
			states:  []seri.State{seri.Succeeded}, result: `"stored"`, resumed: []string{""},
		},
		"without a result, if the task was deleted at once": {
			streams: []http.HandlerFunc{streamOf(true, change(t, "c5", wire.TaskEvent{State: seri.Succeeded, Seq: 5}))},
			tasks:   []http.HandlerFunc{problem(404, "not-found")},
			states:  []seri.State{seri.Succeeded}, resumed: []string{""},
		},
		"by asking, where no stream gets through": {
			streams: []http.HandlerFunc{html},
			tasks:   []http.HandlerFunc{answer(200, taskIn(seri.Pending, 1)), answer(200, taskIn(seri.Active, 2)), answer(200, taskIn(seri.Succeeded, 5))},
			states:  []seri.State{seri.Pending, seri.Active, seri.Succeeded}, result: `"stored"`, resumed: []string{""},
		},
		"by asking, where there are no events": {
			streams: []http.HandlerFunc{problem(404, "no-route")},
			tasks:   []http.HandlerFunc{answer(200, taskIn(seri.Active, 2)), answer(200, taskIn(seri.Succeeded, 5))},
			states:  []seri.State{seri.Active, seri.Succeeded}, result: `"stored"`, resumed: []string{""},
		},
		"though the API is away for a while": {
			streams: []http.HandlerFunc{streamOf(false, snapshot(t, "c1", taskIn(seri.Pending, 1))), problem(503, "unavailable")},
			tasks:   []http.HandlerFunc{problem(503, "unavailable"), html5xx, answer(200, taskIn(seri.Succeeded, 5))},
			states:  []seri.State{seri.Pending, seri.Succeeded}, result: `"stored"`, resumed: []string{"", "c1", "c1"},
		},
		"with events that it does not know": {
			streams: []http.HandlerFunc{streamOf(true, "data: no JSON\n\n", block(t, "c1", "dev.seri.future", 1),
				block(t, "c2", wire.TypeSnapshot, "no snapshot"), change(t, "c5", succeeded))},
			states: []seri.State{seri.Succeeded}, result: `"told"`, resumed: []string{""},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &stage{streams: c.streams, tasks: c.tasks}
			var notes []string

			task, states, err := follow(t, s, &Follower{Note: func(text string) { notes = append(notes, text) }})

			if err != nil || task.State != seri.Succeeded || string(task.Result) != c.result {
				t.Errorf("it ends with %+v (%v), want the result %s", task, err, c.result)
			}
			if !slices.Equal(states, c.states) {
				t.Errorf("it has shown %v, want %v", states, c.states)
			}
			if s.mu.Lock(); !slices.Equal(s.resumed, c.resumed) {
				t.Errorf("streams were resumed after %q, want %q", s.resumed, c.resumed)
			}
			s.mu.Unlock()
			if len(notes) > 0 && notes[len(notes)-1] != "" {
				t.Errorf("in the end it still tells %q", notes)
			}
		})
	}
}

func html5xx(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/html")
	w.WriteHeader(http.StatusBadGateway)
}

func TestFollowingGivesUpWhereItMakesNoSense(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		task http.HandlerFunc
		want string
	}{
		"the task is gone":         {problem(404, "not-found"), "is no longer there"},
		"the key is refused":       {problem(401, "unauthorized"), "set SERI_API_KEY"},
		"the API is away too long": {problem(503, "unavailable"), "gave up waiting"},
		"it is not an API":         {html, "does not answer as Seri's API does"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &stage{streams: []http.HandlerFunc{c.task}, tasks: []http.HandlerFunc{c.task}}

			_, _, err := follow(t, s, &Follower{Patience: 20 * time.Millisecond})

			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("it ends with %v, want %q", err, c.want)
			}
		})
	}
}

func TestAStreamThatIsSilentForTooLongIsLeft(t *testing.T) {
	t.Parallel()
	s := &stage{
		streams: []http.HandlerFunc{streamOf(true, snapshot(t, "c1", taskIn(seri.Pending, 1))), streamOf(true, change(t, "c5", succeeded))},
		tasks:   []http.HandlerFunc{answer(200, taskIn(seri.Pending, 1))},
	}

	task, _, err := follow(t, s, &Follower{Silence: 200 * time.Millisecond})

	if err != nil || string(task.Result) != `"told"` || !slices.Equal(s.resumed, []string{"", "c1"}) {
		t.Errorf("it ends with %+v (%v), streams were resumed after %q", task, err, s.resumed)
	}
}

func TestAStreamThatIsHeldBackIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	held := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	s := &stage{
		streams: []http.HandlerFunc{held},
		tasks:   []http.HandlerFunc{answer(200, taskIn(seri.Pending, 1)), answer(200, taskIn(seri.Active, 2)), answer(200, taskIn(seri.Succeeded, 5))},
	}

	task, states, err := follow(t, s, &Follower{Silence: 60 * time.Millisecond})

	if err != nil || string(task.Result) != `"stored"` || len(states) != 3 || len(s.resumed) != 1 {
		t.Errorf("it ends with %+v (%v), %v, after %d streams", task, err, states, len(s.resumed))
	}
}

func TestFollowingEndsWithItsContext(t *testing.T) {
	t.Parallel()
	s := &stage{t: t, streams: []http.HandlerFunc{streamOf(true, snapshot(t, "c1", taskIn(seri.Pending, 1)))}}
	web := httptest.NewServer(s)
	t.Cleanup(web.Close)
	server, err := Open(web.URL, "")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")

	_, err = (&Follower{Server: server, Queue: "q", ID: "a/b", See: func(wire.Task) { cancel(enough) }}).Run(ctx)

	if !errors.Is(err, enough) {
		t.Errorf("it ends with %v", err)
	}
}
