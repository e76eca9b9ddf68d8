package gateway

import (
	"context"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

var garbage [][]byte

// TestGarbageDoesNotFillTheHouse is not parallel: it measures the whole process.
func TestGarbageDoesNotFillTheHouse(t *testing.T) {
	runtime.GC()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	before := occupied()
	const room = 64 << 20
	garbage = append(garbage, make([]byte, room))
	garbage = nil

	if grown := int64(occupied()) - int64(before); grown > room/4 {
		t.Errorf("%d bytes of garbage count as %d", room, grown)
	}
	garbage = append(garbage, make([]byte, room))
	runtime.GC()
	if grown := int64(occupied()) - int64(before); grown < room/2 {
		t.Errorf("%d bytes that live count as %d", room, grown)
	}
	garbage = nil
}

// counted is memory that counts what is given back.
type counted struct {
	stretched atomic.Bool
	given     atomic.Int64
}

func (c *counted) stretch()  { c.stretched.Store(true) }
func (c *counted) relax()    { c.stretched.Store(false) }
func (c *counted) giveBack() { c.given.Add(1) }

// TestARushIsLetHaveMemory is not parallel: it is about the whole process.
func TestARushIsLetHaveMemory(t *testing.T) {
	t.Setenv("GOGC", "")
	usual := debug.SetGCPercent(100)
	defer debug.SetGCPercent(usual)
	runtime.GC()
	goal := func() int {
		goal := []metrics.Sample{{Name: "/gc/heap/goal:bytes"}}
		metrics.Read(goal)
		return int(goal[0].Value.Uint64())
	}
	h, before := new(heap), goal()

	h.stretch()
	h.stretch()

	if more := goal() - before; more < headroom/2 || more > 2*headroom {
		t.Errorf("%d bytes more may lie about, want some %d", more, headroom)
	}
	h.relax()
	if percent := debug.SetGCPercent(100); percent != 100 {
		t.Errorf("then GOGC is %d", percent)
	}
	t.Setenv("GOGC", "100")
	h.stretch()
	if percent := debug.SetGCPercent(100); percent != 100 {
		t.Errorf("an operator's GOGC was changed to %d", percent)
	}
}

func TestMemoryIsGivenBackWhenARushIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, err := New(nil, Config{Connections: 100_000})
		if err != nil {
			t.Fatal(err)
		}
		kept := new(counted)
		g.memory = kept
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			g.tidy(ctx)
			close(ended)
		}()
		come := func(n int) {
			for range n {
				g.door.admit("", "")
			}
		}

		time.Sleep(glimpse / 2) // between two looks
		come(rush / 10)
		for range 30 { // a burst, and a trickle after it
			time.Sleep(lull / 10)
			come(rush / 100)
		}
		if kept.stretched.Load() {
			t.Error("stretched though there is but a trickle")
		}
		for range 20 { // a rush that goes on
			come(rush / 10)
			time.Sleep(lull / 2)
		}
		if n := kept.given.Load(); n != 0 || !kept.stretched.Load() {
			t.Errorf("in the midst of a rush, given back %d times, stretched %v", n, kept.stretched.Load())
		}
		for range 200 { // and then those who come now and then
			come(rush / 1000)
			time.Sleep(lull)
		}
		if n := kept.given.Load(); n != 1 || kept.stretched.Load() {
			t.Errorf("after a rush, given back %d times, stretched %v", n, kept.stretched.Load())
		}
		for range 2 * rush {
			g.door.leave("", "")
		}
		time.Sleep(3 * lull)
		if n := kept.given.Load(); n != 2 || kept.stretched.Load() {
			t.Errorf("after all have gone, given back %d times, stretched %v", n, kept.stretched.Load())
		}

		stop()
		<-ended
	})
}
