package ecs_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/seri-queue/seri/internal/ecs"
	"github.com/seri-queue/seri/internal/ecs/ecstest"
)

func TestProtectionIsAskedForInWholeMinutes(t *testing.T) {
	t.Parallel()
	for sentence, c := range map[string]struct {
		d    time.Duration
		want string
	}{
		"rounded up":                    {31*time.Minute + time.Second, "protect 32m"},
		"as they are":                   {2 * time.Hour, "protect 120m"},
		"one at least":                  {time.Millisecond, "protect 1m"},
		"and no more than two days":     {100 * time.Hour, "protect 2880m"},
		"also where there is none left": {-time.Second, "protect 1m"},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			agent := ecstest.Run(t)
			if err := ecs.NewProtection(agent.URI).Protect(t.Context(), c.d); err != nil {
				t.Fatal(err)
			}
			if got := <-agent.Asks; got != c.want {
				t.Errorf("asked to %s, want %s", got, c.want)
			}
		})
	}
}

func TestProtectionIsReleased(t *testing.T) {
	t.Parallel()
	agent := ecstest.Run(t)
	p := ecs.NewProtection(agent.URI)
	if err := errors.Join(p.Protect(t.Context(), time.Hour), p.Release(t.Context())); err != nil {
		t.Fatal(err)
	}
	if first, second := <-agent.Asks, <-agent.Asks; first != "protect 60m" || second != "release" {
		t.Errorf("asked to %s and %s", first, second)
	}
}

func TestAnAgentThatRefusesSaysWhy(t *testing.T) {
	t.Parallel()
	for sentence, c := range map[string]struct {
		answer http.HandlerFunc
		says   string
	}{
		"outside of a service": {
			ecstest.Fail("TASK_NOT_VALID", "The specified task is not part of a service"), "TASK_NOT_VALID: The specified task is not part of a service",
		},
		"in a deployment": {ecstest.Fail("DEPLOYMENT_BLOCKED", ""), "DEPLOYMENT_BLOCKED"},
		"without permission": {
			ecstest.Refuse(400, "AccessDeniedException", "User is not authorized to perform: ecs:UpdateTaskProtection"),
			"AccessDeniedException: User is not authorized to perform: ecs:UpdateTaskProtection",
		},
		"called too often":        {ecstest.Refuse(400, "ThrottlingException", "Rate exceeded"), "ThrottlingException: Rate exceeded"},
		"that ECS did not answer": {ecstest.Refuse(504, "RequestCanceled", "Timed out calling ECS Task Protection API"), "RequestCanceled: Timed out"},
		"that knows no such task": {ecstest.Refuse(404, "ResourceNotFoundException", "Failed to find a task"), "ResourceNotFoundException: Failed to find"},
		"at its own limit":        {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "slow down", http.StatusTooManyRequests) }, "the agent answers 429 Too Many Requests: slow down"},
		"too old for it":          {http.NotFound, "the agent answers 404 Not Found"},
		"that is another server":  {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }, "invalid character"},
		"that does not protect": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"protection":{"ProtectionEnabled":false,"TaskArn":"arn"}}`))
		}, "something else than was asked for"},
		"with an empty answer": {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{}`)) }, "something else than was asked for"},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			agent := ecstest.Run(t)
			agent.Answer(c.answer)
			err := ecs.NewProtection(agent.URI).Protect(t.Context(), time.Hour)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want one with %q", err, c.says)
			}
		})
	}
}

func TestAnAgentThatIsSilentIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	agent := ecstest.Run(t)
	heard := make(chan struct{})
	agent.Answer(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // or the server does not notice that the caller hangs up
		close(heard)
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { // in place of the 3 s, which the next test looks at
		<-heard
		cancel()
	}()
	if err := ecs.NewProtection(agent.URI).Protect(ctx, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if err := ecs.NewProtection("http://127.0.0.1:1").Release(t.Context()); err == nil {
		t.Error("nobody there, and no error")
	}
}
