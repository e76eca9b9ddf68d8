package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/api"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/internal/wire"
)

// site is an api with one key on a Redis of its own, which keeps its data.
type site struct {
	endpoint
	redis *redistest.Server
	api   *process
}

func newSite(t *testing.T, args ...string) *site {
	t.Helper()
	key, err := api.NewKey("e2e")
	if err != nil {
		t.Fatal(err)
	}
	s := &site{redis: redistest.Exclusive(t, "--appendonly", "yes", "--appendfsync", "always")}
	s.api = start(t, command{
		role: "api",
		args: append([]string{"--redis-url", s.redis.URL(), "--http-addr", "127.0.0.1:0"}, args...),
		env:  []string{"SERI_API_KEYS=" + key.Entry},
	})
	s.endpoint = endpoint{t, "http://" + attribute(t, s.api.await("api started"), "addr"), key.Secret}
	return s
}

// worker starts a worker that may call this machine, and waits until it works.
func (s *site) worker(args ...string) *process {
	s.t.Helper()
	p := start(s.t, command{role: "worker", args: append([]string{"--redis-url", s.redis.URL(), "--allow-hosts", "127.0.0.0/8:*"}, args...)})
	p.await("worker started")
	return p
}

// events returns what the queue's stream holds, in its order.
func (s *site) events(queue string) []seri.Event {
	s.t.Helper()
	entries, err := s.redis.Client().XRange(s.t.Context(), keys.Queue(queue).Events(), "-", "+").Result()
	if err != nil {
		s.t.Fatal(err)
	}
	var all []seri.Event
	for _, entry := range entries {
		events, err := wire.DecodeEvents(queue, entry.Values["e"].(string))
		if err != nil {
			s.t.Fatal(err)
		}
		all = append(all, events...)
	}
	return all
}

// endpoint is where an api answers.
type endpoint struct {
	t   *testing.T
	url string
	key string // empty: none
}

func (e endpoint) header() http.Header {
	h := make(http.Header)
	if e.key != "" {
		h.Set("Authorization", "Bearer "+e.key)
	}
	return h
}

// call makes a request and returns status and body; status 0 if there was no answer. It may be called by any goroutine.
func (e endpoint) call(method, path string, body any) (status int, answer []byte) {
	encoded, err := json.Marshal(body)
	if err != nil {
		return 0, []byte(err.Error())
	}
	request, err := http.NewRequestWithContext(e.t.Context(), method, e.url+path, bytes.NewReader(encoded))
	if err != nil {
		return 0, []byte(err.Error())
	}
	request.Header = e.header()
	request.Header.Set("Content-Type", "application/json")
	client := &http.Client{Timeout: patience}
	response, err := client.Do(request)
	if err != nil {
		return 0, []byte(err.Error())
	}
	defer response.Body.Close()
	if answer, err = io.ReadAll(response.Body); err != nil {
		return 0, []byte(err.Error())
	}
	return response.StatusCode, answer
}

// post enqueues a task, which must be accepted.
func (e endpoint) post(request map[string]any) wire.Task {
	e.t.Helper()
	status, answer := e.call(http.MethodPost, "/v1/tasks", request)
	if status != http.StatusAccepted {
		e.t.Fatalf("POST /v1/tasks %v answered %d: %s", request, status, answer)
	}
	return decode[wire.Task](e.t, answer)
}

// task reads a task.
func (e endpoint) task(id string) wire.Task {
	e.t.Helper()
	status, answer := e.call(http.MethodGet, "/v1/tasks/"+id, nil)
	if status != http.StatusOK {
		e.t.Fatalf("GET /v1/tasks/%s answered %d: %s", id, status, answer)
	}
	return decode[wire.Task](e.t, answer)
}

// profile enqueues csv.profile for a table at a URL.
func (e endpoint) profile(source string) wire.Task {
	e.t.Helper()
	return e.post(map[string]any{"type": "csv.profile", "payload": map[string]any{"source": source}})
}

func decode[T any](t *testing.T, data []byte) (value T) {
	t.Helper()
	if err := json.Unmarshal(data, &value); err != nil {
		t.Fatalf("%v in %s", err, data)
	}
	return value
}

// awaitStatus asks a path again and again until it answers with the status.
func (e endpoint) awaitStatus(path string, want int) {
	e.t.Helper()
	again := time.NewTicker(10 * time.Millisecond) // nobody announces it
	defer again.Stop()
	for begun := time.Now(); ; <-again.C {
		status, answer := e.call(http.MethodGet, path, nil)
		if status == want {
			return
		}
		if time.Since(begun) > patience {
			e.t.Fatalf("%s answers %d: %s; want %d", path, status, answer, want)
		}
	}
}

// expect compares what a sentence says with what is.
func expect(t *testing.T, what string, got, want any) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}
