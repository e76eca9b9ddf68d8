package events

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/wire"
)

func contains(b []byte, text string) bool { return bytes.Contains(b, []byte(text)) }

func TestSlowReaderGetsTheNewestProgressAndEveryChangeOfState(t *testing.T) {
	m := newMemory("q")
	bubble(t, m, nothing, Config{Buffer: 16_000}, func(t *testing.T, h *Hub) {
		s := subscribe(t, h, Filter{})
		drainFrames(t, s, 1)
		expect(t, collect(t, s))

		seqs := map[string]uint64{}
		for range 100 { // ten times as many events as there is room for
			for _, task := range []string{"a", "b"} {
				seqs[task]++
				m.append("q", progress(task, seqs[task]))
			}
		}
		m.append("q", event{Kind: seri.EventSucceeded, Task: "a", Type: "t", Seq: 101})
		pass(time.Second)

		var kinds []string
		next := map[string]uint64{"a": 1, "b": 1}
		for frames, err := s.Next(t.Context(), time.Second); len(frames) > 0; frames, err = s.Next(t.Context(), time.Second) {
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range frames {
				task, seq, conflated := parts(t, f)
				if seq != next[task]+conflated {
					t.Errorf("event %d of %s stands for %d more, and %d was due", seq, task, conflated, next[task])
				}
				next[task] = seq + 1
				kinds = append(kinds, f.Type)
			}
		}

		if next["a"] != 102 || next["b"] != 101 {
			t.Errorf("the last events were not seen: %v", next)
		}
		if n := len(kinds); n > 40 {
			t.Errorf("%d events were kept", n)
		}
	})
}

func parts(t *testing.T, f Frame) (task string, seq, conflated uint64) {
	t.Helper()
	ce, e := decodeEvent(t, f)
	return e.Task, e.Seq, uint64(ce.Conflated)
}

func TestReaderThatKeepsUpGetsEveryProgress(t *testing.T) {
	m := newMemory("q")
	bubble(t, m, nothing, Config{Buffer: 16_000}, func(t *testing.T, h *Hub) {
		s := subscribe(t, h, Filter{})
		drainFrames(t, s, 1)
		expect(t, collect(t, s))

		m.append("q", progress("a", 1), progress("a", 2), progress("a", 3), progress("a", 4))

		expect(t, collect(t, s), "a:1", "a:2", "a:3", "a:4")
	})
}

func TestConflationKeepsTheOrderOfWhatIsLeft(t *testing.T) {
	b := openBuffer(1 << 20)
	b.tight = 0 // conflate at every push
	push := func(kind seri.EventKind, task string, at int) {
		b.push(&item{queue: "q", at: Position{EntryID{Ms: 1}, at}, event: seri.Event{Kind: kind, Task: task}}, 0)
		b.tight = 0
	}
	push(seri.EventStarted, "a", 1)
	push(seri.EventProgress, "a", 2)
	push(seri.EventProgress, "b", 3)
	push(seri.EventRetrying, "a", 4)
	push(seri.EventStarted, "a", 5)
	push(seri.EventProgress, "b", 6)
	push(seri.EventProgress, "a", 7)
	push(seri.EventProgress, "b", 8)

	items, _ := b.take(nil)

	type kept struct{ at, conflated int }
	var got []kept
	for _, w := range items {
		got = append(got, kept{w.at.Index, int(w.conflated)})
	}
	want := []kept{{1, 0}, {4, 1}, {5, 0}, {7, 0}, {8, 2}}
	if len(got) != len(want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("got %v, want %v", got, want)
		}
	}
}

// sum reads what comes of task a until nothing comes, and checks that each event says how many it stands for: added up, they
// are all numbers after the last one that was seen, each once. frames have come already.
func sum(t *testing.T, s *Subscription, last uint64, frames ...Frame) uint64 {
	t.Helper()
	for {
		for _, f := range frames {
			task, seq, conflated := parts(t, f)
			if task != "a" || seq != last+1+conflated {
				t.Errorf("after event %d came event %d of %s, which stands for %d more", last, seq, task, conflated)
			}
			last = seq
		}
		var err error
		if frames, err = s.Next(t.Context(), 5*time.Second); err != nil {
			t.Fatal(err)
		}
		if frames == nil {
			return last
		}
	}
}

// publishAll gives a hub whose tail does not move what it has not had of q.
func publishAll(t *testing.T, h *Hub, m *memory) {
	t.Helper()
	entries, err := m.Follow(t.Context(), "q", h.cursor().At("q").ID, 1000, 0)
	if err != nil {
		t.Fatal(err)
	}
	h.publish("q", entries)
}

func TestWhatAReaderHasFromTheStreamIsNotCountedAsLeftOut(t *testing.T) {
	m := newMemory("q")
	before := m.append("q", started("z", 1)) // of which the hub does not know
	first := m.append("q", started("a", 1))
	bubble(t, m, nothing, Config{}, func(t *testing.T, _ *Hub) {
		behind, err := newHub(m, nothing, Config{Buffer: 1000}) // little more than one event
		if err != nil {
			t.Fatal(err)
		}
		behind.begin(Cursor{}.With("q", Position{first, 0}))
		for seq := range uint64(40) {
			m.append("q", progress("a", seq+2))
		}
		s := resume(t, behind, Filter{Queue: "q"}, Position{before, 0}.String())
		if last := sum(t, s, 0); last != 41 {
			t.Fatalf("read up to event %d", last)
		}

		m.append("q", event{Kind: seri.EventSucceeded, Task: "a", Type: "t", Seq: 42})
		publishAll(t, behind, m) // the hub comes along, and finds all of it old

		expect(t, collect(t, s), "a:42")
	})
}

// strikingMemory does something just before a certain range of a stream is read.
type strikingMemory struct {
	*memory
	ranges int // until then
	strike func()
}

func (m *strikingMemory) Range(ctx context.Context, queue string, from EntryID, limit int) ([]entry, error) {
	if m.ranges--; m.ranges == 0 {
		m.strike()
	}
	return m.memory.Range(ctx, queue, from, limit)
}

func TestAReaderThatCatchesUpReadsNothingThatTheBufferStandsFor(t *testing.T) {
	m := newMemory("q")
	before := m.append("q", started("z", 1))
	first := m.append("q", started("a", 1))
	bubble(t, m, nothing, Config{}, func(t *testing.T, _ *Hub) {
		striking := &strikingMemory{memory: m}
		behind, err := newHub(striking, nothing, Config{Buffer: 16_000, Recent: 1})
		if err != nil {
			t.Fatal(err)
		}
		behind.begin(Cursor{}.With("q", Position{first, 0}))
		m.append("q", progress("a", 2))
		s := resume(t, behind, Filter{Queue: "q"}, Position{before, 0}.String())
		if frames := drainFrames(t, s, 2); short(t, frames[1]) != "a:2" {
			t.Fatalf("got %s", frames[1].JSON)
		}
		m.append("q", progress("a", 3))
		publishAll(t, behind, m)
		striking.ranges, striking.strike = 1, func() { // it has joined, and is about to read event 3
			for seq := range uint64(60) {
				m.append("q", progress("a", seq+4))
			}
			publishAll(t, behind, m)
		}

		if last := sum(t, s, 2); last != 63 {
			t.Errorf("the last event was %d", last)
		}
	})
}

func TestWhatASnapshotHasShownIsNotCountedAsLeftOut(t *testing.T) {
	m := newMemory("q")
	read := snapshots(func(Filter) ([]seri.Info, error) {
		for seq := range uint64(60) {
			m.append("q", progress("a", seq+1))
		}
		pass(time.Second) // until the hub has handed it all over
		return []seri.Info{{ID: "a", Queue: "q", Seq: 20}}, nil
	})
	bubble(t, m, read, Config{Buffer: 16_000}, func(t *testing.T, h *Hub) {
		s := subscribe(t, h, Filter{Queue: "q"})
		frames := drainFrames(t, s, 1)
		if short(t, frames[0]) != "snapshot(a:20)" {
			t.Fatalf("got %s", frames[0].JSON)
		}

		if last := sum(t, s, 20, frames[1:]...); last != 60 {
			t.Errorf("the last event was %d", last)
		}
	})
}

func TestSubscriberThatAskedForAtMostOnceLosesEventsAndIsToldHowMany(t *testing.T) {
	m := newMemory("q")
	bubble(t, m, nothing, Config{Buffer: 16_000}, func(t *testing.T, h *Hub) {
		s := subscribe(t, h, Filter{})
		s.LetGo()
		drainFrames(t, s, 1)

		const sent = 300
		for seq := range sent { // none of which is made old by another
			m.append("q", event{Kind: seri.EventQueued, Task: "a", Type: "t", Seq: uint64(seq + 1)})
		}
		pass(time.Second)
		frames, err := s.Next(t.Context(), time.Second)
		if err != nil {
			t.Fatal(err)
		}
		var dropped wire.Dropped
		var ce wire.CloudEvent
		if err := json.Unmarshal(frames[0].JSON, &ce); err != nil || ce.Type != wire.TypeDropped || json.Unmarshal(ce.Data, &dropped) != nil {
			t.Fatalf("it begins with %s, %v", frames[0].JSON, err)
		}
		next := uint64(dropped.Count + 1)
		for frames = frames[1:]; len(frames) > 0; frames, err = s.Next(t.Context(), time.Second) {
			for _, f := range frames {
				if _, seq, _ := parts(t, f); seq != next {
					t.Fatalf("got event %d, want %d", seq, next)
				}
				next++
			}
		}
		m.append("q", progress("a", sent+1))

		expect(t, collect(t, s), fmt.Sprint("a:", sent+1))
		if err != nil || next != sent+1 || dropped.Count < sent/2 || dropped.Count == sent {
			t.Errorf("%d of %d were dropped, then came up to %d, %v", dropped.Count, sent, next-1, err)
		}
		if counted := h.meters.Forgone.Load(); counted != float64(dropped.Count) || h.meters.Dropped.Load() != 0 {
			t.Errorf("%v are counted of %d", counted, dropped.Count)
		}
	})
}

// Or what follows a reset would be taken for what the reader has.
func TestAnnouncementsAreNotDroppedWithEvents(t *testing.T) {
	b := openBuffer(2000)
	b.loseRather(nil)
	b.push(&item{queue: "q", loss: &loss{reset: true}}, 0)
	for n := range 20 {
		b.push(&item{queue: "q", at: Position{EntryID{Ms: 1}, n}, event: seri.Event{Kind: seri.EventQueued, Task: "a"}}, 0)
	}

	items, err := b.take(nil)

	if err != nil || len(items) < 3 || items[0].dropped != 20-(len(items)-2) || items[1].loss == nil || items[len(items)-1].at.Index != 19 {
		t.Errorf("there are %d, the first stands for %d, %v", len(items), items[0].dropped, err)
	}
}

func openBuffer(limit int) *buffer {
	b := new(buffer)
	b.open(limit, nil, Cursor{})
	return b
}
