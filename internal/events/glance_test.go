package events

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// looking is a stream whose end is found out in a second, and grows by one with every look.
type looking struct{ looks atomic.Int64 }

func (l *looking) look(ctx context.Context) (EntryID, error) {
	n := l.looks.Add(1)
	select {
	case <-time.After(time.Second):
		return EntryID{Ms: uint64(n)}, nil
	case <-ctx.Done():
		return EntryID{}, context.Cause(ctx)
	}
}

func TestThoseWhoComeTogetherShareALook(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var g glances
		var l looking
		begun := time.Now()
		ask := func(want uint64) {
			if end, err := g.share(t.Context(), "q", l.look); err != nil || end.Ms != want {
				t.Errorf("got %v, %v, want that of look %d", end, err, want)
			}
		}

		go ask(1)
		synctest.Wait()
		for range 100 { // after the first has begun: it may not have seen what they have
			go ask(2)
		}
		synctest.Wait()
		time.Sleep(1500 * time.Millisecond) // the second one is on its way
		go ask(3)
		time.Sleep(time.Minute)
		synctest.Wait()

		if n := l.looks.Load(); n != 3 {
			t.Errorf("looked %d times in %v, want 3", n, time.Since(begun))
		}
		if len(g.streams) != 0 {
			t.Errorf("%d streams are kept", len(g.streams))
		}
	})
}

func TestWhoGoesAwayTakesNoLookWithHim(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var g glances
		var l looking
		gone, leave := context.WithCancel(t.Context())
		first, waits, stays := make(chan error, 1), make(chan error, 1), make(chan error, 1)
		ask := func(ctx context.Context, answer chan<- error) {
			_, err := g.share(ctx, "q", l.look)
			answer <- err
		}

		go ask(gone, first)
		synctest.Wait()
		go ask(gone, waits)
		synctest.Wait()
		go ask(t.Context(), stays)
		synctest.Wait()
		leave()

		if err := <-waits; !errors.Is(err, context.Canceled) {
			t.Errorf("who has gone while he waited got %v", err)
		}
		if err := <-first; err != nil {
			t.Errorf("who has gone while he looked got %v", err)
		}
		if err := <-stays; err != nil {
			t.Errorf("who has stayed got %v", err)
		}
	})
}

func TestLooksAtDifferentStreamsDoNotWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var g glances
		var l looking
		begun := time.Now()
		answers := make(chan error, 2)
		for _, queue := range []string{"a", "b"} {
			go func() {
				_, err := g.share(t.Context(), queue, l.look)
				answers <- err
			}()
		}
		if err := errors.Join(<-answers, <-answers); err != nil || time.Since(begun) != time.Second {
			t.Errorf("took %v, %v", time.Since(begun), err)
		}
	})
}
