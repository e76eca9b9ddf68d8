package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/seri-queue/seri/client"
)

func TestWhatNoRouteTakesIsAProblem(t *testing.T) {
	t.Parallel()
	server := newServer(t, Config{Tasks: &fakeTasks{}})
	for name, c := range map[string]struct {
		method, target string
		status         int
		allow          string
	}{
		"an unknown path under /v1":     {"GET", "/v1/jobs", 404, ""},
		"an unknown path":               {"GET", "/jobs", 404, ""},
		"a slash too many":              {"GET", "/v1/tasks/", 404, ""},
		"an unknown method":             {"BREW", "/v1/queues", 405, "GET"},
		"another method":                {"PUT", "/v1/tasks/a", 405, "GET, DELETE"},
		"another method for a post":     {"GET", "/v1/queues/q/pause", 405, "POST"},
		"another method for a probe":    {"POST", "/healthz", 405, "GET"},
		"an unknown query parameter":    {"GET", "/v1/tasks/a?que=q", 422, ""},
		"a parameter twice":             {"GET", "/v1/tasks/a?queue=a&queue=b", 422, ""},
		"a malformed query":             {"GET", "/v1/tasks/a?queue=%zz", 422, ""},
		"a query where none is read":    {"GET", "/v1/queues?a=1&a=2", 422, ""},
		"a page without a state":        {"GET", "/v1/queues/q/tasks", 422, ""},
		"a page of an unknown state":    {"GET", "/v1/queues/q/tasks?state=done", 422, ""},
		"a page too large":              {"GET", "/v1/queues/q/tasks?state=failed&limit=201", 422, ""},
		"a cursor of one's own":         {"GET", "/v1/queues/q/tasks?state=failed&cursor=-1", 422, ""},
		"a page of an unknown queue":    {"GET", "/v1/queues/q/tasks?state=failed", 404, ""},
		"pausing an unknown queue":      {"POST", "/v1/queues/q/pause", 404, ""},
		"an unknown task":               {"GET", "/v1/tasks/a", 404, ""},
		"an unknown problem":            {"GET", "/problems/bad-hair", 404, ""},
		"a queue's name of 257 letters": {"GET", "/v1/queues/" + strings.Repeat("q", 257) + "/tasks?state=failed", 422, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			w := do(server, c.method, c.target, "")

			problemOf(t, w)
			if w.Code != c.status || w.Header().Get("Allow") != c.allow {
				t.Errorf("answer is %d, Allow %q; want %d, %q\n%s", w.Code, w.Header().Get("Allow"), c.status, c.allow, w.Body)
			}
		})
	}
}

func TestThePageServesWhatIsNoRoute(t *testing.T) {
	t.Parallel()
	page := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte("page " + r.URL.Path)) })
	server := newServer(t, Config{Tasks: &fakeTasks{}, Web: page})

	for _, path := range []string{"/", "/app.js", "/v2"} {
		if w := do(server, "GET", path, ""); w.Body.String() != "page "+path {
			t.Errorf("GET %s: %d %s", path, w.Code, w.Body)
		}
	}
	if w := do(server, "GET", "/v1/unheard-of", ""); w.Code != http.StatusNotFound {
		t.Errorf("GET under /v1 reached the page: %s", w.Body)
	}
	if w := do(server, "POST", "/healthz", ""); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST /healthz reached the page: %s", w.Body)
	}
}

func TestAPathThatThePageLacksIsAProblemForPrograms(t *testing.T) {
	t.Parallel()
	page := http.FileServerFS(fstest.MapFS{"app.js": {Data: []byte("script")}})
	server := newServer(t, Config{Tasks: &fakeTasks{}, Web: page})

	for _, accept := range []string{"", "*/*", "application/json"} {
		w := do(server, "GET", "/tasks", "", "Accept", accept)
		if p := problemOf(t, w); w.Code != 404 || p.Type != "/problems/no-route" {
			t.Errorf("Accept %q: %d %s", accept, w.Code, w.Body)
		}
		if w := do(server, "GET", "/app.js", "", "Accept", accept); w.Code != 200 || w.Body.String() != "script" {
			t.Errorf("a file of the page, Accept %q: %d %s", accept, w.Code, w.Body)
		}
	}
	if w := do(server, "GET", "/tasks", "", "Accept", "text/html,*/*;q=0.8"); w.Code != 404 || w.Header().Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("a browser got %d %v", w.Code, w.Header())
	}
}

func TestWithoutKeysForeignPagesAreKeptOut(t *testing.T) {
	t.Parallel()
	server := newServer(t, Config{Tasks: &fakeTasks{}})
	for name, c := range map[string]struct {
		method, target string
		headers        []string
		status         int
	}{
		"a program":                        {"GET", "/v1/queues", nil, 200},
		"a program on IPv4":                {"GET", "/v1/queues", []string{"Host", "127.0.0.1:8080"}, 200},
		"a program on IPv6":                {"GET", "/v1/queues", []string{"Host", "[::1]:8080"}, 200},
		"a rebound name":                   {"GET", "/v1/queues", []string{"Host", "evil.example:8080"}, 421},
		"a name that begins like ours":     {"GET", "/v1/queues", []string{"Host", "localhost.evil.example"}, 421},
		"an address that is not loopback":  {"GET", "/v1/queues", []string{"Host", "10.0.0.5:8080"}, 421},
		"no name":                          {"GET", "/v1/queues", []string{"Host", ""}, 421},
		"a write from our page":            {"DELETE", "/v1/tasks/a", []string{"Origin", "http://localhost", "Sec-Fetch-Site", "same-origin"}, 404},
		"a write from another site":        {"DELETE", "/v1/tasks/a", []string{"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"}, 403},
		"a write from another local port":  {"DELETE", "/v1/tasks/a", []string{"Origin", "http://localhost:9999", "Host", "localhost:8080"}, 403},
		"a write from a sandboxed page":    {"DELETE", "/v1/tasks/a", []string{"Origin", "null", "Sec-Fetch-Site", "cross-site"}, 403},
		"a simple request from other site": {"POST", "/v1/queues/q/pause", []string{"Origin", "https://evil.example"}, 403},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			w := do(server, c.method, c.target, "", c.headers...)

			if w.Code != c.status {
				t.Errorf("answer is %d %s, want %d", w.Code, w.Body, c.status)
			}
			if w.Code >= 400 {
				problemOf(t, w)
			}
		})
	}
}

func TestReadinessSaysWhyButNotWhere(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ready  error
		status int
		want   string
	}{
		"ready":     {nil, 200, "ready"},
		"draining":  {ErrDraining, 503, "draining"},
		"no redis":  {errors.New("dial tcp 10.0.0.5:6379: connection refused"), 503, "store cannot be reached"},
		"too slow":  {context.DeadlineExceeded, 503, "store cannot be reached"},
		"surrounds": {errors.Join(ErrDraining, errors.New("10.0.0.5")), 503, "draining"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t, Config{Tasks: &fakeTasks{}, Ready: func(context.Context) error { return c.ready }})

			w := do(server, "GET", "/readyz", "")

			if w.Code != c.status || !strings.Contains(w.Body.String(), c.want) || strings.Contains(w.Body.String(), "10.0.0.5") {
				t.Errorf("answer is %d %s", w.Code, w.Body)
			}
			if alive := do(server, "GET", "/healthz", ""); alive.Code != 200 || alive.Header().Get(HealthHeader) == "" {
				t.Errorf("/healthz answers %d, with %v", alive.Code, alive.Header())
			}
		})
	}
}

func TestTheLogHasTheRouteAndNotThePath(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	server := newServer(t, Config{Tasks: &fakeTasks{}, Logger: slog.New(slog.NewJSONHandler(&log, nil))})

	w := do(server, "GET", "/v1/tasks/private-4711?queue=q", "", "X-Request-Id", "bad id\n")

	for _, want := range []string{`"route":"GET /v1/tasks/{id}"`, `"status":404`, `"method":"GET"`, `"request_id":"` + w.Header().Get("X-Request-Id") + `"`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("log lacks %s: %s", want, &log)
		}
	}
	if strings.Contains(log.String(), "private-4711") || strings.Contains(log.String(), "bad id") {
		t.Errorf("log has what the client chose: %s", &log)
	}
}

// Live connections flush and take over; the recorder must not stand in their way.
func TestLiveHandlersReachTheConnection(t *testing.T) {
	t.Parallel()
	events := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("first"))
		w.(http.Flusher).Flush()
	})
	upgrade := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = conn.Write([]byte("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: test\r\n\r\n"))
	})
	server := httptest.NewServer(newServer(t, Config{Tasks: &fakeTasks{}, Events: events, WebSocket: upgrade}))
	defer server.Close()

	for path, want := range map[string]int{"/v1/events": 200, "/v1/ws": 101} {
		response, err := server.Client().Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("GET %s answers %d, want %d", path, response.StatusCode, want)
		}
	}
}

func TestLargeRequestHeadersAreRefused(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(nil)
	server.Config = NewServer(newServer(t, Config{Tasks: &fakeTasks{}}), slog.New(slog.DiscardHandler))
	server.Start()
	defer server.Close()

	for size, want := range map[int]int{8 << 10: 200, 17 << 10: http.StatusRequestHeaderFieldsTooLarge} {
		r, err := http.NewRequestWithContext(t.Context(), "GET", server.URL+"/healthz", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Long", strings.Repeat("x", size))
		response, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("a header of %d bytes: status %d, want %d", size, response.StatusCode, want)
		}
	}
}

// A cursor of a queue that was divided otherwise, which only the store can tell.
func TestACursorOfAnotherQueueIsTheCallersFault(t *testing.T) {
	t.Parallel()
	server := newServer(t, Config{Tasks: &fakeTasks{err: fmt.Errorf("cursor: %w", client.ErrCursor)}})

	w := do(server, "GET", "/v1/queues/q/tasks?state=failed&cursor=1.2.3", "")

	if p := problemOf(t, w); w.Code != http.StatusUnprocessableEntity || len(p.Errors) != 1 || p.Errors[0].Location != "query.cursor" {
		t.Errorf("answer is %d %s", w.Code, w.Body)
	}
}

func TestTwoIdempotencyKeysAreNone(t *testing.T) {
	t.Parallel()
	server := newServer(t, Config{Tasks: &fakeTasks{}})
	r := httptest.NewRequest("POST", "http://localhost/v1/tasks", strings.NewReader(goodTask))
	r.Header["Content-Type"], r.Header["Idempotency-Key"] = []string{"application/json"}, []string{"a", "b"}
	w := httptest.NewRecorder()
	server.ServeHTTP(w, r)

	if p := problemOf(t, w); w.Code != http.StatusUnprocessableEntity || !strings.Contains(p.Detail, "is given twice") {
		t.Errorf("answer is %d %s", w.Code, w.Body)
	}
}
