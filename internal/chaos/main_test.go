package chaos_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/proctest"
	"github.com/seri-queue/seri/internal/redisurl"
	"github.com/seri-queue/seri/internal/role"
)

var (
	suite  = flag.String("suite", "", "what to run: smoke (90 s), full (12 min), soak; make chaos-smoke, chaos and soak set it")
	seed   = flag.Uint64("seed", 0, "repeats the plan of faults of a run that has printed this seed; 0: a new one")
	length = flag.Duration("for", time.Hour, "how long the soak lasts")
	report = flag.String("report", "", "a file for the figures of the run, as JSON")
	keep   = flag.Bool("keep", false, "keep ledgers and logs, and say where they are")
)

// partVariable holds the part that this binary is to play instead of running tests, as JSON.
const partVariable = "SERI_CHAOS_PART"

// part is what a child is told.
type part struct {
	Role     string
	Redis    string // URL
	Dir      string // for the ledger
	Queues   []string
	Register string        `json:",omitempty"` // host:port
	Lease    time.Duration `json:",omitempty"`
	Slots    int           `json:",omitempty"`
	Rate     int           `json:",omitempty"` // tasks a second
	Mix      string        `json:",omitempty"`
	Seed     uint64        `json:",omitempty"`
	Name     string        `json:",omitempty"` // what IDs begin with
	Args     []string      `json:",omitempty"`
	Clock    string        `json:",omitempty"` // a file that says how wrong its clocks are; empty: they are right
	Library  string        `json:",omitempty"` // that makes them wrong
	Idle     bool          `json:",omitempty"` // it does nothing: what others of its role are compared with
}

func TestMain(m *testing.M) {
	if encoded := os.Getenv(partVariable); encoded != "" {
		var p part
		if err := json.Unmarshal([]byte(encoded), &p); err != nil {
			die(err)
		}
		p.play()
	}
	os.Exit(m.Run())
}

// play is the main function of a child. It does not return.
func (p part) play() {
	if p.Role == "clock" {
		tellClock()
		os.Exit(0)
	}
	on, err := p.enter()
	if err != nil {
		die(err)
	}
	go proctest.ExitWithParent(3, on.hear)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	switch p.Role {
	case "worker":
		err = p.work(ctx, on)
	case "producer":
		err = p.produce(ctx, on)
	case "beat":
		err = p.beat(ctx, on)
	case "locker":
		err = p.lock(ctx, on)
	case "api", "worker command", "beat command":
		stop() // a command sees to its signals itself
		os.Args = append(os.Args[:1], p.Args...)
		command := strings.TrimSuffix(p.Role, " command")
		role.Main(command, "Played by a test.", map[string]role.Role{
			"api": new(role.API), "worker": new(role.Worker), "beat": new(role.Beat),
		}[command])
	default:
		err = fmt.Errorf("there is no role %q", p.Role)
	}
	stop()
	if err != nil {
		die(err)
	}
	os.Exit(0)
}

// stage is what every child has: where it notes things, its way to Redis, the faults that lie in wait there, and the ear
// for what the harness tells it.
type stage struct {
	notes   *ledger
	rdb     redis.UniversalClient
	points  *failpoints
	vitals  *ledger
	resting atomic.Bool // hands over nothing and takes no lock
}

// enter opens what a child needs.
func (p part) enter() (*stage, error) {
	notes, err := openLedger(ledgerPath(p.Dir, p.Role, os.Getpid()))
	if err != nil {
		return nil, err
	}
	vitals, err := openLedger(vitalsPath(p.Dir, os.Getpid()))
	if err != nil {
		return nil, err
	}
	rdb, err := redisurl.Open(p.Redis)
	if err != nil {
		return nil, err
	}
	on := &stage{notes: notes, rdb: rdb, points: newFailpoints(notes), vitals: vitals}
	on.resting.Store(p.Idle)
	rdb.AddHook(on.points)
	return on, nil
}

// hear takes a line of the harness: to rest, to say how one is, or a fail-point.
func (on *stage) hear(line string) {
	switch line {
	case "rest":
		on.resting.Store(true)
	case "vitals":
		on.vitals.note(noteVitals, "self", uint64(runtime.NumGoroutine()), heapInUse())
	case "stacks":
		_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 1) // whose end is in the log
	default:
		on.points.arm(line)
	}
}

func die(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(2)
}
