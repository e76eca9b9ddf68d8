// Package ecs talks to the agent of Amazon ECS from inside of a container: over plain HTTP, at addresses that the agent
// puts into the environment. Outside of ECS there are none, and nothing is done.
package ecs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// The variables in which the agent says where it is.
const (
	MetadataVariable = "ECS_CONTAINER_METADATA_URI_V4"
	AgentVariable    = "ECS_AGENT_URI"
)

// Stream is where the log driver ships what the container prints.
type Stream struct{ Region, Group, Stream string }

// ErrNoStream is the answer where the log driver is another than awslogs.
var ErrNoStream = errors.New("the log driver of the container is not awslogs")

// callTimeout bounds one call of the agent, which is on the same machine but may ask others.
const callTimeout = 3 * time.Second

// LogStream asks the agent at uri, which is what [MetadataVariable] says, for the stream of this container's log.
func LogStream(ctx context.Context, uri string) (Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, uri, nil)
	if err != nil {
		return Stream{}, fmt.Errorf("metadata of the container: %w", err)
	}
	var container struct {
		LogDriver  string
		LogOptions map[string]string
	}
	if err := call(request, &container); err != nil {
		return Stream{}, fmt.Errorf("metadata of the container: %w", err)
	}
	s := Stream{container.LogOptions["awslogs-region"], container.LogOptions["awslogs-group"], container.LogOptions["awslogs-stream"]}
	if container.LogDriver != "awslogs" || s.Group == "" || s.Stream == "" {
		return Stream{}, ErrNoStream
	}
	return s, nil
}

// client asks no proxy: the agent is reached directly, always.
var client = &http.Client{Transport: &http.Transport{MaxIdleConns: 2, IdleConnTimeout: time.Minute}}

// call reads the JSON of an answer.
func call(request *http.Request, into any) error {
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the agent answers %s: %.300s", response.Status, body)
	}
	return json.Unmarshal(body, into)
}
