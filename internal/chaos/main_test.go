package chaos_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/seri-queue/seri/internal/proctest"
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
	var err error
	switch p.Role {
	case "worker":
		err = p.work()
	case "producer":
		err = p.produce()
	case "beat":
		err = p.beat()
	case "locker":
		err = p.lock()
	case "api":
		go proctest.ExitWithParent(3, nil)
		os.Args = append(os.Args[:1], p.Args...)
		role.Main("api", "The API, played by a test.", new(role.API))
	default:
		err = fmt.Errorf("there is no role %q", p.Role)
	}
	if err != nil {
		die(err)
	}
	os.Exit(0)
}

func die(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(2)
}
