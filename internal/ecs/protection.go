package ecs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// maxProtection is the longest that ECS grants at a time: two days.
const maxProtection = 48 * time.Hour

// Protection asks the agent to keep this task from being stopped when its service scales in or deploys. It does not help
// against Spot, retirement of the machine, or StopTask.
type Protection struct{ url string }

// NewProtection returns one that asks the agent at uri, which is what [AgentVariable] says.
func NewProtection(uri string) *Protection {
	return &Protection{uri + "/task-protection/v1/state"}
}

// Protect protects the task for d from now on, rounded up to whole minutes, in place of what was agreed before. The error
// is ECS' own, with its code: TASK_NOT_VALID for a task that belongs to no service, DEPLOYMENT_BLOCKED while protected
// tasks hold a deployment up, AccessDeniedException if the task role may not.
func (p *Protection) Protect(ctx context.Context, d time.Duration) error {
	d = min(max(d, time.Minute), maxProtection)
	return p.put(ctx, state{Enabled: true, Minutes: int((d + time.Minute - 1) / time.Minute)})
}

// Release ends the protection.
func (p *Protection) Release(ctx context.Context) error { return p.put(ctx, state{}) }

// state is what the agent is asked for.
type state struct {
	Enabled bool `json:"ProtectionEnabled"`
	Minutes int  `json:"ExpiresInMinutes,omitempty"`
}

func (p *Protection) put(ctx context.Context, want state) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	body, err := json.Marshal(want)
	if err != nil {
		return fmt.Errorf("protection of the task: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPut, p.url, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("protection of the task: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("protection of the task: %w", err)
	}
	defer response.Body.Close()
	if err := granted(response, want); err != nil {
		return fmt.Errorf("protection of the task: %w", err)
	}
	return nil
}

// granted reads an answer, in which ECS says no in three ways: a failure of this task, an error of the call, or a status.
func granted(response *http.Response, want state) error {
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return err
	}
	var answer struct {
		Protection *struct {
			ProtectionEnabled bool
		} `json:"protection"`
		Failure *struct{ Reason, Detail string } `json:"failure"`
		Error   *struct{ Code, Message string }  `json:"error"`
	}
	malformed := json.Unmarshal(body, &answer)
	switch {
	case malformed == nil && answer.Failure != nil:
		return told(answer.Failure.Reason, answer.Failure.Detail)
	case malformed == nil && answer.Error != nil:
		return told(answer.Error.Code, answer.Error.Message)
	case response.StatusCode != http.StatusOK:
		return fmt.Errorf("the agent answers %s: %.300s", response.Status, body)
	case malformed != nil:
		return malformed
	case answer.Protection == nil || answer.Protection.ProtectionEnabled != want.Enabled:
		return fmt.Errorf("the agent answers with something else than was asked for: %.300s", body)
	}
	return nil
}

func told(code, text string) error {
	if text == "" {
		return errors.New(code)
	}
	return fmt.Errorf("%s: %s", code, text)
}
