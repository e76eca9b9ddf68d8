package chaos_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// figures are what was counted and measured, in one scenario or in all.
type figures struct {
	mu sync.Mutex

	Scenario   string
	Seed       uint64
	Seconds    float64
	Faults     map[string]int
	Tasks      int // that have ended
	Events     int
	Keys       int
	Fenced     int // outcomes of zombies that Redis refused
	Crashes    int
	Poison     int
	Ticks      int
	Missed     int // ticks that no beat was there for
	Refused    int // enqueues, for want of memory
	Unknown    int // enqueues without an answer
	Operations int // of locks and unique enqueues
	Unchecked  int // histories that porcupine had no time for
	Reconnects int // of watchers
	Gaps       int // that watchers were told of
	Conflated  int // events of progress that slow watchers were spared
	Looks      int // at the structure while everything ran
	Failovers  int
	PowerCuts  int
	CutBytes   int     // that Redis had written and not synced when the power was cut, where it syncs each write
	SlowestUs  int64   // the longest of Seri's scripts, of a very large queue
	Slowest    string  // what that was about
	ScriptP99  float64 // µs, of the same
	Lost       int     // acknowledged tasks that a failover or a power cut has lost
	LossMillis []int64 // for each of these that lost a task: from when to when what was acknowledged is lost
	Drain      float64 // seconds from heal until no task was left
	FullDrain  float64 // tasks a second that ended while memory was full
	Recovery   []int64 // µs from a worker's death to the next start of each of its tasks
	Takeover   []int64 // ms from the death of the beat that led until another one leads
	Lived      map[string]*lived
	Hostile    int     // hostile inputs that the api was given
	Knocks     int     // of viewers whose api had gone away
	Densest    float64 // the part of a crowd that knocked within a tenth of a second, at most
	Violations []string

	windows map[*window][2]int64 // when the oldest and the newest task that is lost were acknowledged
}

// lived are the vital signs of the processes of a role at the end, of each sign the greatest, beside those of newborns.
type lived struct {
	Processes                                               int
	Oldest                                                  time.Duration
	Goroutines, Descriptors, NewbornGoroutines, NewbornOpen int
	Heap, Resident, NewbornHeap, NewbornResident            int64
}

// vitals notes those of one process.
func (f *figures) vitals(role string, v, newborn vitals, age time.Duration) {
	if f.Lived == nil {
		f.Lived = make(map[string]*lived)
	}
	l := cmp.Or(f.Lived[role], new(lived))
	most, least := v.most(vitals{l.Goroutines, l.Heap, l.Resident, l.Descriptors}),
		newborn.most(vitals{l.NewbornGoroutines, l.NewbornHeap, l.NewbornResident, l.NewbornOpen})
	f.Lived[role] = &lived{
		l.Processes + 1, max(l.Oldest, age), most.goroutines, most.descriptors, least.goroutines, least.descriptors,
		most.heap, most.resident, least.heap, least.resident,
	}
}

// and adds up what was noted of a role in two scenarios.
func (l *lived) and(o *lived) *lived {
	return &lived{
		l.Processes + o.Processes, max(l.Oldest, o.Oldest), max(l.Goroutines, o.Goroutines), max(l.Descriptors, o.Descriptors),
		max(l.NewbornGoroutines, o.NewbornGoroutines), max(l.NewbornOpen, o.NewbornOpen),
		max(l.Heap, o.Heap), max(l.Resident, o.Resident), max(l.NewbornHeap, o.NewbornHeap), max(l.NewbornResident, o.NewbornResident),
	}
}

// loss notes that a task that was acknowledged at a time was lost in a window.
func (f *figures) loss(w *window, at int64) {
	f.Lost++
	if f.windows == nil {
		f.windows = make(map[*window][2]int64)
	}
	span, known := f.windows[w]
	if !known {
		span = [2]int64{at, at}
	}
	f.windows[w] = [2]int64{min(span[0], at), max(span[1], at)}
}

// settle computes what the windows tell.
func (f *figures) settle() {
	for _, span := range f.windows {
		f.LossMillis = append(f.LossMillis, (span[1]-span[0])/1000)
	}
	slices.Sort(f.LossMillis)
	for kind, n := range f.Faults {
		switch {
		case strings.HasPrefix(kind, "failover-"):
			f.Failovers += n
		case strings.HasPrefix(kind, "power-cut"):
			f.PowerCuts += n
		}
	}
}

// total adds up the figures of several scenarios.
func total(all []*figures) *figures {
	sum := &figures{Scenario: "all", Faults: make(map[string]int)}
	for _, f := range all {
		sum.Seed = f.Seed
		sum.Seconds += f.Seconds
		for kind, n := range f.Faults {
			sum.Faults[kind] += n
		}
		for _, add := range []struct{ to, n *int }{
			{&sum.Tasks, &f.Tasks}, {&sum.Events, &f.Events}, {&sum.Keys, &f.Keys}, {&sum.Fenced, &f.Fenced}, {&sum.Crashes, &f.Crashes},
			{&sum.Poison, &f.Poison}, {&sum.Ticks, &f.Ticks}, {&sum.Missed, &f.Missed}, {&sum.Refused, &f.Refused}, {&sum.Unknown, &f.Unknown},
			{&sum.Operations, &f.Operations}, {&sum.Unchecked, &f.Unchecked}, {&sum.Reconnects, &f.Reconnects}, {&sum.Gaps, &f.Gaps}, {&sum.Conflated, &f.Conflated},
			{&sum.Looks, &f.Looks}, {&sum.Hostile, &f.Hostile}, {&sum.Knocks, &f.Knocks}, {&sum.CutBytes, &f.CutBytes}, {&sum.Failovers, &f.Failovers}, {&sum.PowerCuts, &f.PowerCuts}, {&sum.Lost, &f.Lost},
		} {
			*add.to += *add.n
		}
		sum.LossMillis = append(sum.LossMillis, f.LossMillis...)
		sum.Takeover = append(sum.Takeover, f.Takeover...)
		for role, l := range f.Lived {
			if sum.Lived == nil {
				sum.Lived = make(map[string]*lived)
			}
			sum.Lived[role] = cmp.Or(sum.Lived[role], new(lived)).and(l)
		}
		if f.Scenario == "recovery" { // in the others Redis may be away, or no slot free
			sum.Recovery = append(sum.Recovery, f.Recovery...)
		}
		sum.Drain = max(sum.Drain, f.Drain)
		sum.SlowestUs, sum.ScriptP99 = max(sum.SlowestUs, f.SlowestUs), max(sum.ScriptP99, f.ScriptP99)
		sum.Densest = max(sum.Densest, f.Densest)
		sum.FullDrain = max(sum.FullDrain, f.FullDrain)
		sum.Violations = append(sum.Violations, f.Violations...)
	}
	slices.Sort(sum.LossMillis)
	slices.Sort(sum.Recovery)
	return sum
}

func (f *figures) faults() (n int) {
	for _, count := range f.Faults {
		n += count
	}
	return n
}

// String returns the figures for a person.
func (f *figures) String() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("%s, seed %d: %.0f s", f.Scenario, f.Seed, f.Seconds)
	line("  %d tasks, %d events, %d keys left; %d enqueues unanswered, %d refused for want of memory", f.Tasks, f.Events, f.Keys, f.Unknown, f.Refused)
	var kinds []string
	for _, kind := range slices.Sorted(maps.Keys(f.Faults)) {
		kinds = append(kinds, fmt.Sprintf("%s %d", kind, f.Faults[kind]))
	}
	line("  %d faults: %s", f.faults(), strings.Join(kinds, ", "))
	line("  %d outcomes of zombies refused; %d leases taken back, %d tasks poison", f.Fenced, f.Crashes, f.Poison)
	line("  %d ticks, %d missed; %d operations of locks and uniqueness (%d histories not decided in time)", f.Ticks, f.Missed, f.Operations, f.Unchecked)
	line("  watchers: %d reconnects, %d gaps told, %d events of progress left out; %d looks at the structure", f.Reconnects, f.Gaps, f.Conflated, f.Looks)
	if f.Failovers+f.PowerCuts > 0 {
		line("  %d failovers and %d power cuts lost %d acknowledged tasks; windows in ms: %v", f.Failovers, f.PowerCuts, f.Lost, f.LossMillis)
	}
	if len(f.Recovery) > 0 {
		line("  recovery after a worker's death, n=%d: p50 %v, p99 %v (lease %v)", len(f.Recovery), f.recovery(50), f.recovery(99), leaseLength)
	}
	if f.FullDrain > 0 {
		line("  with a full memory %.0f tasks a second ended", f.FullDrain)
	}
	if f.CutBytes > 0 {
		line("  with every write synced, power cuts took %d bytes that were not", f.CutBytes)
	}
	if f.SlowestUs > 0 {
		line("  scripts of very large queues: p99 %.1f ms, longest %.1f ms (%s)", f.ScriptP99/1000, float64(f.SlowestUs)/1000, f.Slowest)
	}
	if f.Hostile > 0 {
		line("  %d hostile inputs", f.Hostile)
	}
	if f.Knocks > 0 {
		line("  %d times a viewer came back to an api that had gone away; at most %.1f %% of a crowd within %v", f.Knocks, 100*f.Densest, crowdBucket)
	}
	if len(f.Takeover) > 0 {
		line("  another beat led after ms: %v", f.Takeover)
	}
	for _, role := range slices.Sorted(maps.Keys(f.Lived)) {
		l := f.Lived[role]
		line("  %d %s, the oldest %v: at most %d goroutines, %.1f MB of heap, %.0f MB of memory, %d descriptors; newborn: %d, %.1f, %.0f, %d",
			l.Processes, role, l.Oldest.Round(time.Second), l.Goroutines, float64(l.Heap)/1e6, float64(l.Resident)/1e6, l.Descriptors,
			l.NewbornGoroutines, float64(l.NewbornHeap)/1e6, float64(l.NewbornResident)/1e6, l.NewbornOpen)
	}
	line("  drained in %.1f s; %d violations", f.Drain, len(f.Violations))
	return b.String()
}

// recovery returns a percentile of the recovery times.
func (f *figures) recovery(percent int) time.Duration {
	if len(f.Recovery) == 0 {
		return 0
	}
	return (time.Duration(f.Recovery[(len(f.Recovery)-1)*percent/100]) * time.Microsecond).Round(time.Millisecond)
}

func (f *figures) write(path string) error {
	b, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}
