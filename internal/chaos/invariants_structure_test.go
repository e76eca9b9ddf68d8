package chaos_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/keys"
)

// checkStructure is I9: each ID stands in exactly one place, the state on record agrees with it, leases are of what is
// active, and there is no key that nobody has declared.
func checkStructure(h *history) (faults []string) {
	for id, places := range h.places {
		record := h.records[id]
		switch {
		case len(places) > 1:
			faults = append(faults, fmt.Sprintf("I9: task %s stands in %s", id, strings.Join(places, " and in ")))
		case record == nil || record["msg"] == "":
			faults = append(faults, fmt.Sprintf("I9: %s holds %s, and there is no such task", places[0], id))
		case !strings.HasSuffix(places[0], " "+record["state"]):
			faults = append(faults, fmt.Sprintf("I9: task %s stands in %s and is %s", id, places[0], record["state"]))
		}
		_, leased := h.leases[id]
		if active := slices.ContainsFunc(places, func(p string) bool { return strings.HasSuffix(p, " active") }); active != leased {
			faults = append(faults, fmt.Sprintf("I9: task %s is active: %t, has a lease: %t", id, active, leased))
		}
	}
	for id := range h.leases {
		if len(h.places[id]) == 0 {
			faults = append(faults, "I9: there is a lease of "+id+", which stands nowhere")
		}
	}
	for id, record := range h.records {
		if len(h.places[id]) == 0 {
			faults = append(faults, fmt.Sprintf("I9: task %s is %s and stands nowhere", id, record["state"]))
		}
	}
	for _, key := range h.strange {
		faults = append(faults, "I9: nobody has declared the key "+key)
	}
	return faults
}

// checkKeys is I12 for Redis: what there is beside tasks and locks does not grow with the number of tasks, faults and
// deaths. A worker that has died leaves three keys behind for three heartbeats.
func checkKeys(h *history) (faults []string) {
	const most = 500
	if len(h.others) > most {
		faults = append(faults, fmt.Sprintf("I12: %d keys are neither tasks nor locks, more than %d: %.300q", len(h.others), most, h.others))
	}
	return faults
}

// probe looks at the structure while everything runs, in one step, so that what is wrong for a moment only is seen, too.
type probe struct {
	cancel  context.CancelFunc
	stopped sync.WaitGroup
	mu      sync.Mutex
	looks   int
	faults  []string
}

// look answers IDs that are active and have no lease, or the other way round.
const look = `
local active, leased, wrong = {}, {}, {}
for _, id in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
  if active[id] then wrong[#wrong + 1] = id .. ' is active twice' end
  active[id] = true
end
for _, id in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
  leased[id] = true
  if not active[id] then wrong[#wrong + 1] = id .. ' has a lease and is not active' end
end
for id in pairs(active) do
  if not leased[id] then wrong[#wrong + 1] = id .. ' is active and has no lease' end
  local state = redis.call('HGET', ARGV[1] .. id, 'state')
  if state ~= 'active' then wrong[#wrong + 1] = id .. ' is among the active and its state is ' .. tostring(state) end
end
return wrong`

// startProbe looks at the queues now and then, until the end of the run. It makes no sense while the data itself is being
// tampered with.
func (r *rig) startProbe() {
	ctx, cancel := context.WithCancel(context.Background())
	r.probe = &probe{cancel: cancel}
	r.probe.stopped.Go(func() {
		for ctx.Err() == nil {
			rest(ctx, 50*time.Millisecond)
			rdb := r.client()
			for _, q := range r.queues {
				r.probe.look(ctx, rdb, q)
			}
			rdb.Close()
		}
	})
}

func (p *probe) look(ctx context.Context, rdb redis.UniversalClient, q keys.Queue) {
	call, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	wrong, err := rdb.Eval(call, look, []string{q.Active(), q.Lease()}, q.TaskPrefix()).StringSlice()
	if err != nil {
		return // Redis is being ill-treated; there will be another look
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.looks++
	for _, w := range wrong {
		if len(p.faults) < 10 {
			p.faults = append(p.faults, fmt.Sprintf("I9: while everything ran, at %d: task %s of queue %s", time.Now().UnixMilli(), w, q))
		}
	}
}

// stop ends the looking and returns what was seen.
func (p *probe) stop() []string {
	if p == nil {
		return nil
	}
	p.cancel()
	p.stopped.Wait()
	return p.faults
}

// leaksInLogs returns the logs in which a task's secret stands.
func leaksInLogs(dir string) (found []string) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil {
		return []string{err.Error()}
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil || containsSecret(string(text)) {
			found = append(found, fmt.Sprintf("the log %s (%v)", filepath.Base(path), err))
		}
	}
	return found
}
