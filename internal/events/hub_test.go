package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/wire"
)

// snapshots makes a Snapshotter of a function.
type snapshots func(f Filter) ([]seri.Info, error)

func (s snapshots) Snapshots(_ context.Context, filters []Filter) ([]Snapshot, error) {
	shown := make([]Snapshot, len(filters))
	for i, f := range filters {
		tasks, err := s(f)
		if err != nil && !errors.Is(err, seri.ErrNotFound) {
			return nil, err
		}
		shown[i].Tasks = tasks
	}
	return shown, nil
}

// nothing is a snapshot without tasks.
var nothing snapshots = func(Filter) ([]seri.Info, error) { return nil, nil }

// bubble runs a test on a hub over streams in memory, in a bubble with its own time.
func bubble(t *testing.T, m *memory, s Snapshotter, cfg Config, test func(t *testing.T, h *Hub)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		cfg.Logger = slog.New(slog.DiscardHandler)
		h, err := newHub(m, s, cfg)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		m.changed = make(chan struct{}) // of the bubble
		go func() { done <- h.Run(ctx) }()
		defer func() {
			stop()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("Run returned %v", err)
			}
		}()
		test(t, h)
	})
}

func subscribe(t *testing.T, h *Hub, f Filter) *Subscription {
	t.Helper()
	s, err := h.Subscribe(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func resume(t *testing.T, h *Hub, f Filter, cursor string) *Subscription {
	t.Helper()
	c, err := ParseCursor(cursor, f.Queue)
	if err != nil {
		t.Fatal(err)
	}
	s, err := h.Resume(t.Context(), f, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// collect returns what comes until nothing comes for ten seconds, each frame in short:
// "snapshot(a:2)", after the name of what it shows if that has one, "gap(queue,more)" and "reset(queue,nothing)", by whether
// there is more, "a:3" for event 3 of task a, or "a:3+2" if it stands for two more.
func collect(t *testing.T, s *Subscription) []string {
	t.Helper()
	var all []string
	for {
		frames, err := s.Next(t.Context(), 2*backoffMost) // longer than the hub may wait before it reads again
		if err != nil {
			t.Fatalf("after %v: %v", all, err)
		}
		if frames == nil {
			return all
		}
		for _, f := range frames {
			all = append(all, short(t, f))
		}
	}
}

func short(t *testing.T, f Frame) string {
	t.Helper()
	var ce wire.CloudEvent
	if err := json.Unmarshal(f.JSON, &ce); err != nil {
		t.Fatalf("%s: %v", f.JSON, err)
	}
	if ce.Cursor != f.Cursor || ce.Type != f.Type {
		t.Fatalf("frame says %s and %s, its JSON %s", f.Type, f.Cursor, f.JSON)
	}
	decode := func(v any) {
		if err := json.Unmarshal(ce.Data, v); err != nil {
			t.Fatalf("%s: %v", ce.Data, err)
		}
	}
	switch ce.Type {
	case wire.TypeSnapshot:
		var s wire.Snapshot
		decode(&s)
		var tasks []string
		for _, task := range s.Tasks {
			tasks = append(tasks, fmt.Sprintf("%s:%d", task.ID, task.Seq))
		}
		return ce.Subscription + "snapshot(" + strings.Join(tasks, ",") + ")"
	case wire.TypeAlive:
		return "alive"
	case wire.TypeGap, wire.TypeReset:
		var g wire.Gap
		decode(&g)
		return fmt.Sprintf("%s(%s,%s)", strings.TrimPrefix(ce.Type, "dev.seri."), g.Queue, map[bool]string{true: "nothing", false: "more"}[g.Before == ""])
	default:
		var e wire.TaskEvent
		decode(&e)
		if ce.Conflated > 0 {
			return fmt.Sprintf("%s:%d+%d", e.Task, e.Seq, ce.Conflated)
		}
		return fmt.Sprintf("%s:%d", e.Task, e.Seq)
	}
}

// decodeEvent reads the frame of a task's event.
func decodeEvent(t *testing.T, f Frame) (ce wire.CloudEvent, e wire.TaskEvent) {
	t.Helper()
	if err := json.Unmarshal(f.JSON, &ce); err != nil {
		t.Fatalf("%s: %v", f.JSON, err)
	}
	if err := json.Unmarshal(ce.Data, &e); err != nil {
		t.Fatalf("%s: %v", ce.Data, err)
	}
	return ce, e
}

func expect(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestSubscriptionBeginsWithASnapshotAndGoesOnAfterIt(t *testing.T) {
	m := newMemory("q")
	m.append("q", progress("a", 1))
	// The events 2 and 3 come after the positions were noted; the snapshot has seen only 2.
	read := snapshots(func(Filter) ([]seri.Info, error) {
		m.append("q", progress("a", 2))
		m.append("q", progress("a", 3))
		return []seri.Info{{ID: "a", Queue: "q", Seq: 2}}, nil
	})
	for name, f := range map[string]Filter{
		"everything": {}, "a queue": {Queue: "q"}, "an owner": {Owner: "user:1"}, "a type": {Type: "t"},
		"a task": {Task: "a"}, "a task of a queue": {Task: "a", Queue: "q"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, m, read, Config{}, func(t *testing.T, h *Hub) {
				s := subscribe(t, h, f)

				expect(t, collect(t, s), "snapshot(a:2)", "a:3")
			})
		})
	}
}

func TestOneTailAndOneEncodingServeAll(t *testing.T) {
	m := newMemory("q", "r")
	bubble(t, m, nothing, Config{}, func(t *testing.T, h *Hub) {
		var all []*Subscription
		for range 50 {
			all = append(all, subscribe(t, h, Filter{Queue: "q"}), subscribe(t, h, Filter{Owner: "user:1"}))
		}
		for _, s := range all {
			collect(t, s)
		}
		m.append("q", progress("a", 1))

		written := make(map[*byte]int)
		for _, s := range all {
			frames, err := s.Next(t.Context(), time.Hour)
			if err != nil || len(frames) != 1 {
				t.Fatalf("got %d frames, %v", len(frames), err)
			}
			written[&frames[0].JSON[0]]++
		}
		if len(written) != 2 { // those of one queue have other cursors than those of all
			t.Errorf("the frame was made %d times for %d subscribers", len(written), len(all))
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.most != 2 {
			t.Errorf("%d tails read two queues", m.most)
		}
	})
}

func TestEventsOfSchedulesAreHandedOutWhateverTheSnapshotShows(t *testing.T) {
	m := newMemory("q")
	m.append("q", progress("a", 1))
	read := snapshots(func(Filter) ([]seri.Info, error) {
		m.append("q", event{Kind: seri.EventScheduleFired}) // has no number, and so none above those that were shown
		return []seri.Info{{ID: "a", Queue: "q", Seq: 1}}, nil
	})
	for name, c := range map[string]struct {
		filter Filter
		want   []string
	}{
		"everything": {Filter{}, []string{"snapshot(a:1)", ":0"}}, "a queue": {Filter{Queue: "q"}, []string{"snapshot(a:1)", ":0"}},
		"an owner": {Filter{Owner: "user:1"}, []string{"snapshot(a:1)"}}, "a task": {Filter{Task: "a"}, []string{"snapshot(a:1)"}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, m, read, Config{}, func(t *testing.T, h *Hub) {
				expect(t, collect(t, subscribe(t, h, c.filter)), c.want...)
			})
		})
	}
}

func TestEventsOfANewLifeOfATaskAreNotTakenForOldOnes(t *testing.T) {
	m := newMemory("q")
	read := snapshots(func(Filter) ([]seri.Info, error) { return []seri.Info{{ID: "a", Queue: "q", Seq: 9}}, nil })
	bubble(t, m, read, Config{}, func(t *testing.T, h *Hub) {
		m.append("q", progress("a", 9))
		s := subscribe(t, h, Filter{})

		m.append("q", progress("a", 1))

		expect(t, collect(t, s), "snapshot(a:9)", "a:1")
	})
}

func TestQueueThatAppearsLaterIsJoinedFromItsBeginning(t *testing.T) {
	m := newMemory()
	bubble(t, m, nothing, Config{}, func(t *testing.T, h *Hub) {
		s := subscribe(t, h, Filter{})
		m.append("new", progress("a", 1))
		m.append("new", progress("a", 2))

		got := collect(t, s)

		expect(t, got, "snapshot()", "a:1", "a:2")
	})
}

func TestTaskThatDoesNotExistCannotBeWatched(t *testing.T) {
	absent := snapshots(func(Filter) ([]seri.Info, error) { return nil, seri.ErrNotFound })
	for name, read := range map[string]snapshots{"as an error": absent, "as an empty snapshot": nothing} {
		t.Run(name, func(t *testing.T) {
			bubble(t, newMemory("q"), read, Config{}, func(t *testing.T, h *Hub) {
				_, err := h.Subscribe(t.Context(), Filter{Task: "a"})

				if !errors.Is(err, seri.ErrNotFound) {
					t.Errorf("got %v", err)
				}
				if len(h.index.subscriptions) != 0 {
					t.Error("the subscription was left in the hub")
				}
			})
		})
	}
}

func TestResumedSubscriptionGetsWhatCameAfterItsCursor(t *testing.T) {
	for name, f := range map[string]Filter{
		"everything": {}, "a queue": {Queue: "q"}, "an owner": {Owner: "user:1"}, "a task": {Task: "a"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMemory("q", "r")
			read := snapshots(func(Filter) ([]seri.Info, error) { return []seri.Info{{ID: "a", Queue: "q"}}, nil })
			bubble(t, m, read, Config{}, func(t *testing.T, h *Hub) {
				s := subscribe(t, h, f)
				m.append("q", progress("a", 1), progress("a", 2), progress("a", 3))
				frames := drainFrames(t, s, 4)
				s.Close()
				for seq := range uint64(100) {
					m.append("q", progress("a", 4+seq))
				}

				got := collect(t, resume(t, h, f, frames[2].Cursor)) // after event 2, in the middle of an entry

				want := []string{}
				for seq := range 101 {
					want = append(want, fmt.Sprintf("a:%d", 3+seq))
				}
				expect(t, got, want...)
			})
		})
	}
}

// drainFrames returns copies of the next n frames.
func drainFrames(t *testing.T, s *Subscription, n int) []Frame {
	t.Helper()
	var all []Frame
	for len(all) < n {
		frames, err := s.Next(t.Context(), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, frames...)
	}
	return all
}

func TestCursorOfOneHubServesAtAnotherThatIsBehind(t *testing.T) {
	m := newMemory("q")
	m.append("q", progress("a", 1))
	bubble(t, m, nothing, Config{}, func(t *testing.T, h *Hub) {
		h.hurry()
		synctest.Wait()
		// A hub whose tail does not move: it stands at event 1.
		behind, err := newHub(m, nothing, Config{})
		if err != nil {
			t.Fatal(err)
		}
		behind.begin(h.cursor())
		m.append("q", progress("a", 2))
		last := m.append("q", progress("a", 3))
		ahead := Cursor{}.With("q", Position{last, 0})

		s := resume(t, behind, Filter{}, ahead.String())
		expect(t, collect(t, s)) // nothing: it has everything
		missed, _ := m.Follow(t.Context(), "q", behind.at[0].at.ID, 10, 0)
		behind.publish("q", missed) // the tail moves at last
		m.append("q", progress("a", 4))
		more, _ := m.Follow(t.Context(), "q", last, 10, 0)
		behind.publish("q", more)

		expect(t, collect(t, s), "a:4")
	})
}

func TestMissingEventsAreAnnounced(t *testing.T) {
	read := snapshots(func(Filter) ([]seri.Info, error) { return []seri.Info{{ID: "now", Queue: "q", Seq: 1}}, nil })
	cases := map[string]struct {
		meanwhile func(m *memory) // while the subscriber is away, and for the live one
		want      []string        // of one who comes back
	}{
		"trimmed, with some left": {
			meanwhile: func(m *memory) {
				m.append("q", progress("a", 2))
				m.append("q", progress("a", 3))
				m.append("q", progress("a", 4))
				m.trim("q", 4)
			},
			want: []string{"gap(q,more)", "snapshot(now:1)", "a:4"},
		},
		"trimmed, with nothing left": {
			meanwhile: func(m *memory) {
				m.append("q", progress("a", 2))
				m.trim("q", 3)
			},
			want: []string{"gap(q,nothing)", "snapshot(now:1)"},
		},
		"flushed": {
			meanwhile: func(m *memory) { m.flush() },
			want:      []string{"reset(q,nothing)", "snapshot(now:1)"},
		},
		"flushed and written to again": {
			meanwhile: func(m *memory) {
				m.flush()
				m.append("q", progress("b", 1))
			},
			want: []string{"gap(q,more)", "snapshot(now:1)", "b:1"},
		},
		"rolled back": {
			meanwhile: func(m *memory) { m.rollBack("q", 1) },
			want:      []string{"reset(q,nothing)", "snapshot(now:1)"},
		},
		"rolled back and written to again": {
			meanwhile: func(m *memory) {
				m.rollBack("q", 1)
				m.append("q", progress("b", 1))
			},
			want: []string{"reset(q,nothing)", "snapshot(now:1)"}, // the snapshot shows what event 1 has done
		},
		"trimmed, but nothing after the cursor": {
			meanwhile: func(m *memory) { m.trim("q", 2) },
			want:      nil,
		},
	}
	for name, c := range cases {
		t.Run("to one who comes back/"+name, func(t *testing.T) {
			m := newMemory("q")
			bubble(t, m, read, Config{}, func(t *testing.T, h *Hub) {
				m.append("q", progress("a", 0))
				time.Sleep(time.Second)
				s := subscribe(t, h, Filter{})
				m.append("q", progress("a", 1))
				frames := drainFrames(t, s, 2)
				s.Close()
				m.setDown(true) // the tail does not see what happens, or the hub would have it in memory
				time.Sleep(time.Second)
				c.meanwhile(m)
				m.setDown(false)

				got := collect(t, resume(t, h, Filter{}, frames[1].Cursor))

				expect(t, got, c.want...)
			})
		})
		t.Run("to one who is there/"+name, func(t *testing.T) {
			m := newMemory("q")
			bubble(t, m, read, Config{}, func(t *testing.T, h *Hub) {
				m.append("q", progress("a", 0))
				time.Sleep(time.Second)
				s := subscribe(t, h, Filter{})
				m.append("q", progress("a", 1))
				drainFrames(t, s, 2)
				m.setDown(true) // the tail does not see what happens
				time.Sleep(time.Second)
				c.meanwhile(m)
				m.setDown(false)

				got := collect(t, s)

				expect(t, got, c.want...)
			})
		})
	}
}

func TestOutageIsOutlived(t *testing.T) {
	m := newMemory("q")
	bubble(t, m, nothing, Config{}, func(t *testing.T, h *Hub) {
		s := subscribe(t, h, Filter{})
		m.append("q", progress("a", 1))
		m.setDown(true)
		time.Sleep(time.Minute)
		m.append("q", progress("a", 2))
		m.setDown(false)

		expect(t, collect(t, s)[:1], "snapshot()")
		m.append("q", progress("a", 3))
		time.Sleep(backoffMost)

		expect(t, collect(t, resume(t, h, Filter{}, "q@0-0:0")), "a:1", "a:2", "a:3")
	})
}

func TestSlowReaderIsCutAndOthersAreNot(t *testing.T) {
	m := newMemory("q")
	bubble(t, m, nothing, Config{Buffer: 10_000}, func(t *testing.T, h *Hub) {
		slow, fast := subscribe(t, h, Filter{}), subscribe(t, h, Filter{})
		for _, s := range []*Subscription{slow, fast} {
			drainFrames(t, s, 1)
			expect(t, collect(t, s))
		}
		for seq := range uint64(100) {
			m.append("q", started("a", seq+1))
			synctest.Wait()
			drainFrames(t, fast, 1)
		}

		_, err := slow.Next(t.Context(), time.Second)

		cut, ok := errors.AsType[*SlowError](err)
		if !ok {
			t.Fatalf("got %v", err)
		}
		if got := collect(t, resume(t, h, Filter{}, cut.Cursor)); len(got) != 100 {
			t.Errorf("resumed, it got %d events", len(got))
		}
	})
}

func TestBurstDuringTheSnapshotIsReadFromTheStream(t *testing.T) {
	m := newMemory("q")
	read := snapshots(func(Filter) ([]seri.Info, error) {
		for seq := range uint64(500) {
			m.append("q", started("a", seq+1))
		}
		time.Sleep(time.Second) // until the hub has handed it all over
		return []seri.Info{{ID: "a", Queue: "q", Seq: 100}}, nil
	})
	bubble(t, m, read, Config{Buffer: 10_000}, func(t *testing.T, h *Hub) {
		got := collect(t, subscribe(t, h, Filter{}))

		if len(got) != 401 || got[0] != "snapshot(a:100)" || got[1] != "a:101" || got[400] != "a:500" {
			t.Errorf("got %d frames: %.200v", len(got), got)
		}
	})
}

func TestIdleSubscriptionsCursorMovesOn(t *testing.T) {
	m := newMemory("q", "r")
	read := snapshots(func(Filter) ([]seri.Info, error) { return []seri.Info{{ID: "a", Queue: "q", Seq: 1}}, nil })
	for name, c := range map[string]struct {
		filter Filter
		want   string
	}{
		"everything by another owner": {Filter{Owner: "nobody"}, "q@%[1]s:0,r@%[2]s:0"},
		"a queue's other owner":       {Filter{Owner: "nobody", Queue: "q"}, "%[1]s:0"},
		"a task":                      {Filter{Task: "a"}, "q@%[1]s:0"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, m, read, Config{}, func(t *testing.T, h *Hub) {
				s := subscribe(t, h, c.filter)
				collect(t, s)
				q, r := m.append("q", progress("b", 1)), m.append("r", progress("b", 1))

				expect(t, collect(t, s))

				if want := fmt.Sprintf(c.want, q, r)[:len(s.Cursor())]; s.Cursor() != want {
					t.Errorf("the cursor is %s, want %s", s.Cursor(), want)
				}
			})
		})
	}
}

func TestSubscriptionsEndWithTheHub(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, err := newHub(newMemory("q"), nothing, Config{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- h.Run(ctx) }()
		s := subscribe(t, h, Filter{})
		collect(t, s)

		stop()
		<-done

		if _, err := s.Next(t.Context(), time.Second); !errors.Is(err, ErrStopped) {
			t.Errorf("Next returned %v", err)
		}
		if _, err := h.Subscribe(t.Context(), Filter{}); !errors.Is(err, ErrStopped) {
			t.Errorf("Subscribe returned %v", err)
		}
	})
}

func TestEntryThatIsNotOursIsPassedOver(t *testing.T) {
	m := newMemory("q")
	bubble(t, m, nothing, Config{}, func(t *testing.T, h *Hub) {
		s := subscribe(t, h, Filter{})
		drainFrames(t, s, 1)
		m.text("q", "{")
		m.append("q", progress("a", 1))

		live := collect(t, s)
		read := collect(t, resume(t, h, Filter{}, "-"))

		expect(t, live, "a:1")
		expect(t, read, "a:1")
	})
}

// pass lets time of a bubble pass, which is over once all in it wait.
func pass(d time.Duration) { time.Sleep(d) }
