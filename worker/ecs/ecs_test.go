package ecs_test

import (
	"testing"
	"time"

	"github.com/seri-queue/seri/internal/ecs/ecstest"
	"github.com/seri-queue/seri/worker/ecs"
)

func TestTheAgentProtects(t *testing.T) {
	agent := ecstest.Run(t)
	t.Setenv("ECS_AGENT_URI", agent.URI)
	if err := ecs.Protector().Protect(t.Context(), time.Hour); err != nil {
		t.Fatal(err)
	}
	if asked := <-agent.Asks; asked != "protect 60m" {
		t.Errorf("asked to %s", asked)
	}
}

func TestElsewhereThereIsNobody(t *testing.T) {
	t.Setenv("ECS_AGENT_URI", "")
	if p := ecs.Protector(); p != nil {
		t.Errorf("there is %v", p)
	}
}
