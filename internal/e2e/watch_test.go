package e2e_test

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/gateway/gatewaytest"
	"github.com/seri-queue/seri/internal/wire"
)

// watcher follows a live stream.
type watcher struct {
	t      *testing.T
	stream *gatewaytest.Stream
	seen   []seen
	last   map[string]uint64 // sequence number by task
}

// seen is one event of a live stream.
type seen struct {
	kind seri.EventKind
	at   time.Time // here
	wire.TaskEvent
}

// pid returns the process ID of the worker of a started event, whose name is host:pid:id.
func (e seen) pid() int {
	parts := strings.Split(e.Worker, ":")
	if len(parts) < 3 {
		return 0
	}
	pid, _ := strconv.Atoi(parts[len(parts)-2])
	return pid
}

// watch opens a stream by SSE. An empty query asks for everything.
func (e endpoint) watch(query string) *watcher {
	e.t.Helper()
	return e.follow(gatewaytest.SSE, "/v1/events?"+query)
}

// watchSocket opens a stream by WebSocket.
func (e endpoint) watchSocket(query string) *watcher {
	e.t.Helper()
	return e.follow(gatewaytest.WebSocket, "/v1/ws?"+query)
}

// opener opens a stream by one of the transports.
type opener func(ctx context.Context, url string, header http.Header) (*gatewaytest.Stream, error)

func (e endpoint) follow(open opener, path string) *watcher {
	e.t.Helper()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for begun := time.Now(); ; <-again.C {
		stream, err := open(e.t.Context(), e.url+path, e.header())
		if err == nil {
			e.t.Cleanup(func() { stream.Close() })
			w := &watcher{t: e.t, stream: stream, last: make(map[string]uint64)}
			w.snapshot()
			return w
		}
		// The first moments of a process, and those of a Redis that comes back.
		refused, ok := errors.AsType[*gatewaytest.StatusError](err)
		if !ok || refused.Status != http.StatusServiceUnavailable || time.Since(begun) > patience {
			e.t.Fatalf("%s: %v", path, err)
		}
	}
}

// snapshot reads the first frame.
func (w *watcher) snapshot() {
	w.t.Helper()
	frame, err := w.stream.Next()
	if err != nil {
		w.t.Fatal(err)
	}
	if frame.Type != wire.TypeSnapshot {
		w.t.Fatalf("the first frame is a %s, want a snapshot", frame.Type)
	}
	for _, task := range decode[wire.Snapshot](w.t, frame.Data).Tasks {
		w.last[task.ID] = task.Seq
		w.seen = append(w.seen, seen{"snapshot", time.Now(), wire.TaskEvent{Task: task.ID, State: task.State, Seq: task.Seq, Type: task.Type}})
	}
}

// next reads one event of a task, and checks that none of that task is missing before it. Those of schedules are passed over.
func (w *watcher) next() (seen, error) {
	w.t.Helper()
	frame, err := w.stream.Next()
	for err == nil && strings.HasPrefix(frame.Type, "dev.seri.schedule.") {
		frame, err = w.stream.Next()
	}
	if err != nil {
		return seen{}, err
	}
	kind, ok := strings.CutPrefix(frame.Type, "dev.seri.task.")
	if !ok {
		w.t.Fatalf("a %s came: %s", frame.Type, frame.Data)
	}
	e := seen{seri.EventKind(kind), time.Now(), decode[wire.TaskEvent](w.t, frame.Data)}
	if e.Seq != w.last[e.Task]+1 {
		w.t.Errorf("event %d of task %s (%s) came after event %d", e.Seq, e.Task, e.kind, w.last[e.Task])
	}
	w.last[e.Task] = e.Seq
	w.seen = append(w.seen, e)
	return e, nil
}

// until reads events until one is as wanted, and returns it.
func (w *watcher) until(what string, wanted func(seen) bool) seen {
	w.t.Helper()
	expired := time.AfterFunc(patience, func() { w.stream.Close() })
	defer expired.Stop()
	for {
		e, err := w.next()
		if err != nil {
			w.t.Fatalf("%v before %s; seen: %v", err, what, w.kinds())
		}
		if wanted(e) {
			return e
		}
	}
}

// untilKind reads events until one of the given kind is about the task.
func (w *watcher) untilKind(task string, kind seri.EventKind) seen {
	w.t.Helper()
	return w.until(string(kind), func(e seen) bool {
		if e.kind.Terminal() && e.Task == task && e.kind != kind {
			w.t.Fatalf("task %s is %s (%s %s), want %s", task, e.State, e.Reason, e.Error, kind)
		}
		return e.kind == kind && e.Task == task
	})
}

// untilSucceeded reads events until the task has succeeded, if it had not in the snapshot.
func (w *watcher) untilSucceeded(task string) {
	w.t.Helper()
	for _, e := range w.seen {
		if e.Task == task && e.State == seri.Succeeded {
			return
		}
	}
	w.untilKind(task, seri.EventSucceeded)
}

// kinds lists the kinds of what was seen, with reasons, but for progress.
func (w *watcher) kinds() (kinds []string) {
	for _, e := range w.seen {
		if e.kind == seri.EventProgress {
			continue
		}
		kinds = append(kinds, strings.TrimSuffix(string(e.kind)+":"+string(e.Reason), ":"))
	}
	return kinds
}
