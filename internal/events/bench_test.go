package events

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/wire"
)

// BenchmarkFanOut hands one event to 10,000 subscriptions and takes it out of their buffers, as their readers do.
func BenchmarkFanOut(b *testing.B) {
	const subscribers = 10_000
	for name, f := range map[string]Filter{
		"everything": {}, "one queue": {Queue: "q"}, "one owner": {Owner: "user:1"}, "one task": {Task: "a"},
	} {
		b.Run(name, func(b *testing.B) {
			m := newMemory("q", "r", "s")
			read := snapshots(func(Filter) ([]seri.Info, error) { return []seri.Info{{ID: "a", Queue: "q"}}, nil })
			h, err := newHub(m, read, Config{Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				b.Fatal(err)
			}
			h.begin(Cursor{}.With("q", Position{}).With("r", Position{}).With("s", Position{}))
			subs := make([]*Subscription, subscribers)
			for i := range subs {
				if subs[i], err = h.Subscribe(b.Context(), f); err != nil {
					b.Fatal(err)
				}
				if _, err := subs[i].Next(b.Context(), time.Second); err != nil { // the snapshot
					b.Fatal(err)
				}
			}

			b.ReportAllocs()
			seq := uint64(0)
			for b.Loop() {
				seq++
				h.publish("q", []entry{{id: EntryID{seq, 0}, text: encodeEvents([]event{progress("a", seq)})}})
				for _, s := range subs {
					frames, err := s.Next(b.Context(), time.Second)
					if err != nil || len(frames) != 1 {
						b.Fatal(len(frames), err)
					}
				}
			}
			b.ReportMetric(subscribers*float64(b.N)/b.Elapsed().Seconds(), "deliveries/s")
		})
	}
}

// BenchmarkEncode makes the JSON of one event, which all who watch it share.
func BenchmarkEncode(b *testing.B) {
	e := seri.Event{Task: "Q5YHRWTHQ6E6TDYKR5UJ2HFSMA", Type: "csv.profile", Queue: "default", Owner: "user:42", Seq: 7, Time: time.UnixMilli(1763800000123)}
	for kind, data := range map[seri.EventKind]seri.EventData{
		seri.EventProgress:  {Progress: &seri.ProgressInfo{Done: 37, Total: 100, Message: "37 of 100 rows"}},
		seri.EventSucceeded: {Attempt: 1, Result: []byte(`{"rows":100,"columns":["id","name"],"url":"https://example.org/r/7"}`)},
		seri.EventFailed:    {Attempt: 3, Error: `open "a.csv": no such file`, Reason: seri.ReasonExhausted},
	} {
		b.Run(string(kind), func(b *testing.B) {
			e := e
			e.Kind, e.Data = kind, data
			b.ReportAllocs()
			for b.Loop() {
				it := item{queue: "default", at: Position{EntryID{1763800000123, 0}, 3}, event: e}
				if err := it.encode(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkFrames makes what a subscriber gets first, and the sign of life that he gets when nothing comes.
func BenchmarkFrames(b *testing.B) {
	task := seri.Info{
		ID: "Q5YHRWTHQ6E6TDYKR5UJ2HFSMA", Type: "csv.profile", Queue: "default", Owner: "user:42", State: seri.Active, Attempt: 1, MaxRetries: 25,
		Payload: []byte(`{"url":"https://example.org/a.csv","columns":["id","name"]}`), Retention: time.Hour,
		Progress: &seri.ProgressInfo{Done: 37, Total: 100, Message: "37 of 100 rows"}, Seq: 7,
		EnqueuedAt: time.UnixMilli(1763800000123), StartedAt: time.UnixMilli(1763800001123),
	}
	cursor := Cursor{}.With("default", Position{EntryID{1763800000123, 0}, 3})
	s := &Subscription{cursor: cursor, queue: "default"}
	for name, frame := range map[string]func() (Frame, error){
		"subscribed": func() (Frame, error) {
			return Note(wire.TypeSubscribed, "", wire.Subscribed{Subscriptions: []string{"own"}})
		},
		"snapshot": func() (Frame, error) {
			return snapshotFrame(&interest{name: "own", filter: Filter{Task: task.ID}}, []seri.Info{task}, false, s.Cursor())
		},
		"alive": s.Alive,
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := frame(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkPublishUnwatched is what events cost that nobody watches, while somebody watches another task.
func BenchmarkPublishUnwatched(b *testing.B) {
	for name, watched := range map[string]bool{"nobody there": false, "others watched": true} {
		b.Run(name, func(b *testing.B) {
			read := snapshots(func(Filter) ([]seri.Info, error) { return []seri.Info{{ID: "other", Queue: "q"}}, nil })
			h, err := newHub(newMemory("q"), read, Config{})
			if err != nil {
				b.Fatal(err)
			}
			h.begin(Cursor{})
			if watched {
				if _, err := h.Subscribe(b.Context(), Filter{Task: "other"}); err != nil {
					b.Fatal(err)
				}
			}
			events := make([]event, 100)
			for i := range events {
				events[i] = progress(fmt.Sprint(i), 1)
			}
			text := encodeEvents(events)

			b.ReportAllocs()
			seq := uint64(0)
			for b.Loop() {
				seq++
				h.publish("q", []entry{{id: EntryID{seq, 0}, text: text}})
			}
			b.ReportMetric(100*float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
