package gateway

import (
	"os"
	"runtime/debug"
	"runtime/metrics"
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
	debug.SetGCPercent(max(h.percent, 0) + int(headroom*100/max(live[0].Value.Uint64(), 4<<20)))
}

func (h *heap) relax() {
	if h.percent != 0 {
		debug.SetGCPercent(h.percent)
		h.percent = 0
	}
}

func (h *heap) giveBack() { debug.FreeOSMemory() }
