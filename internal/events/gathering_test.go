package events

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seri-queue/seri"
)

// shows is a snapshot with a task for each that is asked for by its ID, and of no task otherwise.
var shows snapshots = func(f Filter) ([]seri.Info, error) {
	switch f.Task {
	case "":
		return nil, nil
	case "nobody":
		return nil, seri.ErrNotFound
	}
	return []seri.Info{{ID: f.Task, Queue: "q", Seq: 1, Payload: []byte(`"secret"`)}}, nil
}

func gather(t *testing.T, h *Hub) *Subscription {
	t.Helper()
	s, err := h.Gather(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func add(t *testing.T, s *Subscription, name string, f Filter) {
	t.Helper()
	if refused, err := s.Add(t.Context(), Wanted{name, f}); err != nil || refused[0] != nil {
		t.Fatal(refused, err)
	}
}

func TestGatheringIsAboutWhatWasAddedAndNotRemoved(t *testing.T) {
	m := newMemory("q")
	bubble(t, m, shows, Config{}, func(t *testing.T, h *Hub) {
		s := gather(t, h)
		m.append("q", progress("a", 2), progress("b", 2), progress("c", 2))
		expect(t, collect(t, s))

		add(t, s, "A", Filter{Task: "a"})
		add(t, s, "B", Filter{Task: "b", Queue: "q"})
		expect(t, collect(t, s), "Asnapshot(a:1)", "Bsnapshot(b:1)")
		m.append("q", progress("a", 3), progress("b", 3), progress("c", 3))
		expect(t, collect(t, s), "a:3", "b:3")

		if !s.Remove("A") || s.Remove("A") {
			t.Error("the first removal finds what is removed, the second does not")
		}
		m.append("q", progress("a", 4), progress("b", 4), progress("c", 4))
		expect(t, collect(t, s), "b:4")
	})
}

func TestRemovedInterestIsSilentAlthoughItsEventsWait(t *testing.T) {
	m := newMemory("q")
	bubble(t, m, shows, Config{}, func(t *testing.T, h *Hub) {
		s := gather(t, h)
		add(t, s, "A", Filter{Task: "a"})
		add(t, s, "B", Filter{Task: "b"})
		expect(t, collect(t, s), "Asnapshot(a:1)", "Bsnapshot(b:1)")
		m.append("q", progress("a", 2), progress("b", 2))
		pass(time.Second) // until the hub has handed them over

		s.Remove("A")

		expect(t, collect(t, s), "b:2")
	})
}

func TestEventThatMeetsSeveralInterestsComesOnce(t *testing.T) {
	m := newMemory("q")
	bubble(t, m, shows, Config{}, func(t *testing.T, h *Hub) {
		s := gather(t, h)
		for i, f := range []Filter{{}, {Task: "a"}, {Owner: "user:1"}, {Queue: "q"}, {Queue: "q", Type: "t"}, {Type: "t"}} {
			add(t, s, fmt.Sprint(i), f)
		}
		collect(t, s)

		m.append("q", progress("a", 2))

		expect(t, collect(t, s), "a:2")
	})
}

func TestGatheringThatIsFullLeavesAllSets(t *testing.T) {
	m := newMemory("q")
	bubble(t, m, nothing, Config{Buffer: 2000}, func(t *testing.T, h *Hub) {
		s := gather(t, h)
		for i := range 9 {
			add(t, s, fmt.Sprint(i), Filter{Owner: "user:1", Queue: "q"})
		}
		collect(t, s)
		collect(t, s) // what it was given is taken, so a full buffer is its own fault

		for seq := range uint64(20) {
			m.append("q", started("a", seq+1))
		}
		pass(time.Second)

		if _, err := s.Next(t.Context(), time.Second); !isSlow(err) {
			t.Errorf("got %v", err)
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		if n := len(h.index.byOwner); n != 0 {
			t.Errorf("%d sets are left", n)
		}
	})
}

func isSlow(err error) bool {
	_, slow := errors.AsType[*SlowError](err)
	return slow
}

func TestGatheringResumesAtItsOneCursor(t *testing.T) {
	m := newMemory("q", "r")
	bubble(t, m, shows, Config{}, func(t *testing.T, h *Hub) {
		s := gather(t, h)
		add(t, s, "A", Filter{Task: "a"})
		add(t, s, "R", Filter{Queue: "r"})
		collect(t, s)
		m.append("q", progress("a", 2))
		expect(t, collect(t, s), "a:2")
		cursor, err := ParseCursor(s.Cursor(), "")
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
		m.append("q", progress("a", 3), progress("b", 3))
		m.append("r", progress("z", 1))
		synctest.Wait() // for the hub: what it has not read comes in any order

		again, err := h.GatherAfter(t.Context(), cursor, map[string]Filter{"A": {Task: "a"}, "R": {Queue: "r"}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(again.Close)

		expect(t, collect(t, again), "a:3", "z:1")
		add(t, again, "B", Filter{Task: "b"})
		m.append("q", progress("b", 4))
		expect(t, collect(t, again), "Bsnapshot(b:1)", "b:4")
	})
}

func TestStreamsThatAreAddedDoNotBringUpThePast(t *testing.T) {
	m := newMemory("q", "r")
	bubble(t, m, shows, Config{}, func(t *testing.T, h *Hub) {
		m.append("r", progress("z", 1))
		pass(time.Second)
		s, err := h.GatherAfter(t.Context(), Cursor{}, map[string]Filter{"Q": {Queue: "q"}}) // from the beginning of q
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)

		add(t, s, "R", Filter{Queue: "r"}) // and of r from now on
		m.append("r", progress("z", 2))

		expect(t, collect(t, s), "Rsnapshot()", "z:2")
	})
}

func TestGapShowsEachInterestInTheStreamAnew(t *testing.T) {
	m := newMemory("q", "r")
	bubble(t, m, shows, Config{}, func(t *testing.T, h *Hub) {
		m.append("q", progress("a", 1))
		pass(time.Second)
		s := gather(t, h)
		add(t, s, "A", Filter{Task: "a"})
		add(t, s, "Q", Filter{Queue: "q"})
		add(t, s, "R", Filter{Queue: "r"})
		collect(t, s)
		m.setDown(true)
		pass(time.Second)
		m.append("q", progress("a", 2))
		m.append("q", progress("a", 3))
		m.trim("q", 2)
		m.setDown(false)

		expect(t, collect(t, s), "gap(q,more)", "Asnapshot(a:1)", "Qsnapshot()", "a:3")
	})
}

func TestAddRefusesATaskThatIsNotThere(t *testing.T) {
	m := newMemory("q")
	bubble(t, m, shows, Config{}, func(t *testing.T, h *Hub) {
		s := gather(t, h)

		refused, err := s.Add(t.Context(), Wanted{"A", Filter{Task: "a"}}, Wanted{"N", Filter{Task: "nobody"}}, Wanted{"B", Filter{Task: "b"}})

		if err != nil || refused[0] != nil || !errors.Is(refused[1], seri.ErrNotFound) || refused[2] != nil {
			t.Errorf("got %v, %v", refused, err)
		}
		if s.Remove("N") || len(h.index.byTask) != 2 {
			t.Error("it was added all the same")
		}
		expect(t, collect(t, s), "Asnapshot(a:1)", "Bsnapshot(b:1)")
	})
}

// alarm notes whether it was woken.
type alarm struct{ woken atomic.Int64 }

func (a *alarm) Wake() { a.woken.Add(1) }

func TestWhoPollsIsWokenAndKeepsNothing(t *testing.T) {
	m := newMemory("q")
	bubble(t, m, shows, Config{}, func(t *testing.T, h *Hub) {
		s, a := gather(t, h), new(alarm)
		s.Notify(a)
		add(t, s, "A", Filter{Task: "a"})
		var room Room
		poll := func() (got []string) {
			for more := true; more; {
				var frames []Frame
				var err error
				if frames, more, err = s.Poll(t.Context(), &room, func() { t.Error("it reads from Redis") }); err != nil {
					t.Fatal(err)
				}
				for _, f := range frames {
					got = append(got, short(t, f))
				}
			}
			return got
		}
		expect(t, poll(), "Asnapshot(a:1)")
		if n := a.woken.Load(); n != 0 {
			t.Errorf("it was woken %d times of nothing", n)
		}

		m.append("q", progress("a", 2))
		pass(time.Second)

		if n := a.woken.Load(); n != 1 {
			t.Errorf("it was woken %d times", n)
		}
		expect(t, poll(), "a:2")
		expect(t, poll())

		m.append("q", progress("a", 3))
		pass(time.Second)
		add(t, s, "B", Filter{Task: "b"}) // before the turn for which it was woken
		expect(t, poll(), "Bsnapshot(b:1)", "a:3")
		if cap(s.frames)+cap(s.batch)+cap(s.buf.items) > 0 {
			t.Error("it keeps room for events")
		}
		if room.Clear(); len(room.frames) > 0 || room.frames[:1][0].JSON != nil {
			t.Error("the room keeps frames")
		}
		s.Rest()
		if s.interests[0].known != nil {
			t.Error("it keeps what the snapshot has shown")
		}
	})
}

func TestWhoPollsSomeOfWhatWaitsIsToldThatThereIsMore(t *testing.T) {
	m := newMemory("q")
	bubble(t, m, shows, Config{}, func(t *testing.T, h *Hub) {
		s := gather(t, h)
		add(t, s, "A", Filter{Task: "a"})
		collect(t, s)
		last := uint64(1)
		emit := func(count int) {
			for range count {
				last++
				m.append("q", progress("a", last))
			}
			pass(time.Second)
		}
		emit(framesAtOnce + 1)
		var room Room
		poll := func() (int, bool) {
			frames, more, err := s.Poll(t.Context(), &room, func() {})
			if err != nil {
				t.Fatal(err)
			}
			return len(frames), more
		}

		if n, more := poll(); n != framesAtOnce || !more {
			t.Errorf("got %d frames, %t", n, more)
		}
		emit(1) // of which the reader is told before it has taken what was left
		if n, more := poll(); n != 1 || !more {
			t.Errorf("got %d frames, %t", n, more)
		}
		if n, more := poll(); n != 1 || more {
			t.Errorf("got %d frames, %t", n, more)
		}
	})
}

func TestWhoPollsTheLastOfAHubThatHasStoppedIsWokenForTheEnd(t *testing.T) {
	a := new(alarm)
	var b buffer
	b.open(1000, a, Cursor{})
	b.push(&item{}, 0)
	b.end(ErrStopped)
	a.woken.Store(0)

	if items, err := b.take(nil); len(items) != 1 || err != nil || a.woken.Load() != 1 {
		t.Errorf("got %v, %v, and was woken %d times", items, err, a.woken.Load())
	}
	if _, err := b.take(nil); !errors.Is(err, ErrStopped) {
		t.Error(err)
	}
}

func TestWhoResumesByPollingSaysThatItIsSlow(t *testing.T) {
	m := newMemory("q")
	write(m, 10)
	bubble(t, m, shows, Config{}, func(t *testing.T, h *Hub) {
		s := resumeGathering(t, h, Position{}, "a")
		slow := 0

		frames, more, err := s.Poll(t.Context(), new(Room), func() { slow++ })

		if err != nil || len(frames) != 10 || !more || slow == 0 {
			t.Errorf("got %d frames, %t and %v, and was slow %d times", len(frames), more, err, slow)
		}
	})
}

func TestAliveTellsACursorThatHasMovedOn(t *testing.T) {
	m := newMemory("q")
	bubble(t, m, shows, Config{}, func(t *testing.T, h *Hub) {
		s := gather(t, h)
		add(t, s, "A", Filter{Task: "a"})
		collect(t, s)
		last := m.append("q", progress("b", 1))
		collect(t, s)

		frame, err := s.Alive()
		if err != nil {
			t.Fatal(err)
		}

		if want := (Cursor{}).With("q", Position{last, 0}).String(); frame.Cursor != want || short(t, frame) != "alive" {
			t.Errorf("got %s, want the cursor %s", frame.JSON, want)
		}
	})
}

func TestBareSnapshotsHaveNoPayloads(t *testing.T) {
	bubble(t, newMemory("q"), shows, Config{}, func(t *testing.T, h *Hub) {
		for bare, want := range map[bool]bool{false: true, true: false} {
			frames := drainFrames(t, subscribe(t, h, Filter{Task: "a", Bare: bare}), 1)

			if got := contains(frames[0].JSON, "secret"); got != want {
				t.Errorf("bare %v: %s", bare, frames[0].JSON)
			}
		}
	})
}

func TestScheduleIsWatchedByItsID(t *testing.T) {
	m := newMemory("q")
	bubble(t, m, nothing, Config{}, func(t *testing.T, h *Hub) {
		s := subscribe(t, h, Filter{Schedule: "nightly"})
		drainFrames(t, s, 1)
		m.append("q", progress("a", 1))
		m.text("q", `[{"kind":"schedule.fired","schedule":"hourly","at":1},{"kind":"schedule.fired","schedule":"nightly","at":1}]`)

		frames := drainFrames(t, s, 1)

		if !contains(frames[0].JSON, `"subject":"nightly"`) {
			t.Errorf("got %s", frames[0].JSON)
		}
		expect(t, collect(t, s))
	})
}
