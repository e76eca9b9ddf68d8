package gateway

import (
	"testing"
	"time"

	"github.com/seri-queue/seri/internal/events"
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

func TestAPingComesWhenNothingElseDoes(t *testing.T) {
	t.Parallel()
	const every = 10 * time.Second
	for name, c := range map[string]struct{ pinged, spoken, heard, want moment }{
		"nothing has happened":              {0, 0, 0, every},
		"the client has been told a thing":  {0, 6 * time.Second, 0, every + 5*time.Second},
		"it is told things all the time":    {0, 14 * time.Second, 0, every + 5*time.Second},
		"and answers":                       {15 * time.Second, 14 * time.Second, 15 * time.Second, 25 * time.Second},
		"it says things and is told things": {0, 14 * time.Second, 14 * time.Second, 24 * time.Second},
		"it says things and is told none":   {0, 0, 9 * time.Second, every},
		"it does not answer":                {10 * time.Second, 0, 0, 2 * every},
	} {
		p := &peer{g: &Gateway{cfg: Config{Ping: every}}, pinged: c.pinged, spoken: c.spoken, heard: c.heard}
		if got := p.nextPing(); got != c.want {
			t.Errorf("%s: the next ping is at %v, want %v", name, got, c.want)
		}
	}
}

func TestAPageIsToldInTimeThatNothingHasCome(t *testing.T) {
	t.Parallel()
	g, err := New(nil, Config{Ping: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	// It was pinged because it had said nothing for long, just after it had been told something.
	p := &peer{g: g, stream: new(events.Subscription), heard: 15 * time.Second, pinged: 15 * time.Second, spoken: 6 * time.Second}
	if got := p.due(); got != 16*time.Second {
		t.Errorf("a page is told something at %v", got)
	}
	p.plain = true
	if got := p.due(); got != 25*time.Second {
		t.Errorf("a plain client is pinged at %v", got)
	}
}
