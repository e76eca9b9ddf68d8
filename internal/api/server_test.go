package api

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/client"
	"github.com/seri-queue/seri/internal/typeschema"
)

// fakeTasks keeps tasks in a map, for the cases that need no Redis or that a Redis would not produce.
type fakeTasks struct {
	mu      sync.Mutex
	tasks   map[string]seri.Info // by queue and ID
	types   []client.TypeInfo
	err     error // what every call comes back with
	panics  bool
	log     client.TaskLog           // of every task
	enqueue func(seri.Message) error // in place of the map
}

func (f *fakeTasks) Enqueue(_ context.Context, m seri.Message) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.panics {
		panic("secret inside")
	}
	if f.err != nil {
		return f.err
	}
	if f.enqueue != nil {
		return f.enqueue(m)
	}
	if err := m.Validate(); err != nil {
		return err
	}
	key := m.Queue + "/" + m.ID
	if _, ok := f.tasks[key]; ok {
		return fmt.Errorf("task %s: %w", m.ID, seri.ErrConflict)
	}
	if f.tasks == nil {
		f.tasks = map[string]seri.Info{}
	}
	f.tasks[key] = seri.Info{ID: m.ID, Type: m.Type, Queue: m.Queue, Payload: m.Payload, State: seri.Pending, Seq: 1}
	return nil
}

func (f *fakeTasks) EnqueueBatch(ctx context.Context, ms []seri.Message) []error {
	errs := make([]error, len(ms))
	for i, m := range ms {
		errs[i] = f.Enqueue(ctx, m)
	}
	return errs
}

func (f *fakeTasks) Task(_ context.Context, queue, id string) (seri.Info, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	info, ok := f.tasks[queue+"/"+id]
	if !ok {
		return info, cmp.Or(f.err, seri.ErrNotFound)
	}
	return info, f.err
}

func (f *fakeTasks) Find(_ context.Context, id string) (seri.Info, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, info := range f.tasks {
		if info.ID == id {
			return info, f.err
		}
	}
	return seri.Info{}, cmp.Or(f.err, seri.ErrNotFound)
}

func (f *fakeTasks) Revoke(ctx context.Context, queue, id string) (seri.Info, error) {
	info, err := f.Task(ctx, queue, id)
	if err != nil {
		return info, err
	}
	if info.State.Terminal() {
		return info, seri.ErrNotRevocable
	}
	if info.State != seri.Active {
		info.State, info.Reason = seri.Revoked, seri.ReasonRevoked
	}
	return info, nil
}

func (f *fakeTasks) Log(ctx context.Context, queue, id string) (client.TaskLog, error) {
	if _, err := f.Task(ctx, queue, id); err != nil {
		return client.TaskLog{}, err
	}
	return f.log, f.err
}

func (f *fakeTasks) Queues(context.Context) ([]client.QueueInfo, error) { return nil, f.err }
func (f *fakeTasks) Queue(context.Context, string) (client.QueueInfo, error) {
	return client.QueueInfo{}, cmp.Or(f.err, seri.ErrNotFound)
}
func (f *fakeTasks) Page(context.Context, string, seri.State, string, int) ([]seri.Info, string, error) {
	return nil, "", f.err
}
func (f *fakeTasks) Pause(context.Context, string) error              { return cmp.Or(f.err, seri.ErrNotFound) }
func (f *fakeTasks) Resume(context.Context, string) error             { return cmp.Or(f.err, seri.ErrNotFound) }
func (f *fakeTasks) Types(context.Context) ([]client.TypeInfo, error) { return f.types, f.err }

// fakeIdempotency keeps the records in a map.
type fakeIdempotency struct {
	mu      sync.Mutex
	records map[string]IdempotencyRecord
	settle  error
}

func (f *fakeIdempotency) Find(_ context.Context, digest string) (IdempotencyRecord, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r, ok := f.records[digest]
	return r, ok, nil
}

func (f *fakeIdempotency) Claim(_ context.Context, digest string, r IdempotencyRecord) (IdempotencyRecord, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if standing, ok := f.records[digest]; ok {
		return standing, false, nil
	}
	if f.records == nil {
		f.records = map[string]IdempotencyRecord{}
	}
	f.records[digest] = r
	return r, true, nil
}

func (f *fakeIdempotency) Settle(_ context.Context, digest string, r IdempotencyRecord) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.settle != nil {
		return f.settle
	}
	r.Settled = true
	f.records[digest] = r
	return nil
}

func (f *fakeIdempotency) Share(_ context.Context, digest string, r IdempotencyRecord) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.records[digest] != r {
		return false, nil
	}
	r.Shared = true
	f.records[digest] = r
	return true, nil
}

func (f *fakeIdempotency) Release(_ context.Context, digest string, r IdempotencyRecord) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.records[digest] != r {
		return false, nil
	}
	delete(f.records, digest)
	return true, nil
}

// thumbnail is the argument of a task type that the tests know.
type thumbnail struct {
	Source string `json:"source"`
	Sizes  []int  `json:"sizes"`
}

var knownForTests = func() []client.TypeInfo {
	args, err := typeschema.For(reflect.TypeFor[thumbnail]())
	if err != nil {
		panic(err)
	}
	return []client.TypeInfo{{Name: "image.thumbnail", Args: args}, {Name: "free.form"}}
}()

const (
	goodTask = `{"type":"image.thumbnail","payload":{"source":"https://example.com/a.jpeg","sizes":[64]}}`
	freeTask = `{"type":"free.form","payload":{},"id":"a"}`
)

// newServer returns a server without keys, whose log goes nowhere unless the config has one.
func newServer(t testing.TB, config Config) http.Handler {
	t.Helper()
	return newServerAt(t, config, time.Now)
}

func newServerAt(t testing.TB, config Config, now func() time.Time) http.Handler {
	t.Helper()
	if config.Keys == nil {
		config.Insecure = true
	}
	if config.Types == nil {
		config.Types = knownForTests
	}
	config.Logger = cmp.Or(config.Logger, slog.New(slog.DiscardHandler))
	config, err := config.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	handler, err := newHandler(config, now)
	if err != nil {
		t.Fatal(err)
	}
	return handler
}

// do sends a request to localhost. Headers are name, value, name, value, …
func do(handler http.Handler, method, target, body string, headers ...string) *httptest.ResponseRecorder {
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, "http://localhost"+target, reader)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for pair := range slices.Chunk(headers, 2) {
		if pair[0] == "Host" {
			r.Host = pair[1]
		} else {
			r.Header.Set(pair[0], pair[1])
		}
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w
}

// problemOf reads a problem and checks what every one must have.
func problemOf(t testing.TB, w *httptest.ResponseRecorder) Problem {
	t.Helper()
	var p Problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatalf("status %d, not a problem: %v\n%s", w.Code, err, w.Body)
	}
	if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("Content-Type is %q", got)
	}
	if p.Status != w.Code || p.Title == "" || !strings.HasPrefix(p.Type, "/problems/") || w.Header().Get("X-Request-Id") == "" {
		t.Errorf("status %d with an incomplete problem: %s", w.Code, w.Body)
	}
	if w.Header().Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("a problem without nosniff: %v", w.Header())
	}
	return p
}

func decode[T any](t testing.TB, w *httptest.ResponseRecorder) (v T) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(w.Body.Bytes()))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&v); err != nil {
		t.Fatalf("status %d: %v\n%s", w.Code, err, w.Body)
	}
	return v
}
