// Package ecstest has an agent of ECS for tests, as strict as the real one.
package ecstest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// TaskARN is the task that the agent is for.
const TaskARN = "arn:aws:ecs:eu-central-1:123456789012:task/seri/158d1c8083dd49d6b527399fd6414f5c"

// Agent keeps the protection of a task. It refuses what ECS would refuse.
type Agent struct {
	URI  string      // what ECS_AGENT_URI says
	Asks chan string // of each call that it has granted: "protect 32m" or "release"

	mu     sync.Mutex
	answer http.HandlerFunc // nil: as ECS
	until  time.Time
}

// Run starts an agent, until the test ends.
func Run(t testing.TB) *Agent {
	t.Helper()
	a := &Agent{Asks: make(chan string, 100)}
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	a.URI = server.URL + "/api/158d1c80-0123"
	return a
}

// Answer has the agent answer with a function, until nil is given.
func (a *Agent) Answer(with http.HandlerFunc) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answer = with
}

// Fail returns an answer as ECS gives it when it will not protect this task.
func Fail(reason, detail string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusOK, map[string]any{"failure": map[string]any{"Arn": TaskARN, "Reason": reason, "Detail": detail}})
	}
}

// Refuse returns an answer as the agent gives it when a call has gone wrong.
func Refuse(status int, code, message string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		reply(w, status, map[string]any{
			"requestID": "12345-abc-6789-0123-abc", "error": map[string]any{"Arn": TaskARN, "Code": code, "Message": message},
		})
	}
}

// ServeHTTP implements [http.Handler].
func (a *Agent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	answer := a.answer
	a.mu.Unlock()
	if answer != nil {
		answer(w, r)
		return
	}
	if r.URL.Path != "/api/158d1c80-0123/task-protection/v1/state" {
		http.NotFound(w, r)
		return
	}
	switch r.Method {
	case http.MethodGet:
		a.tell(w)
	case http.MethodPut:
		a.put(w, r)
	default:
		http.Error(w, "405 method not allowed", http.StatusMethodNotAllowed)
	}
}

func (a *Agent) put(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		ProtectionEnabled *bool
		ExpiresInMinutes  *int
	}
	body := json.NewDecoder(io.LimitReader(r.Body, 1<<16))
	body.DisallowUnknownFields()
	err := body.Decode(&asked)
	minutes := 120 // what ECS takes where none are named
	switch {
	case err != nil:
	case r.Header.Get("Content-Type") != "application/json":
		err = fmt.Errorf("the body is of the type %q", r.Header.Get("Content-Type"))
	case asked.ProtectionEnabled == nil:
		err = fmt.Errorf("ProtectionEnabled is missing")
	case asked.ExpiresInMinutes != nil:
		if minutes = *asked.ExpiresInMinutes; minutes < 1 || minutes > 2880 {
			err = fmt.Errorf("expiresInMinutes must be between 1 and 2880")
		}
	}
	if err != nil {
		Refuse(http.StatusBadRequest, "InvalidParameterException", err.Error())(w, r)
		return
	}
	a.mu.Lock()
	if a.until = (time.Time{}); *asked.ProtectionEnabled {
		a.until = time.Now().Add(time.Duration(minutes) * time.Minute)
	}
	a.mu.Unlock()
	if *asked.ProtectionEnabled {
		a.Asks <- fmt.Sprintf("protect %dm", minutes)
	} else {
		a.Asks <- "release"
	}
	a.tell(w)
}

func (a *Agent) tell(w http.ResponseWriter) {
	a.mu.Lock()
	until := a.until
	a.mu.Unlock()
	protection := map[string]any{"ProtectionEnabled": false, "TaskArn": TaskARN}
	if time.Now().Before(until) {
		protection["ProtectionEnabled"], protection["ExpirationDate"] = true, until.UTC().Format(time.RFC3339)
	}
	reply(w, http.StatusOK, map[string]any{"protection": protection})
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
