package web_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/web"
	"github.com/seri-queue/seri/internal/wire"
)

// fake is a Seri whose workers are the test: the page in front, the API and the live events behind it, from memory.
// Its frames are made by package wire, so they are those of the real one.
type fake struct {
	URL   string
	photo []byte // the sample; not to be set once the page is open

	mu       sync.Mutex
	tasks    map[string]*seri.Info // by ID
	log      []wire.CloudEvent     // every event; a cursor is how many came before
	lost     map[int]bool          // positions in log that are not delivered
	changed  chan struct{}         // closed and replaced when log has grown
	cut      chan struct{}         // closed and replaced to end all streams
	key      string                // the API key that is asked for; empty: none
	refuse   *problem              // the answer to the next POST
	bodies   []string              // of every POST
	resumed  []string              // Last-Event-ID of every stream
	closed   bool                  // streams are refused
	readings int                   // how often GET /v1/tasks/{id} was called
	lines    []wire.LogLine        // of the log of every task; nil: there is none to be read
}

type problem struct {
	Status int     `json:"status"`
	Title  string  `json:"title"`
	Detail string  `json:"detail"`
	Errors []fault `json:"errors,omitempty"`
}

type fault struct {
	Location string `json:"location"`
	Message  string `json:"message"`
}

func newFake(t testing.TB) *fake {
	f := &fake{
		tasks: make(map[string]*seri.Info), lost: make(map[int]bool),
		changed: make(chan struct{}), cut: make(chan struct{}), photo: landscape(1280, 853),
	}
	mux := http.NewServeMux()
	mux.Handle("/", web.Handler())
	mux.HandleFunc("POST /v1/tasks", f.guard(f.post))
	mux.HandleFunc("GET /v1/tasks/{id}", f.guard(f.get))
	mux.HandleFunc("GET /v1/tasks/{id}/logs", f.guard(f.readLog))
	mux.HandleFunc("DELETE /v1/tasks/{id}", f.guard(f.revoke))
	mux.HandleFunc("GET /v1/events", f.guard(f.events))
	mux.HandleFunc("GET /samples/photo.jpeg", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(f.photo) })
	mux.HandleFunc("GET /samples/cities.csv", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "city,country,population,founded\nTokyo,Japan,13960000,1457\nBerlin,Germany,3645000,1237\nLagos,Nigeria,15388000,\nLima,Peru,10092000,1535\n")
	})
	mux.HandleFunc("GET /files/{path...}", func(w http.ResponseWriter, r *http.Request) {
		var edge int
		_, _ = fmt.Sscanf(r.PathValue("path"), "demo/%d.jpeg", &edge)
		_, _ = w.Write(landscape(max(edge, 16), max(edge*2/3, 16)))
	})
	server := httptest.NewServer(mux)
	t.Cleanup(func() {
		f.Cut()
		server.Close()
	})
	f.URL = server.URL
	return f
}

// Add records a task that was there before anybody watched.
func (f *fake) Add(info seri.Info) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tasks[info.ID] = &info
}

// Emit makes one thing happen to a task and tells all streams.
func (f *fake) Emit(id string, kind seri.EventKind, data seri.EventData) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.emit(id, kind, data)
}

// Lose makes something happen of which no stream is told.
func (f *fake) Lose(id string, kind seri.EventKind, data seri.EventData) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lost[len(f.log)] = true
	f.emit(id, kind, data)
}

func (f *fake) emit(id string, kind seri.EventKind, data seri.EventData) {
	task := f.tasks[id]
	task.Seq++
	now := time.Now().Truncate(time.Millisecond)
	apply(task, kind, data, now)
	event := seri.Event{Kind: kind, Task: id, Type: task.Type, Queue: task.Queue, Owner: task.Owner, Seq: task.Seq, Time: now, Data: data}
	text, err := wire.AppendCloudEvent(nil, &event, fmt.Sprintf("%d-0:0", len(f.log)))
	if err != nil {
		panic(err)
	}
	frame := wire.CloudEvent{Cursor: strconv.Itoa(len(f.log) + 1)}
	if err := json.Unmarshal(text, &frame); err != nil {
		panic(err)
	}
	f.log = append(f.log, frame)
	close(f.changed)
	f.changed = make(chan struct{})
}

func apply(task *seri.Info, kind seri.EventKind, data seri.EventData, now time.Time) {
	task.State, task.Reason = kind.State(), data.Reason
	task.Attempt = max(task.Attempt, data.Attempt)
	task.Progress, task.DueAt = data.Progress, data.Due
	if data.Error != "" {
		task.Error = data.Error
	}
	switch {
	case kind == seri.EventStarted:
		task.StartedAt = now
	case kind.Terminal():
		task.FinishedAt = now
		if !data.Truncated {
			task.Result = data.Result
		}
	}
}

// Cut ends every stream.
func (f *fake) Cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	close(f.cut)
	f.cut = make(chan struct{})
}

// Locked runs do while nothing else touches f.
func (f *fake) Locked(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
}

func (f *fake) guard(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		key := f.key
		f.mu.Unlock()
		if key != "" && r.Header.Get("Authorization") != "Bearer "+key {
			answer(w, http.StatusUnauthorized, problem{Status: 401, Title: "Unauthorized"})
			return
		}
		next(w, r)
	}
}

func (f *fake) post(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var body bytes.Buffer
	_, _ = body.ReadFrom(r.Body)
	f.bodies = append(f.bodies, body.String())
	if refuse := f.refuse; refuse != nil {
		f.refuse = nil
		answer(w, refuse.Status, refuse)
		return
	}
	var request struct {
		Type, Queue, Owner string
		Payload            json.RawMessage
	}
	if err := json.Unmarshal(body.Bytes(), &request); err != nil {
		answer(w, http.StatusBadRequest, problem{Status: 400, Detail: err.Error()})
		return
	}
	id := fmt.Sprintf("POSTED%d", len(f.bodies))
	if request.Queue == "" {
		request.Queue = seri.DefaultQueue
	}
	f.tasks[id] = &seri.Info{
		ID: id, Type: request.Type, Queue: request.Queue, Owner: request.Owner, Payload: request.Payload,
		MaxRetries: seri.DefaultMaxRetries, EnqueuedAt: time.Now(),
	}
	f.emit(id, seri.EventQueued, seri.EventData{})
	answer(w, http.StatusAccepted, wire.NewTask(*f.tasks[id]))
}

func (f *fake) get(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.readings++
	if task, ok := f.tasks[r.PathValue("id")]; ok && task.Queue == r.FormValue("queue") {
		answer(w, http.StatusOK, wire.NewTask(*task))
		return
	}
	answer(w, http.StatusNotFound, problem{Status: 404, Title: "Not Found", Detail: "no such task"})
}

func (f *fake) readLog(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.lines == nil {
		answer(w, http.StatusServiceUnavailable, problem{Status: 503, Detail: "CloudWatch does not answer"})
		return
	}
	answer(w, http.StatusOK, map[string]any{"lines": f.lines, "cut": len(f.lines) > 3})
}

func (f *fake) revoke(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	task, ok := f.tasks[r.PathValue("id")]
	switch {
	case !ok || task.Queue != r.FormValue("queue"):
		answer(w, http.StatusNotFound, problem{Status: 404, Title: "Not Found", Detail: "no such task"})
	case task.State.Terminal():
		answer(w, http.StatusConflict, problem{Status: 409, Title: "Conflict", Detail: "the task has ended already"})
	default:
		f.emit(task.ID, seri.EventRevoked, seri.EventData{Reason: seri.ReasonRevoked})
		answer(w, http.StatusOK, wire.NewTask(*task))
	}
}

// events streams: a snapshot or the position to resume from, then whatever happens.
func (f *fake) events(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	position := r.Header.Get("Last-Event-ID")
	f.resumed = append(f.resumed, position)
	next, resumes := len(f.log), position != ""
	if resumes {
		next, _ = strconv.Atoi(position)
	}
	snapshot := f.snapshot(next)
	cut, closed := f.cut, f.closed
	f.mu.Unlock()
	if closed {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}

	w.Header().Set("Content-Type", "text/event-stream")
	if !resumes {
		send(w, snapshot)
	}
	for {
		f.mu.Lock()
		changed := f.changed
		for ; next < len(f.log); next++ {
			if !f.lost[next] {
				send(w, f.log[next])
			}
		}
		f.mu.Unlock()
		w.(http.Flusher).Flush()
		select {
		case <-changed:
		case <-cut:
			return
		case <-r.Context().Done():
			return
		}
	}
}

func (f *fake) snapshot(cursor int) wire.CloudEvent {
	tasks := make([]wire.Task, 0, len(f.tasks))
	for _, id := range slices.Sorted(maps.Keys(f.tasks)) {
		tasks = append(tasks, wire.NewTask(*f.tasks[id]))
	}
	data, err := json.Marshal(wire.Snapshot{Tasks: tasks})
	if err != nil {
		panic(err)
	}
	return wire.CloudEvent{
		SpecVersion: "1.0", ID: fmt.Sprintf("snapshot-%d", cursor), Source: "/v1/events", Type: wire.TypeSnapshot,
		Time: time.Now().UTC(), DataContentType: "application/json", Cursor: strconv.Itoa(cursor), Data: data,
	}
}

func send(w http.ResponseWriter, e wire.CloudEvent) {
	line, err := json.Marshal(e)
	if err != nil {
		panic(err)
	}
	fmt.Fprintf(w, ": a comment\nid: %s\nevent: %s\ndata: %s\n\n", e.Cursor, e.Type, line)
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	if status >= 400 {
		w.Header().Set("Content-Type", "application/problem+json")
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

// landscape paints hills behind a lake, so that screenshots show a picture and not a grey box.
func landscape(width, height int) []byte {
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			u, v := float64(x)/float64(width), float64(y)/float64(height)
			c := color.RGBA{uint8(196 + 40*v), uint8(214 + 14*v), uint8(222 - 10*v), 255}
			for n, hill := range []float64{0.42 + 0.10*math.Sin(5*u+0.6), 0.52 + 0.08*math.Sin(7*u+2.4), 0.62 + 0.05*math.Sin(9*u+4.4)} {
				if v > hill {
					c = color.RGBA{uint8(128 - 38*n), uint8(156 - 32*n), uint8(142 - 42*n), 255}
				}
			}
			if v > 0.74+0.006*math.Sin(40*u) {
				c = color.RGBA{uint8(70 + 60*(v-0.74)), uint8(118 + 80*(v-0.74)), uint8(136 + 80*(v-0.74)), 255}
			}
			img.Set(x, y, c)
		}
	}
	var out bytes.Buffer
	if err := jpeg.Encode(&out, img, nil); err != nil {
		panic(err)
	}
	return out.Bytes()
}
