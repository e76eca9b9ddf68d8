// Package ecs is for workers that run as tasks of Amazon ECS inside your own program. The commands of Seri do the same by
// themselves.
//
//	w, err := worker.New(rdb, handlers, worker.Config{Protector: ecs.Protector(), ProtectFor: 2 * time.Hour})
//
// Without it, ECS takes no notice of what a worker does when it scales a service in or deploys a new version: it sends
// SIGTERM to any of its tasks, and whatever runs for longer than the grace period is handed back and begins anew elsewhere.
// Nothing is lost then but the time. With it, such workers are left alone, for a bounded time.
package ecs

import (
	"os"

	"github.com/seri-queue/seri/internal/ecs"
	"github.com/seri-queue/seri/worker"
)

// Protector returns what [worker.Config] needs to have this task protected by the agent of ECS, which is at
// $ECS_AGENT_URI; nil elsewhere, which a worker takes for nobody to ask. The task role needs the permission
// ecs:UpdateTaskProtection. Only tasks of a service can be protected; others go on without.
func Protector() worker.Protector {
	uri := os.Getenv(ecs.AgentVariable)
	if uri == "" {
		return nil
	}
	return ecs.NewProtection(uri)
}
