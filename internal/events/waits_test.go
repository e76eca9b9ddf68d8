package events

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestSnapshotThatIsOwedIsWaitedForHalfAMinute is about the waits in which no sign of life can be given, because what was said
// last has to be followed by a snapshot.
func TestSnapshotThatIsOwedIsWaitedForHalfAMinute(t *testing.T) {
	for name, wait := range map[string]func(t *testing.T, h *Hub, m *memory) (*Subscription, func()){
		"at the beginning": func(t *testing.T, h *Hub, _ *memory) (*Subscription, func()) {
			s, err := h.Gather(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			h.reading <- struct{}{}
			return s, func() {}
		},
		"after a loss, for a turn to read it": func(t *testing.T, h *Hub, _ *memory) (*Subscription, func()) {
			s := subscribe(t, h, Filter{Queue: "q"})
			if _, err := s.Next(t.Context(), time.Hour); err != nil {
				t.Fatal(err)
			}
			h.lose("q", Position{EntryID{5, 0}, -1}, nil, true)
			h.reading <- struct{}{}
			return s, func() {}
		},
		"after a gap in one queue, for a turn to look at the next": func(t *testing.T, h *Hub, m *memory) (*Subscription, func()) {
			m.trim("q", 1)
			before := Position{EntryID{1, 0}, 0}
			s, err := h.GatherAfter(t.Context(), Cursor{}.With("q", before).With("r", before), map[string]Filter{"a": {Task: "a"}})
			if err != nil {
				t.Fatal(err)
			}
			h.catching <- struct{}{} // somebody is before us
			return s, func() {
				synctest.Wait()
				go func() { h.catching <- struct{}{} }() // and somebody behind us, who takes the turn after our first
				synctest.Wait()
				<-h.catching
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMemory("q", "r")
			write(m, 3)
			m.append("r", progress("z", 1))
			bubble(t, m, nothing, Config{CatchUps: 1, Snapshots: 1}, func(t *testing.T, h *Hub) {
				time.Sleep(time.Second)
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				s, meanwhile := wait(t, h, m)
				defer s.Close()
				began := time.Now()
				waited := make(chan error)
				go func() {
					if name == "at the beginning" {
						_, err := s.Add(ctx, Wanted{Name: "a", Filter: Filter{Queue: "q"}})
						waited <- err
						return
					}
					_, err := s.Next(ctx, time.Hour)
					waited <- err
				}()
				meanwhile()

				if err := <-waited; !errors.Is(err, errBusy) || time.Since(began) != inSilence {
					t.Errorf("got %v after %v", err, time.Since(began))
				}
			})
		})
	}
}
