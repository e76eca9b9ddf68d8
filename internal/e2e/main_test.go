package e2e_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/seri-queue/seri/internal/proctest"
	"github.com/seri-queue/seri/internal/role"
)

// patience is how long anything may take until its test fails; nothing takes as long on a machine that is not overloaded.
const patience = 30 * time.Second

// roleVariable names the role that this binary is to play instead of running tests.
const roleVariable = "SERI_E2E_ROLE"

func TestMain(m *testing.M) {
	if name := os.Getenv(roleVariable); name != "" {
		play(name)
	}
	os.Exit(m.Run())
}

// play is the main function of a child. It does not return.
func play(name string) {
	r := map[string]role.Role{"api": new(role.API), "worker": new(role.Worker), "beat": new(role.Beat), "dev": new(role.Dev)}[name]
	if r == nil {
		fmt.Fprintf(os.Stderr, "there is no role %q\n", name)
		os.Exit(2)
	}
	go proctest.ExitWithParent(3, nil)
	role.Main(name, "A role, played by a test.", r)
}
