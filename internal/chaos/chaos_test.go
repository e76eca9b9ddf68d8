package chaos_test

import (
	"maps"
	"slices"
	"testing"
	"time"
)

// every are the tracks of a run in which a bit of everything goes wrong at once; pace 1 is that of the full suite.
func everything(pace float64) []track {
	at := func(d time.Duration) time.Duration { return time.Duration(float64(d) / pace) }
	return []track{
		{[]string{"worker-kill", "worker-kill", "worker-kill-at-commit"}, at(900 * time.Millisecond)},
		{[]string{"worker-freeze", "worker-freeze-at-commit", "worker-freeze-at-commit"}, at(700 * time.Millisecond)},
		{[]string{"net-slow", "net-jitter", "net-cut", "net-reset", "net-partition", "net-half-open", "net-slice", "net-lose-replies", "net-late", "reply-lost"}, at(1800 * time.Millisecond)},
		{[]string{"beat-kill", "beat-freeze", "beat-late"}, at(5 * time.Second)},
		{[]string{"api-kill", "producer-kill"}, at(5 * time.Second)},
		{[]string{"redis-kill", "redis-freeze", "memory-full", "script-flush", "function-flush", "clients-kill", "clients-pause", "redis-sleep", "script-busy", "storm", "fleet-restart"}, at(3500 * time.Millisecond)},
	}
}

// smoke is what runs with every make test, in about 90 s.
func smoke() []scenario {
	return []scenario{
		{
			name: "everything", length: 40 * time.Second, workers: 4, slots: 8, producers: 1, rate: 250, beats: 2, lockers: 2, watchers: 4, poison: 2,
			tracks: everything(1), probed: true,
			floors: floors{tasks: 3000, faults: 60, fenced: 10, ticks: 20, operations: 300, reconnects: 20},
		},
	}
}

func TestChaos(t *testing.T) {
	suites := map[string][]scenario{"smoke": smoke()}
	scenarios, known := suites[*suite]
	if *suite == "" {
		t.Skip("runs for a minute and more: make chaos-smoke, make chaos, make soak")
	}
	if !known {
		t.Fatalf("there is no suite %q; there are %v", *suite, slices.Sorted(maps.Keys(suites)))
	}
	seed := chosenSeed(t)
	var all []*figures
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			f := s.run(t, seed)
			f.Violations = append(f.Violations, s.floors.check(f)...)
			all = append(all, f)
			t.Log("\n" + f.String())
			for _, v := range f.Violations {
				t.Error(v)
			}
		})
	}
	if *report != "" {
		if err := total(all).write(*report); err != nil {
			t.Error(err)
		}
	}
}
