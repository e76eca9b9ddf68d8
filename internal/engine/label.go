package engine

import (
	"context"
	"runtime/pprof"
	"strconv"
	"sync"
	"sync/atomic"
)

// slotLabel is the profiler's label of a slot's goroutine, by which its stack is found among all others. The goroutines
// that a handler starts inherit it.
const slotLabel = "seri_slot"

func goroutines() *pprof.Profile { return pprof.Lookup("goroutine") }

// label is what a goroutine is labelled with. Labels are used again, so that a task costs a store of a pointer.
type label struct {
	slot string
	set  func()
}

var (
	slotNumber atomic.Int64
	labels     = sync.Pool{New: func() any {
		slot := strconv.FormatInt(slotNumber.Add(1), 10)
		labelled := pprof.WithLabels(context.Background(), pprof.Labels(slotLabel, slot))
		return &label{slot, func() { pprof.SetGoroutineLabels(labelled) }}
	}}
)
