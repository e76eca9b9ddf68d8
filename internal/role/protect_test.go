package role

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/seri-queue/seri/internal/ecs"
	"github.com/seri-queue/seri/internal/ecs/ecstest"
	"github.com/seri-queue/seri/worker"
)

func TestAWorkerInAServiceOfECSAsksItsAgent(t *testing.T) {
	agent := ecstest.Run(t)
	t.Setenv(ecs.AgentVariable, agent.URI)
	var w Worker
	configured(t, &w, "--protect-for", "90m")

	var config worker.Config
	w.Protect.ask(&config)

	if config.ProtectFor != 90*time.Minute || config.Protector == nil {
		t.Fatalf("protected by %v for %v", config.Protector, config.ProtectFor)
	}
	if err := errors.Join(config.Protector.Protect(t.Context(), time.Hour), config.Protector.Release(t.Context())); err != nil {
		t.Fatal(err)
	}
	if first, second := <-agent.Asks, <-agent.Asks; first != "protect 60m" || second != "release" {
		t.Errorf("asked to %s, then %s", first, second)
	}
}

func TestAWorkerElsewhereAsksNobody(t *testing.T) {
	t.Setenv(ecs.AgentVariable, "")
	var w Worker
	configured(t, &w)
	var config worker.Config
	if w.Protect.ask(&config); config.Protector != nil {
		t.Errorf("it asks %v", config.Protector)
	}
}

func TestHowLongAWorkerIsProtectedIsChecked(t *testing.T) {
	t.Parallel()
	for value, says := range map[string]string{
		"0": "", "2h": "", "48h": "",
		"30s": "between 1m0s and 48h0m0s", "-1h": "between", "49h": "between", "long": "must be a duration",
	} {
		var p Protect
		if err := p.ProtectFor.UnmarshalText([]byte(value)); err != nil {
			t.Fatal(err)
		}
		var f faults
		p.check(&f)
		if err := f.err(); (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", value, err, says)
		}
	}
}
