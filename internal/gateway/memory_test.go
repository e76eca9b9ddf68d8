package gateway

import (
	"context"
	"runtime"
	"runtime/debug"
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

func TestMemoryIsGivenBackWhenARushIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, err := New(nil, Config{Connections: 100_000})
		if err != nil {
			t.Fatal(err)
		}
		var given atomic.Int64
		g.giveBack = func() { given.Add(1) }
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

		time.Sleep(lull / 2) // between two looks
		for range 20 {       // a rush that goes on
			come(rush / 10)
			time.Sleep(lull)
		}
		if n := given.Load(); n != 0 {
			t.Errorf("given back %d times in the midst of a rush", n)
		}
		for range 200 { // and then those who come now and then
			come(rush / 1000)
			time.Sleep(lull)
		}
		if n := given.Load(); n != 1 {
			t.Errorf("given back %d times after a rush", n)
		}
		for range 2 * rush {
			g.door.leave("", "")
		}
		time.Sleep(3 * lull)
		if n := given.Load(); n != 2 {
			t.Errorf("given back %d times after all have gone", n)
		}

		stop()
		<-ended
	})
}
