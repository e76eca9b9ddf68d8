package engine

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// Fast tasks let a worker fetch ahead, and then slow ones come: another worker must not wait for them.
func TestTasksThatWereFetchedAheadAreHandedBackIfTheSlotsAreBusy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, r, outcomes := newTestSlots(1, time.Hour)
		s.pace.note(time.Microsecond)
		room := s.acquire(t.Context())
		if room < 3 {
			t.Fatalf("room for %d tasks after fast ones", room)
		}
		release := make(chan struct{})
		slow := func(context.Context, []byte) ([]byte, error) { <-release; return nil, nil }
		begun := time.Now()
		during(t, s.surplus, func(context.Context) {
			s.start([]*attempt{held(r, "runs", slow), held(r, "waits", slow), held(r, "waits too", slow)})
			s.release(room - 3)

			for _, id := range []string{"waits", "waits too"} {
				o := <-outcomes
				if o.attempt.lease.ID() != id || o.kind != handedBack || !errors.Is(o.err, errSurplus) {
					t.Errorf("outcome %+v of %s, want %s handed back", o, o.attempt.lease.ID(), id)
				}
			}
			if took := time.Since(begun); took != surplusAfter {
				t.Errorf("handed back after %v, want %v", took, surplusAfter)
			}
			if n := s.wanted(); n != 0 {
				t.Errorf("%d tasks are wanted while the slot is busy", n)
			}
			close(release)
			if o := <-outcomes; o.attempt.lease.ID() != "runs" || o.kind != succeeded {
				t.Errorf("outcome %+v", o)
			}
			synctest.Wait()
			if n := s.wanted(); n != 1 {
				t.Errorf("%d tasks are wanted for one free slot after a slow task", n)
			}
		})
	})
}

func TestTasksThatWereFetchedAheadStayWhileTheyMove(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, r, outcomes := newTestSlots(1, time.Hour)
		s.pace.note(time.Microsecond)
		s.acquire(t.Context())
		during(t, s.surplus, func(context.Context) {
			attempts := make([]*attempt, 20)
			for i := range attempts {
				attempts[i] = held(r, string(rune('a'+i)), func(context.Context, []byte) ([]byte, error) {
					time.Sleep(surplusAfter - time.Millisecond)
					return nil, nil
				})
			}
			s.start(attempts)
			for range attempts {
				if o := <-outcomes; o.kind != succeeded {
					t.Errorf("task %s: %+v", o.attempt.lease.ID(), o)
				}
			}
		})
	})
}
