package gateway

import (
	"context"
	"time"
)

const (
	// rush is how many comings and goings leave so much behind that it is worth giving back: some ten megabytes.
	rush = 1000
	// lull is how long nearly nobody comes or goes when a rush is over.
	lull = 5 * time.Second
	// glimpse is how often the door is looked at.
	glimpse = 500 * time.Millisecond
)

// tidy gives back, once a rush is over, the memory that it took to let everybody in. The runtime would keep it for the next
// one: of thousands who are idle meanwhile, a third more than they need.
func (g *Gateway) tidy(ctx context.Context) {
	tick := time.NewTicker(glimpse)
	defer tick.Stop()
	tidied, before, calm := 0, 0, 0 // comings and goings: then, at the last look, and since when there were few
	quiet := time.Duration(0)
	stretched := 0 // for how many looks more
	defer g.memory.relax()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := g.door.moved()
		switch {
		case now-before >= rush/20:
			stretched = int(lull / glimpse)
			g.memory.stretch()
		case stretched > 1:
			g.memory.stretch() // there may live more by now
			stretched--
		case stretched == 1:
			g.memory.relax()
			stretched = 0
		}
		before = now
		if quiet += glimpse; now-calm >= rush/100 {
			quiet, calm = 0, now
		}
		if quiet < lull {
			continue
		}
		if now-tidied >= rush {
			g.memory.giveBack()
			tidied = now
		}
	}
}
