package model_test

import (
	"strings"
	"testing"

	"github.com/seri-queue/seri/internal/chaos/model"
)

// whole is the protocol as it is.
var whole = model.Protocol{
	Fencing: true, Nonce: true, Equality: true, Clock: true,
	Leases: 3, Time: 2, Failovers: 1, Doubles: 1,
}

func TestTheProtocolHoldsInEveryStateWithinItsBounds(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*model.Protocol){
		"one failover, three leases":      func(*model.Protocol) {},
		"two failovers, three leases":     func(p *model.Protocol) { p.Failovers, p.Time = 2, 1 },
		"no failover, four leases":        func(p *model.Protocol) { p.Failovers, p.Leases = 0, 4 },
		"tokens that are a mere counter":  func(p *model.Protocol) { p.Clock = false }, // the nonce is enough for Redis' own state
		"the nonce alone, without tokens": func(p *model.Protocol) { p.Fencing = false },
		"tokens and no failover":          func(p *model.Protocol) { p.Nonce, p.Failovers = false, 0 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := whole
			change(&p)

			states, found := model.Search(p)

			t.Logf("%d states", states)
			if found != nil {
				t.Error(found)
			}
			if states < 5_000 {
				t.Errorf("%d states are too few to mean anything", states)
			}
		})
	}
}

// Without one of its safeguards the protocol is wrong, and the search must find out how.
func TestASafeguardLessIsFoundOut(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		without func(*model.Protocol)
		what    string
	}{
		"neither token nor nonce, as in asynq":               {func(p *model.Protocol) { p.Fencing, p.Nonce = false, false }, "another"},
		"no nonce, and tokens that are a counter":            {func(p *model.Protocol) { p.Nonce, p.Clock = false, false }, "another"},
		"no nonce, and a failover faster than the clock":     {func(p *model.Protocol) { p.Nonce = false }, "another"},
		"no nonce, and tokens that need only be high enough": {func(p *model.Protocol) { p.Nonce, p.Equality = false, false }, "another"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := whole
			c.without(&p)

			states, found := model.Search(p)

			if found == nil {
				t.Fatalf("nothing is wrong in %d states", states)
			}
			t.Logf("%d states; %v", states, found)
			if !strings.Contains(found.What, c.what) {
				t.Errorf("it says nothing of %q", c.what)
			}
			if len(found.Steps) < 4 {
				t.Errorf("%d steps are too few to be true", len(found.Steps))
			}
		})
	}
}
