package api

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/gateway"
	"github.com/seri-queue/seri/internal/token"
)

// tokenServer returns a server with keys and tokens, a key, and its ring. It has two tasks, of two owners.
func tokenServer(t *testing.T) (handler http.Handler, key string, ring *token.Ring) {
	t.Helper()
	made, err := NewKey("web")
	if err != nil {
		t.Fatal(err)
	}
	keys, err := ParseKeys(made.Entry)
	if err != nil {
		t.Fatal(err)
	}
	ring = token.Development()
	live, err := gateway.New(nil, gateway.Config{Tokens: ring, Problem: LiveProblem})
	if err != nil {
		t.Fatal(err)
	}
	tasks := &fakeTasks{tasks: map[string]seri.Info{
		"q/t1": {ID: "t1", Queue: "q", Type: "x", Owner: "user:1", State: seri.Active, Seq: 2, Payload: []byte(`"secret"`), Headers: map[string]string{"h": "secret"}},
		"q/t2": {ID: "t2", Queue: "q", Type: "x", Owner: "user:2", State: seri.Active, Seq: 2},
	}}
	return newServer(t, Config{
		Tasks: tasks, Keys: keys, Tokens: ring, Origins: []string{"https://app.example.com"}, AllowUnknownTypes: true,
		Events: live.SSE(), WebSocket: live.WebSocket(),
	}), made.Secret, ring
}

func TestTokensAreMintedForKeysOnly(t *testing.T) {
	t.Parallel()
	server, key, ring := tokenServer(t)
	for name, c := range map[string]struct {
		body   string
		status int
		says   string
	}{
		"tasks":            {`{"tasks":["t1","t9"],"ttl":60,"origin":"https://app.example.com"}`, 201, ""},
		"an owner":         {`{"owner":"user:1"}`, 201, ""},
		"queues":           {`{"queues":["q"]}`, 201, ""},
		"nothing":          {`{}`, 422, "none of tasks, owner and queues"},
		"an empty list":    {`{"tasks":[],"owner":"user:1"}`, 422, "body.tasks is an empty list"},
		"an empty owner":   {`{"owner":"","queues":["q"]}`, 422, "body.owner is empty"},
		"a null":           {`{"tasks":null}`, 422, "none of tasks"},
		"text for a list":  {`{"tasks":"t1"}`, 422, "body.tasks must be a list of strings"},
		"a number in it":   {`{"tasks":[1]}`, 422, "body.tasks must be a list of strings"},
		"an empty name":    {`{"tasks":[""]}`, 422, "0 bytes"},
		"too short":        {`{"owner":"x","ttl":1}`, 422, "from 10 to 43200"},
		"too long":         {`{"owner":"x","ttl":43201}`, 422, "at most 43200"},
		"not a number":     {`{"owner":"x","ttl":"60"}`, 422, "from 10 to 43200"},
		"no origin":        {`{"owner":"x","origin":"app.example.com"}`, 422, "body.origin must be an origin"},
		"more than one":    {`{"owner":"x","origin":"https://a.example/path"}`, 422, "body.origin must be an origin"},
		"a misspelt field": {`{"owners":"x"}`, 422, "did you mean owner"},
		"a key twice":      {`{"owner":"x","owner":"y"}`, 400, "twice"},
		"no object":        {`[]`, 422, "must be an object"},
	} {
		w := do(server, "POST", "/v1/tokens", c.body, "Authorization", "Bearer "+key)

		if w.Code != c.status || !strings.Contains(w.Body.String(), c.says) {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
		var made Token
		if w.Code != 201 || json.Unmarshal(w.Body.Bytes(), &made) != nil {
			continue
		}
		if pass, err := ring.Check(made.Token, time.Now()); err != nil || pass.Issuer != "web" || !pass.Expires.Equal(made.ExpiresAt) {
			t.Errorf("%s: %+v, %v", name, pass, err)
		}
	}

	text := mintFor(t, ring, token.Pass{Scope: token.Scope{Owner: "user:1"}})
	for name, headers := range map[string][]string{"nobody": nil, "the holder of a token": {"Authorization", "Bearer " + text}} {
		if w := do(server, "POST", "/v1/tokens", `{"owner":"user:2"}`, headers...); w.Code != 401 {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}

func mintFor(t *testing.T, ring *token.Ring, p token.Pass) string {
	t.Helper()
	text, _, err := ring.Mint(p, time.Minute, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestEnqueueMayAnswerWithATokenForTheTask(t *testing.T) {
	t.Parallel()
	server, key, ring := tokenServer(t)
	const body = `{"type":"x","payload":{},"id":"new","queue":"q"}`

	w := do(server, "POST", "/v1/tasks?token_ttl=60", body, "Authorization", "Bearer "+key)

	var answer Accepted
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != 202 || answer.ID != "new" || answer.TokenExpiresAt == nil {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	pass, err := ring.Check(answer.Token, time.Now())
	if err != nil || !pass.Scope.Covers(seri.Info{ID: "new", Queue: "q"}) || pass.Scope.Covers(seri.Info{ID: "new", Queue: "r"}) || pass.Scope.Covers(seri.Info{ID: "t1", Queue: "q"}) {
		t.Errorf("%+v, %v", pass, err)
	}
	if w := do(server, "POST", "/v1/tasks?token_ttl=5", `{"type":"x","payload":{}}`, "Authorization", "Bearer "+key); w.Code != 422 {
		t.Errorf("5 s: %d", w.Code)
	}
	if w := do(server, "POST", "/v1/tasks", `{"type":"x","payload":{}}`, "Authorization", "Bearer "+key); strings.Contains(w.Body.String(), "token") {
		t.Errorf("unasked: %s", w.Body)
	}
	without := newServer(t, Config{Tasks: &fakeTasks{}, AllowUnknownTypes: true})
	if w := do(without, "POST", "/v1/tasks?token_ttl=60", body); w.Code != 422 || !strings.Contains(w.Body.String(), "--token-secrets") {
		t.Errorf("without secrets: %d %s", w.Code, w.Body)
	}
}

func TestHolderOfATokenMayReadItsTasksAndDoNothingElse(t *testing.T) {
	t.Parallel()
	server, _, ring := tokenServer(t)
	bearer := "Bearer " + mintFor(t, ring, token.Pass{Scope: token.Scope{Owner: "user:1"}})

	w := do(server, "GET", "/v1/tasks/t1?queue=q", "", "Authorization", bearer)
	if w.Code != 200 || strings.Contains(w.Body.String(), "secret") {
		t.Errorf("its task: %d %s", w.Code, w.Body)
	}
	others := do(server, "GET", "/v1/tasks/t2?queue=q", "", "Authorization", bearer)
	nobodys := do(server, "GET", "/v1/tasks/t3?queue=q", "", "Authorization", bearer)
	if others.Code != 404 || others.Body.String() != nobodys.Body.String() {
		t.Errorf("another's task: %d %s; one that does not exist: %s", others.Code, others.Body, nobodys.Body)
	}
	for _, route := range []string{
		"DELETE /v1/tasks/t1", "POST /v1/tasks", "POST /v1/tasks/batch", "POST /v1/tokens", "GET /v1/queues", "GET /v1/types",
		"GET /v1/queues/q/tasks?state=active", "POST /v1/queues/q/pause", "POST /v1/queues/q/resume",
	} {
		method, target, _ := strings.Cut(route, " ")
		if w := do(server, method, target, "{}", "Authorization", bearer); w.Code != 401 {
			t.Errorf("%s: %d %s", route, w.Code, w.Body)
		}
	}
	if w := do(server, "GET", "/v1/tasks/t1", "", "Cookie", "seri_token="+strings.TrimPrefix(bearer, "Bearer ")); w.Code != 401 {
		t.Errorf("by cookie: %d", w.Code)
	}
	bound := "Bearer " + mintFor(t, ring, token.Pass{Scope: token.Scope{Owner: "user:1"}, Origin: "https://app.example.com"})
	if w := do(server, "GET", "/v1/tasks/t1", "", "Authorization", bound, "Origin", "https://evil.example"); w.Code != 401 {
		t.Errorf("from another origin: %d", w.Code)
	}
}

func TestPagesOfAllowedOriginsMayRead(t *testing.T) {
	t.Parallel()
	server, _, ring := tokenServer(t)
	bearer := "Bearer " + mintFor(t, ring, token.Pass{Scope: token.Scope{Owner: "user:1"}})
	for origin, allowed := range map[string]bool{
		"https://app.example.com": true, "https://app.example.com.evil": false, "http://app.example.com": false, "null": false,
		"https://app.example.com:8443": false, "https://APP.example.com": false,
	} {
		for _, path := range []string{"/v1/events", "/v1/tasks/t1"} {
			preflight := do(server, "OPTIONS", path, "", "Origin", origin, "Access-Control-Request-Method", "GET", "Access-Control-Request-Headers", "authorization")
			if got := preflight.Code == 204 && preflight.Header().Get("Access-Control-Allow-Origin") == origin; got != allowed {
				t.Errorf("OPTIONS %s from %s: %d %v", path, origin, preflight.Code, preflight.Header())
			}
		}
		read := do(server, "GET", "/v1/tasks/t1", "", "Origin", origin, "Authorization", bearer)
		if got := read.Header().Get("Access-Control-Allow-Origin") == origin; got != allowed || read.Header().Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("GET from %s: %v", origin, read.Header())
		}
	}
	if w := do(server, "OPTIONS", "/v1/tasks", "", "Origin", "https://app.example.com"); w.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Error("pages may enqueue")
	}
}

func TestGatewayAloneServesWhatIsLive(t *testing.T) {
	t.Parallel()
	live := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(299) })
	server := newServer(t, Config{Tasks: &fakeTasks{}, LiveOnly: true, Events: live, WebSocket: live, Tokens: token.Development()})
	for route, want := range map[string]int{
		"GET /v1/events": 299, "GET /v1/ws": 299, "GET /v1/tasks/x": 404, "GET /healthz": 200, "GET /asyncapi.yaml": 200,
		"POST /v1/tasks": 404, "POST /v1/tokens": 404, "GET /v1/queues": 404, "GET /v1/types": 404, "DELETE /v1/tasks/x": 405, "GET /": 404,
	} {
		method, target, _ := strings.Cut(route, " ")
		if w := do(server, method, target, "{}"); w.Code != want {
			t.Errorf("%s: %d, want %d", route, w.Code, want)
		}
	}
}
