// Package suite is the workloads: what is measured, of which system, in which setting, and how the rounds interleave.
package suite

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"time"

	"github.com/seri-queue/seri/bench/ground"
	"github.com/seri-queue/seri/bench/load"
)

// The systems that are compared.
const (
	seriName  = "seri"
	asynqName = "asynq"
	riverName = "river"
)

// Rig is what measurements need.
type Rig struct {
	Redis    *ground.Redis
	Postgres *ground.Postgres // nil: River is not measured
	// Self and River are the commands that make a measured process.
	Self, River []string
	// Scale is by how much the numbers of tasks differ from the workloads' full ones. 0.1: a tenth.
	Scale float64
	// Long adds what takes minutes: a million queued tasks.
	Long bool
	// Profiles is a directory for CPU profiles of Seri's processes, numbered as they start; empty: none.
	Profiles string
	// Say tells what is going on.
	Say func(format string, args ...any)

	workload string // that is being measured
	profiled int    // how many profiles there are
}

// What several workloads share.
const (
	kib       = 1024
	retention = time.Hour
	// fastPoll is the tuning of systems that look for tasks instead of being told.
	fastPoll = 10 * time.Millisecond
)

// patience limits one measurement, which then counts what was done until then.
func (r *Rig) patience() time.Duration {
	return 10*time.Second + time.Duration(min(r.Scale, 1)*50*float64(time.Second))
}

// n scales a number of tasks, and keeps enough of it to mean anything.
func (r *Rig) n(full int) int { return max(int(math.Round(float64(full)*r.Scale)), min(full, 500)) }

// ground returns what a system keeps its tasks in.
func (r *Rig) ground(system string) ground.Ground {
	if system == riverName {
		return r.Postgres
	}
	return r.Redis
}

// start starts a process of a system and waits until it is connected.
func (r *Rig) start(ctx context.Context, system string, spec load.Spec) (*load.Process, error) {
	spec.System, spec.URL = system, r.ground(system).URL()
	command := r.Self
	if system == riverName {
		command = r.River
	}
	if r.Profiles != "" && system == seriName {
		role := "worker"
		if spec.Produce != nil {
			role = "client"
		}
		r.profiled++
		spec.Profile = filepath.Join(r.Profiles, fmt.Sprintf("%s-%s-%d.pprof", r.workload, role, r.profiled))
	}
	return load.Start(ctx, command, spec)
}
