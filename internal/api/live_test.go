package api

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"testing"

	"github.com/seri-queue/seri/internal/gateway"
)

// liveServer returns a server with a gateway that has no events: enough for requests that are refused before.
func liveServer(t *testing.T) (http.Handler, *gateway.Gateway) {
	t.Helper()
	live, err := gateway.New(nil, gateway.Config{Problem: LiveProblem})
	if err != nil {
		t.Fatal(err)
	}
	return newServer(t, Config{Tasks: &fakeTasks{}, Events: live.SSE(), WebSocket: live.WebSocket()}), live
}

func TestLiveEndpointsRefuseAsTheRestOfTheAPI(t *testing.T) {
	t.Parallel()
	upgrade := []string{"Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "MDEyMzQ1Njc4OWFiY2RlZg=="}
	for name, c := range map[string]struct {
		target  string
		headers []string
		status  int
		typ     string
		faults  []string
	}{
		"events, an unknown parameter":    {"/v1/events?foo=1", nil, 422, "invalid", []string{"query.foo is not known; use task, owner, queue, type, schedule, after, qos, consumer"}},
		"events, every fault":             {"/v1/events?task=&owner=a&owner=b", nil, 422, "invalid", []string{"query.owner is given 2 times", "query.task is empty"}},
		"events, a bad cursor":            {"/v1/events", []string{"Last-Event-ID", "1-0:0"}, 422, "invalid", []string{"header.Last-Event-ID is not usable: the cursor is that of one queue, and the request does not say which"}},
		"WebSocket, an unknown parameter": {"/v1/ws?foo=1", upgrade, 422, "invalid", []string{"query.foo is not known; use task, owner, queue, type, schedule, after, qos, consumer"}},
		"WebSocket, a plain request":      {"/v1/ws", nil, 426, "upgrade-required", nil},
		"WebSocket, a foreign page":       {"/v1/ws", append(slices.Clone(upgrade), "Origin", "https://evil.example"), 403, "cross-origin", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, live := liveServer(t)
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error)
			go func() { ended <- live.Run(ctx) }()
			<-live.Opened()

			w := do(server, "GET", c.target, "", c.headers...)

			stop()
			<-ended
			p := problemOf(t, w)
			var faults []string
			for _, f := range p.Errors {
				faults = append(faults, f.Location+" "+f.Message)
			}
			if w.Code != c.status || p.Type != "/problems/"+c.typ || p.Detail == "" || !slices.Equal(faults, c.faults) {
				t.Errorf("answer is %d %s", w.Code, w.Body)
			}
		})
	}
}

func TestLiveEndpointsOfAServerThatStopsAreUnavailable(t *testing.T) {
	t.Parallel()
	server, _ := liveServer(t)

	w := do(server, "GET", "/v1/events", "")

	if p := problemOf(t, w); w.Code != 503 || p.Type != "/problems/unavailable" || w.Header().Get("Retry-After") == "" {
		t.Errorf("answer is %d %s", w.Code, w.Body)
	}
}

func TestTheDocumentationOfLiveEndpointsListsWhatIsSent(t *testing.T) {
	t.Parallel()
	server, _ := liveServer(t)
	var doc struct {
		Paths map[string]map[string]struct {
			Responses map[string]json.RawMessage `json:"responses"`
		} `json:"paths"`
	}
	if err := json.Unmarshal(do(server, "GET", "/openapi.json", "").Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string][]int{
		"/v1/events": {200, 401, 403, 404, 422, 429, 500, 503},
		"/v1/ws":     {101, 401, 403, 404, 422, 426, 429, 500, 503},
	} {
		var got []int
		for code := range doc.Paths[path]["get"].Responses {
			status, err := strconv.Atoi(code)
			if err != nil {
				t.Error(err)
			}
			got = append(got, status)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s documents %v, want %v", path, got, want)
		}
	}
}
