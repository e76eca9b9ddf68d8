package gateway

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
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

// memory is what a rush is let have of it.
type memory interface {
	// stretch lets more garbage lie about, for the time being.
	stretch()
	// relax ends that.
	relax()
	// giveBack returns to the system what is not needed.
	giveBack()
}

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

// heap is the process's.
type heap struct {
	percent int // GOGC, while it is stretched; 0: it is not
}

// headroom is how much more garbage may lie about in a rush, in bytes. A connection that is made leaves some 20 KB behind; what lives
// is little at first, and the collector would go over it again for each few hundred who come: a fifth of the work of letting
// them in. Under a GOMEMLIMIT it is collected in time all the same.
const headroom = 64 << 20

func (h *heap) stretch() {
	if os.Getenv("GOGC") != "" { // the operator has decided
		return
	}
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	if h.percent == 0 {
		h.percent = debug.SetGCPercent(-1)
	}
	debug.SetGCPercent(max(h.percent, 0) + headroom*100/int(max(live[0].Value.Uint64(), 4<<20)))
}

func (h *heap) relax() {
	if h.percent != 0 {
		debug.SetGCPercent(h.percent)
		h.percent = 0
	}
}

func (h *heap) giveBack() { debug.FreeOSMemory() }
