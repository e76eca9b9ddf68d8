package gateway

import (
	"testing"
	"time"

	"github.com/seri-queue/seri/internal/token"
)

func TestClockThatIsPutBackPutsOffATokensEnd(t *testing.T) {
	t.Parallel()
	g, err := New(nil, Config{Ping: 24 * time.Hour, Patience: 24 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	g.now = func() time.Time { return time.Now().Add(-time.Hour) } // since g was made
	p := &peer{g: g, worker: new(worker)}
	p.hold([]grant{{pass: token.Pass{Expires: g.now().Add(time.Minute)}}})
	p.asked, p.heard, p.pinged = g.moment(), g.moment(), g.moment()

	before := g.moment()
	p.worker.at = before
	due := p.due()

	if wait := due - before; wait < 50*time.Second || wait > time.Minute+(g.moment()-before) {
		t.Errorf("a token that ends in a minute is looked at in %v", wait)
	}
}
