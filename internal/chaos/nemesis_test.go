package chaos_test

import (
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// track is a row of faults one after another, at random distances. Tracks run beside each other.
type track struct {
	faults []string // in turn, in a random order that uses each equally often
	every  time.Duration
}

// stroke is one fault of a plan.
type stroke struct {
	at    time.Duration // since the beginning
	fault string
	dice  uint64 // seeds whatever the fault decides
}

// plan makes the strokes of a track for a time, from a seed alone.
func (t track) plan(seed uint64, number int, length time.Duration) []stroke {
	hash := fnv.New64()
	for _, f := range t.faults {
		_, _ = hash.Write([]byte(f))
	}
	random := rand.New(rand.NewPCG(seed, hash.Sum64()+uint64(number)))
	var strokes []stroke
	var bag []string
	for at := t.distance(random); at < length; at += t.distance(random) {
		if len(bag) == 0 {
			bag = slices.Clone(t.faults)
			random.Shuffle(len(bag), func(i, j int) { bag[i], bag[j] = bag[j], bag[i] })
		}
		strokes = append(strokes, stroke{at, bag[0], random.Uint64()})
		bag = bag[1:]
	}
	return strokes
}

// distance is between a half and one and a half of the mean.
func (t track) distance(random *rand.Rand) time.Duration {
	return t.every/2 + time.Duration(random.Int64N(int64(t.every)))
}

// nemesis carries plans out.
type nemesis struct {
	rig *rig

	mu      sync.Mutex
	counts  map[string]int
	windows []window
	errs    []error
}

// window is a time in which something was wrong, in Unix µs.
type window struct {
	fault    string
	from, to int64
	// lost, for a power cut or a failover, is when the newest write that was kept was made. What was acknowledged from then
	// to the window's end may be gone. 0: this fault loses nothing.
	lost int64
	// cut is when the old primary died, in Unix µs: how much was lost counts from there. promoted is when another one was
	// known to be there, in those cases in which the window goes on until all nodes are in step again.
	cut, promoted int64
}

// run carries the tracks out and returns when the last fault is over.
func (n *nemesis) run(ctx context.Context, seed uint64, tracks []track, length time.Duration) {
	begun := time.Now()
	var running sync.WaitGroup
	for number, t := range tracks {
		running.Go(func() {
			for _, s := range t.plan(seed, number, length) {
				select {
				case <-time.After(time.Until(begun.Add(s.at))):
				case <-ctx.Done():
					return
				}
				if time.Since(begun) > length {
					return // those before took longer than planned
				}
				n.strike(ctx, s)
			}
		})
	}
	running.Wait()
	rest(ctx, time.Until(begun.Add(length)))
}

func (n *nemesis) strike(ctx context.Context, s stroke) {
	fault := faults[s.fault]
	if fault == nil {
		n.fail(fmt.Errorf("there is no fault %q", s.fault))
		return
	}
	w := window{fault: s.fault, from: time.Now().UnixMicro()}
	done, err := fault(ctx, n.rig, rand.New(rand.NewPCG(s.dice, 0)), &w)
	w.to = time.Now().UnixMicro()
	if err != nil {
		n.fail(fmt.Errorf("%s at %v: %w", s.fault, s.at.Round(time.Millisecond), err))
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.counts[s.fault] += done
	n.windows = append(n.windows, w)
}

func (n *nemesis) fail(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.errs = append(n.errs, err)
}

// faults are all kinds of fault, by name. Each does its work, waits until it is over, puts things right again, and returns
// how many faults it counts for.
var faults = map[string]func(ctx context.Context, r *rig, random *rand.Rand, w *window) (int, error){
	"worker-kill":             killWorker,
	"worker-kill-at-commit":   killWorkerAtCommit,
	"worker-kill-at-change":   killWorkerAfterChange,
	"worker-freeze":           freezeWorker,
	"worker-freeze-at-commit": freezeWorkerAtCommit,
	"reply-lost":              loseReplyOfWorker,
	"beat-kill":               killBeat,
	"beat-freeze":             freezeBeat,
	"beat-late":               delayBeat,
	"tick-late":               delayFire,
	"api-kill":                killAPI,
	"api-stop":                stopAPI,
	"producer-kill":           killProducer,
	"fleet-restart":           restartFleet,

	"net-slow":         strikeNetwork("net-slow"),
	"net-jitter":       strikeNetwork("net-jitter"),
	"net-cut":          strikeNetwork("net-cut"),
	"net-reset":        strikeNetwork("net-reset"),
	"net-partition":    strikeNetwork("net-partition"),
	"net-half-open":    strikeNetwork("net-half-open"),
	"net-slice":        strikeNetwork("net-slice"),
	"net-lose-replies": strikeNetwork("net-lose-replies"),
	"net-late":         strikeNetwork("net-late"),

	"redis-kill":     killRedis,
	"redis-freeze":   freezeRedis,
	"redis-sleep":    sleepRedis,
	"memory-full":    fillMemory,
	"script-flush":   simple("script", "flush"),
	"function-flush": simple("function", "flush"),
	"script-busy":    busyScript,
	"clients-kill":   simple("client", "kill", "type", "normal", "skipme", "yes"),
	"clients-pause":  pauseClients,
	"storm":          storm,

	"clock-jump":      jumpClock,
	"role-clock-jump": jumpRoleClock,

	"power-cut":         cutPower,
	"power-cut-synced":  cutPowerUnsynced,
	"failover-replica":  failOver,
	"failover-sentinel": failOverBySentinel,
	"failover-cluster":  failOverInCluster,

	"lose-task":   strikeData(loseTask),
	"lose-lease":  strikeData(loseLease),
	"strand-task": strikeData(strandTask),
	"add-ghost":   strikeData(addGhost),
	"lose-fence":  strikeData(loseFence),
}

func between(random *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(random.Int64N(int64(most-least)+1))
}

func pickOne[T any](random *rand.Rand, of []T) T { return of[random.IntN(len(of))] }

// rest waits, unless the run ends first.
func rest(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
