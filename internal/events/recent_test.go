package events

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// resumeGathering resumes a subscription to tasks at a place of queue q.
func resumeGathering(t *testing.T, h *Hub, after Position, tasks ...string) *Subscription {
	t.Helper()
	named := make(map[string]Filter)
	for _, task := range tasks {
		named[task] = Filter{Task: task, Queue: "q"}
	}
	s, err := h.GatherAfter(t.Context(), Cursor{}.With("q", after), named)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// write appends n entries of two tasks' events, the numbers from 1 on, and returns their IDs.
func write(m *memory, n int) []EntryID {
	ids := make([]EntryID, n)
	for i := range ids {
		ids[i] = m.append("q", progress("a", uint64(i+1)), progress("b", uint64(i+1)))
	}
	return ids
}

// numbers are what is received of a task: the numbers after from up to n.
func numbers(task string, from, n int) []string {
	var all []string
	for i := from + 1; i <= n; i++ {
		all = append(all, fmt.Sprintf("%s:%d", task, i))
	}
	return all
}

func TestAResumeIsServedFromMemory(t *testing.T) {
	const entries = 3*pageRecords + 10
	for name, open := range map[string]func(t *testing.T, h *Hub, after Position) *Subscription{
		"by task": func(t *testing.T, h *Hub, after Position) *Subscription {
			return resumeGathering(t, h, after, "a", "c")
		},
		"by owner": func(t *testing.T, h *Hub, after Position) *Subscription {
			return resume(t, h, Filter{Owner: "user:1", Task: "a"}, Cursor{}.With("q", after).String())
		},
		"by type, which every event has": func(t *testing.T, h *Hub, after Position) *Subscription {
			return resume(t, h, Filter{Type: "t", Queue: "q"}, after.String())
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMemory("q")
			bubble(t, m, nothing, Config{}, func(t *testing.T, h *Hub) {
				time.Sleep(time.Second)
				ids := write(m, entries)
				time.Sleep(2 * time.Second)
				for _, seen := range []int{1, pageRecords, pageRecords + 1, 2*pageRecords + 7, entries - 1, entries} {
					m.count()
					s := open(t, h, Position{ids[seen-1], 1})

					got := collect(t, s)

					got = slices.DeleteFunc(got, func(e string) bool { return e[0] == 'b' })
					expect(t, got, numbers("a", seen, entries)...)
					if ranges, _ := m.count(); ranges > 0 {
						t.Errorf("after %d, the stream was read %d times", seen, ranges)
					}
				}
			})
		})
	}
}

func TestResumesBeforeTheMemoryShareWhatOneHasRead(t *testing.T) {
	const entries, clients = 40 * catchUpEntries, 50
	m := newMemory("q")
	ids := write(m, entries)
	bubble(t, m, nothing, Config{}, func(t *testing.T, h *Hub) { // a hub that begins at the end
		time.Sleep(time.Second)
		m.count()
		type result struct {
			seen int
			got  []string
		}
		results := make(chan result)
		for i := range clients {
			seen := 1 + i*7
			s := resumeGathering(t, h, Position{ids[seen-1], 1}, "a")
			go func() {
				var got []string
				for len(got) < entries-seen {
					frames, err := s.Next(t.Context(), time.Minute)
					if err != nil {
						t.Error(err)
						break
					}
					for _, f := range frames {
						got = append(got, short(t, f))
					}
				}
				results <- result{seen, got}
			}()
		}
		for range clients {
			r := <-results
			expect(t, r.got, numbers("a", r.seen, entries)...)
		}
		// Each would need 40 by himself.
		if ranges, _ := m.count(); ranges > 40+clients*2 {
			t.Errorf("the stream was read %d times", ranges)
		}
	})
}

func TestMemoryIsBoundedAndWhatItHasLostIsReadFromTheStream(t *testing.T) {
	const limit, entries = 50_000, 1000
	m := newMemory("q", "r")
	bubble(t, m, nothing, Config{Recent: limit}, func(t *testing.T, h *Hub) {
		time.Sleep(time.Second)
		m.append("r", progress("z", 1))
		ids := write(m, entries)
		time.Sleep(2 * time.Second)

		for _, seen := range []int{1, 300, entries - 1} {
			expect(t, collect(t, resumeGathering(t, h, Position{ids[seen-1], 1}, "a")), numbers("a", seen, entries)...)
		}

		h.recent.mu.Lock()
		defer h.recent.mu.Unlock()
		newest, lent := 0, 0
		for _, s := range h.recent.shelves {
			for _, p := range s.newest {
				newest += p.bytes
			}
			for _, p := range s.read {
				lent += p.bytes
			}
		}
		if newest != h.recent.bytes || newest > limit || lent != h.recent.lent || lent > limit/2 {
			t.Errorf("%d bytes of newest entries, %d by its count, and %d of read ones, %d by its count", newest, h.recent.bytes, lent, h.recent.lent)
		}
	})
}

func TestWhoIsFarBehindSaysHowFarHeHasCome(t *testing.T) {
	m := newMemory("q")
	first := m.append("q", progress("a", 1))
	write := func(n int) {
		for i := range n {
			m.append("q", progress("other", uint64(i)))
		}
	}
	write(3 * stride * catchUpEntries)
	bubble(t, m, nothing, Config{}, func(t *testing.T, h *Hub) {
		m.append("q", progress("a", 2))
		cursor, rests := Cursor{}.With("q", Position{first, 0}), 0
		for {
			s, err := h.GatherAfter(t.Context(), cursor, map[string]Filter{"a": {Task: "a"}})
			if err != nil {
				t.Fatal(err)
			}
			frames, err := s.Next(t.Context(), time.Minute)
			s.Close() // cut, and another time begun
			if err != nil {
				t.Fatal(err)
			}
			if len(frames) > 0 {
				expect(t, []string{short(t, frames[0])}, "a:2")
				break
			}
			frame, err := s.Alive()
			if err != nil || !s.Behind() {
				t.Fatal(err, s.Behind())
			}
			next, err := ParseCursor(frame.Cursor, "")
			if err != nil || next.At("q").Compare(cursor.At("q")) <= 0 {
				t.Fatalf("from %v it came to %v, %v", cursor, next, err)
			}
			cursor = next
			rests++
		}
		if rests != 3 {
			t.Errorf("it has rested %d times", rests)
		}
	})
}

func TestWhatWasReadOfALostHistoryIsNotKept(t *testing.T) {
	m := newMemory("q")
	bubble(t, m, nothing, Config{}, func(t *testing.T, h *Hub) {
		synctest.Wait()
		old := h.recent.shelf("q")
		entries := []entry{{id: EntryID{1, 0}, text: "[]"}, {id: EntryID{2, 0}, text: "[]"}}
		h.lose("q", Position{EntryID{5, 0}, -1}, nil, true)

		h.recent.keep("q", old, entries)

		if _, kept := h.recent.after("q", Position{EntryID{1, 0}, MaxIndex}); kept != none {
			t.Error("it was kept")
		}
		h.recent.keep("q", h.recent.shelf("q"), entries)
		if _, kept := h.recent.after("q", Position{EntryID{1, 0}, MaxIndex}); kept != some {
			t.Error("what was read of this history was not kept")
		}
	})
}

func TestATurnIsForgottenWithItsLastUser(t *testing.T) {
	t.Parallel()
	var all turns
	done, err := all.take(t.Context(), "q")
	if err != nil {
		t.Fatal(err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for i := range 100 { // of a cursor that a client has made up
		if given, err := all.take(t.Context(), fmt.Sprint("made up ", i)); err == nil {
			given()
		}
		if _, err := all.take(gone, "q"); err == nil {
			t.Fatal("two have the turn at once")
		}
	}
	if len(all.streams) != 1 {
		t.Errorf("%d streams are known, at one is somebody", len(all.streams))
	}
	next := make(chan error)
	go func() {
		done, err := all.take(t.Context(), "q")
		if err == nil {
			done()
		}
		next <- err
	}()
	done()
	if err := <-next; err != nil {
		t.Error(err)
	}
	if len(all.streams) != 0 {
		t.Errorf("%d streams are known, at none is anybody", len(all.streams))
	}
}

func TestResumesAtTheEndOfAQuietQueueAreServedFromMemory(t *testing.T) {
	m := newMemory("q", "r")
	m.append("r", progress("z", 1))
	ids := write(m, 3)
	bubble(t, m, nothing, Config{Recent: 50_000}, func(t *testing.T, h *Hub) {
		time.Sleep(time.Second)
		check := func(when string, last EntryID) {
			t.Helper()
			for n := range 4 {
				m.count()
				expect(t, collect(t, resumeGathering(t, h, Position{last, 1}, "a")))
				if ranges, _ := m.count(); n > 0 && ranges > 0 { // who is first reads where the entry ends
					t.Errorf("%s, resume %d read the stream %d times", when, n, ranges)
				}
			}
		}
		check("after the hub's start", ids[2])

		ids = write(m, 3)
		time.Sleep(2 * time.Second)
		for n := range 1000 { // by which the queue's entries are let go of
			m.append("r", progress("z", uint64(n+2)))
		}
		time.Sleep(2 * time.Second)
		check("after an eviction", ids[2])

		m.append("q", progress("a", 4))
		time.Sleep(2 * time.Second)
		m.count()
		expect(t, collect(t, resumeGathering(t, h, Position{ids[2], 1}, "a")), numbers("a", 3, 4)...)
		if ranges, _ := m.count(); ranges > 0 {
			t.Errorf("what came after the silence was read %d times", ranges)
		}
	})
}

func TestWaitsInLineAreBounded(t *testing.T) {
	m := newMemory("q", "r")
	ids := write(m, 3)
	m.append("r", progress("z", 1))
	bubble(t, m, nothing, Config{CatchUps: 1, Snapshots: 1}, func(t *testing.T, h *Hub) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		h.catching <- struct{}{} // somebody is before us
		s := resumeGathering(t, h, Position{ids[0], 1}, "a")
		for range 3 {
			began := time.Now()
			frames, err := s.Next(ctx, time.Hour)
			if len(frames) > 0 || err != nil || !s.Behind() || time.Since(began) != inLine {
				t.Fatalf("got %d frames, %v, after %v", len(frames), err, time.Since(began))
			}
		}
		<-h.catching
		expect(t, collect(t, s), numbers("a", 1, 3)...)

		m.trim("q", 2)
		h.reading <- struct{}{}
		began := time.Now()
		frames, err := resumeGathering(t, h, Position{EntryID{1, 0}, 0}, "a").Next(ctx, time.Hour)
		if len(frames) > 0 || !errors.Is(err, errBusy) || time.Since(began) != inSilence {
			t.Errorf("who waits for a snapshot got %d frames, %v, after %v", len(frames), err, time.Since(began))
		}
		<-h.reading
	})
}
