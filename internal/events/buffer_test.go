package events

import (
	"bytes"
	"testing"
	"time"

	"github.com/seri-queue/seri"
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
	b := newBuffer(1 << 20)
	b.tight = 0 // conflate at every push
	push := func(kind seri.EventKind, task string, at int) {
		b.push(&item{queue: "q", at: Position{EntryID{Ms: 1}, at}, event: seri.Event{Kind: kind, Task: task}})
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
		got = append(got, kept{w.at.Index, w.conflated})
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
