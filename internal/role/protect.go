package role

import (
	"os"
	"time"

	"github.com/seri-queue/seri/internal/ecs"
	"github.com/seri-queue/seri/worker"
)

// Protect is the setting of how long a worker may keep ECS from stopping it.
type Protect struct {
	ProtectFor Duration `env:"SERI_PROTECT_FOR" default:"2h" placeholder:"DURATION" help:"In a service of ECS: for how long at a time, at most, the worker is protected from scale-in and deployments while it runs tasks that the grace period may be too short for. 0: not at all. Elsewhere it does nothing."`
}

func (p *Protect) check(f *faults) {
	if p.ProtectFor.Duration != 0 || p.ProtectFor.wrong != "" {
		f.limit("protect-for", p.ProtectFor, time.Minute, 48*time.Hour)
	}
}

// ask sets in config who is to be asked, if there is anybody.
func (p *Protect) ask(config *worker.Config) {
	if uri := os.Getenv(ecs.AgentVariable); uri != "" {
		config.Protector, config.ProtectFor = ecs.NewProtection(uri), p.ProtectFor.Duration
	}
}
