package chaos_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// every are the tracks of a run in which a bit of everything goes wrong at once; pace 1 is that of the full suite.
func everything(pace float64) []track {
	at := func(d time.Duration) time.Duration { return time.Duration(float64(d) / pace) }
	return []track{
		{[]string{"worker-kill", "worker-kill", "worker-kill-at-commit", "worker-kill-at-change"}, at(900 * time.Millisecond)},
		{[]string{"worker-freeze", "worker-freeze-at-commit", "worker-freeze-at-commit"}, at(700 * time.Millisecond)},
		{[]string{"net-slow", "net-jitter", "net-cut", "net-reset", "net-partition", "net-half-open", "net-slice", "net-lose-replies", "net-late", "reply-lost"}, at(1800 * time.Millisecond)},
		{[]string{"beat-kill", "beat-freeze", "beat-late", "tick-late"}, at(5 * time.Second)},
		{[]string{"api-kill", "producer-kill"}, at(5 * time.Second)},
		{[]string{"redis-kill", "redis-freeze", "memory-full", "script-flush", "function-flush", "clients-kill", "clients-pause", "redis-sleep", "script-busy", "storm", "fleet-restart"}, at(3500 * time.Millisecond)},
	}
}

// small are scenarios of a few seconds, about one thing each. They make up the smoke together with a run of everything;
// mutants are held against them, and each can be run by its name.
func small() []scenario {
	fleet := scenario{length: 8 * time.Second, workers: 3, slots: 8, producers: 1, rate: 100, mix: "busy", probed: true}
	with := func(name string, change func(*scenario)) scenario {
		s := fleet
		s.name = name
		change(&s)
		return s
	}
	return []scenario{
		with("calm", func(s *scenario) {
			s.quiet, s.mix, s.beats, s.watchers, s.lockers = true, "", 2, 2, 1
			s.floors = floors{tasks: 300, ticks: 5, operations: 20}
		}),
		with("zombies", func(s *scenario) {
			freezes := track{[]string{"worker-freeze-at-commit", "worker-freeze-at-commit", "worker-freeze"}, 300 * time.Millisecond}
			s.workers, s.tracks = 4, []track{freezes, freezes, freezes}
			s.floors = floors{tasks: 200, faults: 4, fenced: 2}
		}),
		with("late", func(s *scenario) {
			s.tracks = []track{
				{[]string{"net-late"}, 250 * time.Millisecond}, {[]string{"net-late"}, 250 * time.Millisecond},
				{[]string{"worker-kill"}, 2 * time.Second},
			}
			s.floors = floors{tasks: 200, faults: 5}
		}),
		with("deaths", func(s *scenario) {
			s.tracks = []track{
				{[]string{"worker-kill", "worker-kill-at-commit"}, time.Second},
				{[]string{"worker-kill-at-change"}, 400 * time.Millisecond}, {[]string{"worker-kill-at-change"}, 400 * time.Millisecond},
				{[]string{"net-slow"}, 2 * time.Second},
			}
			s.floors = floors{tasks: 200, faults: 5}
		}),
		with("recovery", func(s *scenario) {
			s.length, s.workers, s.slots, s.rate = 15*time.Second, 4, 16, 120
			s.tracks = []track{{[]string{"worker-kill"}, 500 * time.Millisecond}}
			s.floors = floors{tasks: 200, faults: 10}
		}),
		with("beats", func(s *scenario) {
			s.length, s.beats, s.rate, s.mix = 14*time.Second, 3, 50, ""
			s.tracks = []track{{[]string{"tick-late", "tick-late", "beat-late"}, 2 * time.Second}, {[]string{"beat-kill", "beat-freeze"}, 4 * time.Second}}
			s.floors = floors{faults: 5, ticks: 8}
		}),
		with("watchers", func(s *scenario) {
			s.watchers, s.mix = 4, ""
			s.tracks = []track{{[]string{"clients-kill"}, 500 * time.Millisecond}, {[]string{"api-kill"}, 4 * time.Second}}
			s.floors = floors{tasks: 200, faults: 5, reconnects: 4}
		}),
		with("slow-watchers", func(s *scenario) {
			s.length, s.rate, s.mix, s.slots, s.watchers, s.slow = 12*time.Second, 600, "chatty", 24, 8, 6
			s.tracks = []track{{[]string{"clients-kill"}, 4 * time.Second}}
			s.floors = floors{tasks: 1000, faults: 1, reconnects: 4, conflated: 1}
		}),
		with("full-memory", func(s *scenario) {
			s.quiet, s.rate, s.act = true, 20, drainWithFullMemory
			s.floors = floors{tasks: fullBacklog}
		}),
		with("meddling", func(s *scenario) {
			s.probed = false
			s.tracks = []track{{[]string{"lose-task", "lose-lease", "strand-task", "add-ghost", "lose-fence"}, 300 * time.Millisecond}}
			s.floors = floors{tasks: 200, faults: 8}
		}),
		with("beside-asynq", func(s *scenario) {
			s.rate, s.act = 50, besideStockAsynq
			s.tracks = []track{{[]string{"worker-kill", "worker-freeze-at-commit"}, 2 * time.Second}}
			s.floors = floors{tasks: stockTasks, faults: 2}
		}),
		with("clocks", func(s *scenario) {
			s.clocks, s.beats, s.length = true, 2, 20*time.Second
			s.tracks = []track{{[]string{"clock-jump"}, 2 * time.Second}, {[]string{"worker-freeze-at-commit", "worker-kill"}, 2 * time.Second}}
			s.floors = floors{tasks: 200, faults: 5}
		}),
		with("clocks-of-roles", func(s *scenario) {
			s.drifts, s.beats, s.lockers, s.watchers, s.length = true, 2, 2, 2, 20*time.Second
			jumps := track{[]string{"role-clock-jump"}, 200 * time.Millisecond}
			s.tracks = []track{jumps, jumps, {[]string{"worker-freeze-at-commit", "worker-kill", "beat-kill"}, 2 * time.Second}}
			s.floors = floors{tasks: 200, faults: 20, ticks: 10, operations: 20}
		}),
		with("failover-replica", func(s *scenario) {
			s.redis, s.probed, s.length = "replica", false, 12*time.Second
			s.tracks = []track{{[]string{"failover-replica"}, 2500 * time.Millisecond}}
			s.beats = 2
			s.floors = floors{tasks: 200, faults: 2}
		}),
		with("power-cut", func(s *scenario) {
			s.probed = false
			s.tracks = []track{{[]string{"power-cut"}, 2 * time.Second}}
			s.floors = floors{tasks: 200, faults: 2}
		}),
		with("power-cut-synced", func(s *scenario) {
			s.probed, s.synced, s.length = false, true, 15*time.Second
			s.tracks = []track{{[]string{"power-cut-synced"}, 1200 * time.Millisecond}}
			s.floors = floors{tasks: 200, faults: 5, cutBytes: 1}
		}),
		with("large", func(s *scenario) {
			s.probed, s.rate, s.slots, s.watchers, s.act = false, 50, 32, 2, growLarge
			s.floors = floors{tasks: largeBacklog + largeDue + largeBodies, faults: 5, reconnects: 2}
		}),
		with("hostile", func(s *scenario) { // who has the processors meanwhile: a worker may well lose a lease
			s.rate, s.mix, s.watchers, s.act, s.apiFlags = 20, "", 2, attackAPI, []string{"--log-level", "warn"}
			s.floors = floors{tasks: 20, hostile: hostileRequests + hostileSockets, reconnects: 2}
		}),
		with("crowd", func(s *scenario) {
			s.length, s.rate, s.mix, s.act = time.Second, 20, "", sendTheCrowdHome
			s.floors = floors{faults: 2, knocks: 4 * crowdOf}
		}),
		with("permissions", func(s *scenario) {
			s.quiet, s.rate, s.mix, s.act = true, 20, "", lackPermissions
			s.floors = floors{tasks: 20, faults: 8}
		}),
	}
}

// smoke is what runs with every make test, in about 90 s.
func smoke() []scenario {
	everywhere := scenario{
		name: "everything", length: 30 * time.Second, workers: 4, slots: 8, producers: 1, rate: 250, beats: 2, lockers: 2, watchers: 4, slow: 1,
		poison: 2, tracks: everything(1), probed: true,
		floors: floors{tasks: 500, faults: 20, fenced: 1, ticks: 5, operations: 50, reconnects: 3},
	}
	return append([]scenario{everywhere}, pick("full-memory", "failover-replica", "power-cut")...)
}

// pick returns small scenarios by name.
func pick(names ...string) (picked []scenario) {
	for _, s := range small() {
		if slices.Contains(names, s.name) {
			picked = append(picked, s)
		}
	}
	return picked
}

// whole is what runs before a release, in less than twelve minutes.
func whole() []scenario {
	fleet := scenario{workers: 5, slots: 16, producers: 2, rate: 450, beats: 3, lockers: 2, watchers: 6, probed: true}
	with := func(name string, length time.Duration, change func(*scenario)) scenario {
		s := fleet
		s.name, s.length = name, length
		change(&s)
		return s
	}
	all := []scenario{
		with("everything", 175*time.Second, func(s *scenario) {
			s.tracks, s.poison, s.slow = everything(1.5), 12, 2
			s.floors = floors{tasks: 40_000, faults: 500, fenced: 100, ticks: 200, operations: 2000, reconnects: 200}
		}),
		with("power-cut", 45*time.Second, func(s *scenario) {
			s.tracks = []track{
				{[]string{"power-cut"}, 2600 * time.Millisecond}, {[]string{"worker-kill", "worker-freeze-at-commit"}, time.Second},
			}
			s.probed, s.lockers = false, 0
			s.floors = floors{tasks: 5000, faults: 30}
		}),
		with("failover-replica", 66*time.Second, func(s *scenario) {
			s.redis, s.probed, s.lockers = "replica", false, 0
			s.tracks = []track{
				{[]string{"failover-replica"}, 3500 * time.Millisecond}, {[]string{"worker-kill", "worker-freeze-at-commit"}, time.Second},
			}
			s.floors = floors{tasks: 10_000, faults: 50}
		}),
		with("failover-sentinel", 50*time.Second, func(s *scenario) {
			s.redis, s.probed, s.lockers = "sentinel", false, 0
			s.tracks = []track{{[]string{"failover-sentinel"}, 7 * time.Second}, {[]string{"worker-kill", "worker-freeze-at-commit"}, time.Second}}
			s.floors = floors{tasks: 5000, faults: 20}
		}),
		with("failover-cluster", 45*time.Second, func(s *scenario) {
			s.redis, s.probed, s.lockers = "cluster", false, 0
			s.tracks = []track{{[]string{"failover-cluster"}, 8 * time.Second}, {[]string{"worker-kill", "worker-freeze-at-commit"}, time.Second}}
			s.floors = floors{tasks: 3000, faults: 20}
		}),
	}
	return append(all, pick("recovery", "zombies", "late", "beats", "full-memory", "meddling", "beside-asynq", "clocks", "power-cut-synced", "large", "hostile", "permissions", "crowd", "clocks-of-roles", "slow-watchers")...)
}

// lap is how long one lap of a soak lasts: all that happened in it is kept in memory until it has been checked.
const lap = 5 * time.Minute

// soak is everything, lap after lap, each with a plan of its own, for as long as one likes.
func soak() (laps []scenario) {
	for left, n := *length, 0; left > 0; left, n = left-lap, n+1 {
		s := whole()[0]
		s.name, s.lap, s.length = fmt.Sprintf("soak-%d", n+1), uint64(n), min(left, lap)
		s.poison = int(s.length.Seconds()) / 20
		seconds := int(s.length.Seconds())
		s.floors = floors{tasks: seconds * 50, faults: seconds / 2}
		laps = append(laps, s)
	}
	return laps
}

// suites are what -suite may name: the three, and each small scenario by itself.
func suites() map[string]func() []scenario {
	all := map[string]func() []scenario{"smoke": smoke, "full": whole, "soak": soak}
	for _, s := range small() {
		all[s.name] = func() []scenario { return []scenario{s} }
	}
	for _, s := range whole() {
		if all[s.name] == nil {
			all[s.name] = func() []scenario { return []scenario{s} }
		}
	}
	return all
}

// leastZombies is what a full run must have refused in all. Fewer, and nothing was shown about the fence.
const leastZombies = 150

// leastOf is how often a full run must have struck with each kind of fault, by what the names of the kind begin with.
var leastOf = map[string]int{
	"worker-kill": 200, "worker-freeze": 120, "reply-lost": 10, "beat-": 30, "tick-late": 8, "api-kill": 10, "producer-kill": 10, "net-": 100,
	"redis-": 12, "memory-full": 4, "script-": 8, "clients-": 8, "storm": 2, "fleet-restart": 2, "clock-jump": 4, "role-clock-jump": 20, "api-stop": 1, "power-cut": 18,
	"power-cut-synced": 5, "failover-": 20, "lose-": 6, "strand-task": 1, "add-ghost": 2, "stock-asynq": 1,
	"large-": 5, "permission-missing": 8,
}

// vacuous returns what a full run has struck with too seldom.
func (f *figures) vacuous() (faults []string) {
	for _, kind := range slices.Sorted(maps.Keys(leastOf)) {
		n := 0
		for fault, count := range f.Faults {
			if strings.HasPrefix(fault, kind) {
				n += count
			}
		}
		if n < leastOf[kind] {
			faults = append(faults, fmt.Sprintf("vacuous: %d faults %s…, want at least %d", n, kind, leastOf[kind]))
		}
	}
	if f.Fenced < leastZombies {
		faults = append(faults, fmt.Sprintf("vacuous: %d zombies were refused in all, want at least %d", f.Fenced, leastZombies))
	}
	if f.Conflated == 0 {
		faults = append(faults, "vacuous: nothing was left out for a slow watcher")
	}
	if f.Hostile < hostileRequests+hostileSockets {
		faults = append(faults, fmt.Sprintf("vacuous: %d hostile inputs, want %d", f.Hostile, hostileRequests+hostileSockets))
	}
	return faults
}

func TestChaos(t *testing.T) {
	if *suite == "" || *suite == "mutants" {
		t.Skip("runs for a minute and more: make chaos-smoke, make chaos, make soak")
	}
	chosen := suites()[*suite]
	if chosen == nil {
		t.Fatalf("there is no suite %q; there are %v", *suite, slices.Sorted(maps.Keys(suites())))
	}
	seed := chosenSeed(t)
	var all []*figures
	for _, s := range chosen() {
		t.Run(s.name, func(t *testing.T) {
			f := s.run(t, seed+s.lap)
			f.Violations = append(f.Violations, s.floors.check(f)...)
			all = append(all, f)
			t.Log("\n" + f.String())
			for _, v := range f.Violations {
				t.Error(v)
			}
		})
	}
	sum := total(all)
	if len(all) > 1 {
		t.Log("\n" + sum.String())
	}
	if *suite == "full" {
		sum.Violations = append(sum.Violations, sum.vacuous()...)
		for _, v := range sum.vacuous() {
			t.Error(v)
		}
	}
	if *report != "" {
		if err := sum.write(*report); err != nil {
			t.Error(err)
		}
	}
}
