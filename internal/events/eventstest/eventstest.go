// Package eventstest holds transports of events against what they promise.
//
//	eventstest.Conform(t, func(t *testing.T) *eventstest.Site { … })
//
// The tests are the same for all. What comes is compared with what was written: every event once and in the order of its
// queue, or else an announcement of what is missing, with a snapshot. Where a transport promises more ([events.Promises])
// the announcement is not good enough.
package eventstest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/events"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/internal/store"
	"github.com/seri-queue/seri/internal/wire"
)

// patience is how long a test waits for what must happen.
const patience = 60 * time.Second

// Site is where events are written, and from where gateways get them.
type Site struct {
	Store *store.Store
	// Open returns the transport of a new gateway.
	Open func(t *testing.T) events.Transport
	// Cut takes the network between gateways and what they are fed from away, Heal gives it back. nil: that cannot be done here.
	Cut, Heal func()
	// Flush removes everything from Redis. nil: it is shared.
	Flush func()
}

// Conform runs the suite, each test at a site of its own.
func Conform(t *testing.T, open func(t *testing.T) *Site) {
	for name, test := range map[string]func(*testing.T, *Site){
		"events come once, in the order of their queue":   inOrder,
		"a queue that is new is watched, or announced":    newQueue,
		"a cursor is resumed where it was given":          resumeHere,
		"a cursor is resumed at a gateway beside":         resumeBeside,
		"a cursor is resumed at a gateway started later":  resumeLater,
		"what was written in an outage comes, or is told": outage,
		"a history that is lost is announced":             lostHistory,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

// write enqueues tasks named first to last, one at a time.
func (s *Site) write(t *testing.T, queue string, first, last int) {
	t.Helper()
	for i := first; i <= last; i++ {
		m := seri.Message{ID: fmt.Sprintf("t%d", i), Type: "mail:send", Queue: queue, Payload: []byte("{}"), Retention: time.Hour}
		errs, err := s.Store.Enqueue(t.Context(), keys.Queue(queue), []seri.Message{m})
		if err := errors.Join(append(errs, err)...); err != nil {
			t.Errorf("enqueue: %v", err)
			return
		}
	}
}

type nothing struct{}

func (nothing) Snapshots(_ context.Context, filters []events.Filter) ([]events.Snapshot, error) {
	return make([]events.Snapshot, len(filters)), nil
}

// gateway runs a hub until the test ends.
func (s *Site) gateway(t *testing.T) (*events.Hub, events.Promises) {
	t.Helper()
	transport := s.Open(t)
	hub, err := events.NewOn(transport, nothing{}, events.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = hub.Run(ctx)
	}()
	t.Cleanup(func() {
		stop()
		<-ended
	})
	return hub, transport.Promises
}

// reader is a subscriber who notes what comes.
type reader struct {
	t       *testing.T
	s       *events.Subscription
	tasks   []string // "queue/task" of each event
	cursors map[string]string
	told    int // snapshots after the first frame: each follows an announcement
	frames  int
}

func subscribe(t *testing.T, h *events.Hub, queue string) *reader {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s, err := h.Subscribe(ctx, events.Filter{Queue: queue})
	if err != nil {
		t.Fatal(err)
	}
	return read(t, s)
}

func resume(t *testing.T, h *events.Hub, queue, cursor string) *reader {
	t.Helper()
	c, err := events.ParseCursor(cursor, queue)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s, err := h.Resume(ctx, events.Filter{Queue: queue}, c)
	if err != nil {
		t.Fatal(err)
	}
	return read(t, s)
}

func read(t *testing.T, s *events.Subscription) *reader {
	t.Cleanup(s.Close)
	return &reader{t: t, s: s, cursors: make(map[string]string)}
}

// until reads until something is so.
func (r *reader) until(what string, so func() bool) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	for !so() {
		frames, err := r.s.Next(ctx, patience)
		if err != nil {
			r.t.Fatalf("waiting for %s, after %d events (%d announcements), the last %v: %v", what, len(r.tasks), r.told, last(r.tasks), err)
		}
		for _, f := range frames {
			r.take(f)
		}
	}
}

// last returns the last few.
func last(all []string) []string { return all[max(0, len(all)-5):] }

func (r *reader) take(f events.Frame) {
	r.t.Helper()
	var ce wire.CloudEvent
	if err := json.Unmarshal(f.JSON, &ce); err != nil {
		r.t.Fatalf("%s: %v", f.JSON, err)
	}
	r.frames++
	switch f.Type {
	case wire.TypeGap, wire.TypeReset:
		r.told++
	case wire.TypeSnapshot:
	default:
		queue, _, _ := strings.Cut(ce.ID, "/")
		r.tasks = append(r.tasks, queue+"/"+ce.Subject)
		r.cursors[ce.Subject] = f.Cursor
	}
}

// has reports whether the event of a task has come.
func (r *reader) has(queue string, n int) func() bool {
	return func() bool { return slices.Contains(r.tasks, fmt.Sprintf("%s/t%d", queue, n)) }
}

// forget leaves out an event, if it has come.
func (r *reader) forget(queue string, n int) {
	r.tasks = slices.DeleteFunc(r.tasks, func(task string) bool { return task == fmt.Sprintf("%s/t%d", queue, n) })
}

// check compares what has come of a queue with what was written, by number. Without a promise an announcement excuses
// what is missing, and nothing excuses a double or a wrong order.
func (r *reader) check(queue string, from, to int, promised bool) {
	r.t.Helper()
	var got, want []string
	for _, task := range r.tasks {
		if strings.HasPrefix(task, queue+"/") {
			got = append(got, task)
		}
	}
	for i := from; i <= to; i++ {
		want = append(want, fmt.Sprintf("%s/t%d", queue, i))
	}
	complete := slices.Equal(got, want)
	switch {
	case promised && !complete:
		r.t.Errorf("got %d events, %v to %v, of %d (%d announcements)", len(got), got[:min(len(got), 3)], last(got), len(want), r.told)
	case promised && r.told > 0:
		r.t.Errorf("nothing is missing, and %d announcements say that something is", r.told)
	case !complete && r.told == 0:
		r.t.Errorf("got %d events, %v to %v, of %d, and nothing was announced", len(got), got[:min(len(got), 3)], last(got), len(want))
	}
	at := -1
	for _, task := range got {
		i := slices.Index(want, task)
		if i <= at {
			r.t.Errorf("%s is out of order, came twice, or is none of what was written", task)
		}
		at = i
	}
}

func inOrder(t *testing.T, s *Site) {
	queues := []string{redistest.Queue(t), redistest.Queue(t), redistest.Queue(t)}
	for _, q := range queues {
		s.write(t, q, 1, 1)
	}
	h, promises := s.gateway(t)
	readers, first := make(map[string]*reader), make(map[string]int)
	for _, q := range queues {
		readers[q] = subscribe(t, h, q)
		first[q] = s.heard(t, readers[q], q, 2)
	}

	const number, attempts = 60, 5
	for range attempts {
		var writers sync.WaitGroup
		for _, q := range queues {
			writers.Go(func() { s.write(t, q, first[q], first[q]+number) })
		}
		writers.Wait()

		complete := true
		for _, q := range queues {
			r, last := readers[q], first[q]+number
			r.until("the last event, or an announcement", func() bool { return r.told > 0 || r.has(q, last)() })
			complete = complete && r.told == 0
			r.check(q, first[q], last, promises.Lossless)
			first[q] = s.heard(t, r, q, last+1)
		}
		if complete {
			return
		}
	}
	t.Errorf("each of %d attempts lost something", attempts)
}

// heard writes events from a number on until one comes, and returns the number of the next one. Nodes of a cluster that was
// just made do not all pass on yet what is published.
func (s *Site) heard(t *testing.T, r *reader, queue string, from int) (next int) {
	t.Helper()
	for n := from; n < from+100; n++ {
		s.write(t, queue, n, n)
		r.until("an event, or an announcement", func() bool { return r.told > 0 || r.has(queue, n)() })
		if r.has(queue, n)() {
			r.tasks, r.told = nil, 0
			return n + 1
		}
		r.told = 0
	}
	t.Fatal("no event comes")
	return 0
}

func newQueue(t *testing.T, s *Site) {
	q := redistest.Queue(t)
	h, _ := s.gateway(t)
	r := subscribe(t, h, q)

	s.write(t, q, 1, 5)
	r.until("the events of the new queue, or an announcement", func() bool { return r.told > 0 || r.has(q, 5)() })
	s.write(t, q, 6, 8)

	r.until("what followed", r.has(q, 8))
	r.check(q, 1, 8, false)
}

// interrupted returns a cursor of a queue at a gateway: that of event t3, of five that have come.
func (s *Site) interrupted(t *testing.T, h *events.Hub, queue string) (cursor string) {
	t.Helper()
	r := subscribe(t, h, queue)
	s.write(t, queue, 1, 1)
	r.until("the first event, or an announcement", func() bool { return r.told > 0 || r.has(queue, 1)() })
	s.write(t, queue, 2, 5)
	r.until("the fifth event", r.has(queue, 5))
	r.s.Close()
	return r.cursors["t3"]
}

func resumeHere(t *testing.T, s *Site) {
	q := redistest.Queue(t)
	h, _ := s.gateway(t)
	cursor := s.interrupted(t, h, q)
	s.write(t, q, 6, 9)

	r := resume(t, h, q, cursor)

	r.until("the last event", r.has(q, 9))
	s.write(t, q, 10, 12)
	r.until("what followed", r.has(q, 12))
	r.check(q, 4, 12, true)
}

func resumeBeside(t *testing.T, s *Site) {
	q := redistest.Queue(t)
	s.write(t, q, 0, 0) // both have to know the queue
	h, promises := s.gateway(t)
	beside, _ := s.gateway(t)
	subscribe(t, beside, q).s.Close() // which returns when it is there
	cursor := s.interrupted(t, h, q)
	s.write(t, q, 6, 9)

	r := resume(t, beside, q, cursor)

	r.until("the last event, or an announcement", func() bool { return r.told > 0 || r.has(q, 9)() })
	s.write(t, q, 10, 12)
	r.until("what followed", r.has(q, 12))
	r.check(q, 4, 12, promises.Resume >= events.ReachPeers)
}

func resumeLater(t *testing.T, s *Site) {
	q := redistest.Queue(t)
	h, promises := s.gateway(t)
	cursor := s.interrupted(t, h, q)
	s.write(t, q, 6, 9)
	later, _ := s.gateway(t)

	r := resume(t, later, q, cursor)

	r.until("the last event, or an announcement", func() bool { return r.told > 0 || r.has(q, 9)() })
	s.write(t, q, 10, 12)
	r.until("what followed", r.has(q, 12))
	r.check(q, 4, 12, promises.Resume == events.ReachAll)
}

func outage(t *testing.T, s *Site) {
	if s.Cut == nil {
		t.Skip("the network between the gateway and what feeds it cannot be cut here")
	}
	q := redistest.Queue(t)
	s.write(t, q, 1, 1)
	h, promises := s.gateway(t)
	r := subscribe(t, h, q)
	s.write(t, q, 2, 4)
	r.until("what came before", r.has(q, 4))
	r.forget(q, 1) // which may have been on its way when the gateway began

	s.Cut()
	s.write(t, q, 5, 9)
	s.Heal()

	r.until("what was written meanwhile, or an announcement", func() bool { return r.told > 0 || r.has(q, 9)() })
	s.write(t, q, 10, 12)
	r.until("what followed", r.has(q, 12))
	r.check(q, 2, 12, promises.Lossless)
}

func lostHistory(t *testing.T, s *Site) {
	if s.Flush == nil {
		t.Skip("others have their data in this Redis")
	}
	q := redistest.Queue(t)
	s.write(t, q, 1, 1)
	h, _ := s.gateway(t)
	r := subscribe(t, h, q)
	s.write(t, q, 2, 4)
	r.until("what came before", r.has(q, 4))
	r.forget(q, 1) // which may have been on its way when the gateway began

	<-time.After(5 * time.Millisecond) // by which the IDs of the new history differ: they are of the clock
	s.Flush()
	s.write(t, q, 5, 6)

	r.until("an announcement", func() bool { return r.told > 0 })
	s.write(t, q, 7, 9)
	r.until("what followed", r.has(q, 9))
	r.check(q, 2, 9, false)
}
