package ecs

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// What the agent answers, as AWS documents it, with what matters here and some of what does not.
const container = `{
	"DockerId": "ea32192c8553fbff06c9340478a2ff089b2bb5646fb718b4ee206641c9086d66", "Name": "worker", "DockerName": "ecs-seri-worker-default-7-worker",
	"Image": "seri/worker:v0.1.0", "Labels": {"com.amazonaws.ecs.task-definition-version": "7"}, "DesiredStatus": "RUNNING",
	"Limits": {"CPU": 2}, "LogDriver": %q,
	"LogOptions": {"awslogs-group": "/seri/seri/worker-default", "awslogs-region": "eu-central-1", "awslogs-stream": "seri/worker/158d1c8083dd49d6b527399fd6414f5c", "mode": "non-blocking"}
}`

func TestTheStreamOfAContainerIsKnown(t *testing.T) {
	t.Parallel()
	for sentence, c := range map[string]struct {
		status int
		body   string
		want   Stream
		says   string
	}{
		"with awslogs":               {200, fmt.Sprintf(container, "awslogs"), Stream{"eu-central-1", "/seri/seri/worker-default", "seri/worker/158d1c8083dd49d6b527399fd6414f5c"}, ""},
		"with another log driver":    {200, fmt.Sprintf(container, "awsfirelens"), Stream{}, ErrNoStream.Error()},
		"of which nothing is told":   {200, `{}`, Stream{}, ErrNoStream.Error()},
		"from an agent with a fault": {500, `no idea`, Stream{}, "the agent answers 500 Internal Server Error: no idea"},
		"that is no JSON":            {200, `<html>`, Stream{}, "metadata of the container: invalid character"},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			agent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/v4/id" {
					t.Errorf("asked for %s", r.URL)
				}
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(c.body))
			}))
			t.Cleanup(agent.Close)
			got, err := LogStream(t.Context(), agent.URL+"/v4/id")
			if got != c.want || (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
	if _, err := LogStream(t.Context(), "http://127.0.0.1:1/v4/id"); err == nil || errors.Is(err, ErrNoStream) {
		t.Errorf("of nobody: %v", err)
	}
}
