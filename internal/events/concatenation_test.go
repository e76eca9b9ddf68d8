package events

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redistest"
)

// world writes events as scripts do, and knows each task's last number.
type world struct {
	rdb    redis.UniversalClient
	queues []string
	owners []string
	types  []string
	locks  map[string]*sync.Mutex // of a queue: its numbers are given out in order
}

func newWorld(t *testing.T, rdb redis.UniversalClient) *world {
	w := &world{rdb: rdb, owners: []string{"", "user:1", "user:2"}, types: []string{"csv", "image"}, locks: map[string]*sync.Mutex{}}
	for range 3 {
		q := redistest.Queue(t)
		w.queues = append(w.queues, q)
		w.locks[q] = new(sync.Mutex)
	}
	return w
}

// seqs is the key of the hash of last numbers; it shares the queue's slot.
func seqs(queue string) string { return "test:{" + queue + "}:seqs" }

// write appends one entry of events, none of which may be left out for a slow reader, about the queue's tasks, and their numbers, in one transaction.
func (w *world) write(ctx context.Context, random *rand.Rand, queue string) error {
	w.locks[queue].Lock()
	defer w.locks[queue].Unlock()
	last, err := w.rdb.HGetAll(ctx, seqs(queue)).Result()
	if err != nil {
		return err
	}
	var events []event
	for range 1 + random.IntN(4) {
		n := random.IntN(6)
		e := event{
			Kind: seri.EventStarted, Task: fmt.Sprintf("%s-%d", queue, n),
			Owner: w.owners[n%len(w.owners)], Type: w.types[n%len(w.types)],
		}
		seq, _ := strconv.ParseUint(last[e.Task], 10, 64)
		e.Seq = seq + 1
		last[e.Task] = strconv.FormatUint(e.Seq, 10)
		events = append(events, e)
	}
	_, err = w.rdb.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.XAdd(ctx, &redis.XAddArgs{Stream: keys.Queue(queue).Events(), Values: []string{"e", encodeEvents(events)}})
		p.HSet(ctx, seqs(queue), last)
		return nil
	})
	return err
}

func (w *world) Snapshots(ctx context.Context, filters []Filter) ([]Snapshot, error) {
	shown := make([]Snapshot, len(filters))
	for i, f := range filters {
		var err error
		if shown[i].Tasks, err = w.tasks(ctx, f); err != nil {
			return nil, err
		}
	}
	return shown, nil
}

func (w *world) tasks(ctx context.Context, f Filter) ([]seri.Info, error) {
	var tasks []seri.Info
	for _, queue := range w.queues {
		last, err := w.rdb.HGetAll(ctx, seqs(queue)).Result()
		if err != nil {
			return nil, err
		}
		for _, id := range slices.Sorted(maps.Keys(last)) {
			seq, _ := strconv.ParseUint(last[id], 10, 64)
			e := w.about(id)
			if f.Matches(&e) {
				tasks = append(tasks, seri.Info{ID: id, Queue: queue, Owner: e.Owner, Type: e.Type, Seq: seq})
			}
		}
	}
	return tasks, nil
}

// worldStreams are those of one world, on a Redis Cluster that other tests use too.
type worldStreams struct {
	redisStreams
	world *world
}

func (s worldStreams) Queues(ctx context.Context) ([]string, error) {
	queues, err := s.redisStreams.Queues(ctx)
	return slices.DeleteFunc(queues, func(q string) bool { return !slices.Contains(s.world.queues, q) }), err
}

// about returns the event's task, but for its number, by its name.
func (w *world) about(task string) seri.Event {
	queue, number, _ := cutLast(task, "-")
	n, _ := strconv.Atoi(number)
	return seri.Event{Task: task, Queue: queue, Owner: w.owners[n%len(w.owners)], Type: w.types[n%len(w.types)]}
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// filter returns a filter of any form.
func (w *world) filter(random *rand.Rand) Filter {
	queue := w.queues[random.IntN(len(w.queues))]
	task := fmt.Sprintf("%s-%d", queue, random.IntN(6))
	return []Filter{
		{Queue: queue}, {Owner: "user:1"}, {Type: "image"}, {Owner: "user:2", Type: "csv"},
		{Task: task}, {Task: task, Queue: queue}, {Owner: "user:1", Queue: queue},
	}[random.IntN(7)]
}

// TestConcatenationEqualsTheStream is the promise: whatever subscribers do (come, go, come back at any cursor that they
// were given, to any gateway), what they have received in the end is what the streams hold after their first positions,
// but for what their snapshot showed, in order, nothing missing, nothing twice.
func TestConcatenationEqualsTheStream(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, rdb redis.UniversalClient) {
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		w := newWorld(t, rdb)
		declare(t, rdb, w.queues[0]) // the others appear in the course of the test
		for range 20 {
			if err := w.write(t.Context(), rand.New(rand.NewPCG(seed, 0)), w.queues[0]); err != nil {
				t.Fatal(err)
			}
		}
		var gateways []*Hub
		for range 2 {
			gateways = append(gateways, runHubOn(t, worldStreams{opened(t, rdb), w}, w, Config{Buffer: 20_000}))
		}

		var writers, readers sync.WaitGroup
		written := make(chan struct{})
		for i := range 4 {
			random := rand.New(rand.NewPCG(seed, uint64(1+i)))
			writers.Go(func() {
				for n := range 150 {
					queue := w.queues[random.IntN(1+n*len(w.queues)/151)]
					if err := w.write(t.Context(), random, queue); err != nil {
						t.Error(err)
						return
					}
					if err := rdb.SAdd(t.Context(), keys.Queues, queue).Err(); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		watchers := make([]*watcher, 24)
		for i := range watchers {
			random := rand.New(rand.NewPCG(seed, uint64(100+i)))
			watchers[i] = &watcher{world: w, gateways: gateways, random: random, filters: []Filter{w.filter(random)}}
			for i%2 == 1 && len(watchers[i].filters) < 5 {
				watchers[i].filters = append(watchers[i].filters, w.filter(random))
			}
			readers.Go(func() { watchers[i].watch(t, written) })
		}
		writers.Wait()
		close(written)
		readers.Wait()

		resumes := 0
		for i, watcher := range watchers {
			watcher.compare(t, fmt.Sprintf("watcher %d of %+v", i, watcher.filters))
			resumes += watcher.resumed
		}
		t.Logf("%d subscriptions were resumed", resumes)
	})
}

// watcher is one subscriber over all its connections.
type watcher struct {
	world    *world
	gateways []*Hub
	random   *rand.Rand
	filters  []Filter // of more than one: gathered

	first    Cursor              // of its first snapshot
	known    []map[string]uint64 // by the snapshot of each filter
	received []received
	resumed  int
}

type received struct{ name, cursor string }

func (w *watcher) watch(t *testing.T, written <-chan struct{}) {
	var expected []string
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		s, err := w.connect(ctx)
		if errors.Is(err, seri.ErrNotFound) && ctx.Err() == nil {
			continue // its task does not exist yet
		}
		if err != nil {
			t.Error(err)
			return
		}
		leaveAfter := w.random.IntN(200)
		for n := 0; n <= leaveAfter || expected != nil; n++ {
			frames, err := s.Next(ctx, 20*time.Millisecond)
			if _, slow := errors.AsType[*SlowError](err); slow {
				break
			}
			if err != nil {
				t.Errorf("%+v received %d, wants %d: %v", w.filters, len(w.received), len(expected), err)
				s.Close()
				return
			}
			for _, f := range frames {
				w.receive(t, f)
			}
			if expected == nil {
				select {
				case <-written:
					expected = w.expected(t)
				default:
				}
			}
			if expected != nil && len(frames) == 0 && len(w.received) >= len(expected) {
				s.Close() // and a moment has passed in which nothing came
				return
			}
		}
		s.Close()
	}
}

// connect subscribes, or resumes at one of the last cursors, forgetting what it had received after that.
func (w *watcher) connect(ctx context.Context) (*Subscription, error) {
	hub := w.gateways[w.random.IntN(len(w.gateways))]
	gathers := len(w.filters) > 1
	if w.known == nil && gathers {
		s, err := hub.Gather(ctx)
		var wanted []Wanted
		for i, f := range w.filters {
			wanted = append(wanted, Wanted{fmt.Sprint(i), f})
		}
		for len(wanted) > 0 && err == nil {
			n := 1 + w.random.IntN(len(wanted))
			var refused []error
			refused, err = s.Add(ctx, wanted[:n]...)
			err = errors.Join(append(refused, err)...)
			wanted = wanted[n:]
		}
		if err != nil && s != nil {
			s.Close()
		}
		return s, err
	}
	if w.known == nil {
		return hub.Subscribe(ctx, w.filters[0])
	}
	keep := max(0, len(w.received)-w.random.IntN(20))
	w.received = w.received[:keep]
	queue := w.filters[0].Queue
	if gathers {
		queue = ""
	}
	cursor := w.first.Text(queue)
	if keep > 0 {
		cursor = w.received[keep-1].cursor
	}
	c, err := ParseCursor(cursor, queue)
	if err != nil {
		return nil, err
	}
	w.resumed++
	if gathers {
		named := make(map[string]Filter)
		for i, f := range w.filters {
			named[fmt.Sprint(i)] = f
		}
		return hub.GatherAfter(ctx, c, named)
	}
	return hub.Resume(ctx, w.filters[0], c)
}

func (w *watcher) receive(t *testing.T, f Frame) {
	name := short(t, f)
	_, tasks, isSnapshot := strings.Cut(name, "snapshot(")
	switch {
	case isSnapshot && len(w.known) < len(w.filters):
		known := map[string]uint64{}
		for task := range strings.SplitSeq(strings.TrimSuffix(tasks, ")"), ",") {
			id, seq, _ := strings.Cut(task, ":")
			known[id], _ = strconv.ParseUint(seq, 10, 64)
		}
		if w.known = append(w.known, known); len(w.known) > 1 {
			return
		}
		first, err := ParseCursor(f.Cursor, w.filters[0].Queue)
		if err != nil {
			t.Error(err)
		}
		w.first = first
	case w.shown(name):
		if w.resumed == 0 {
			t.Errorf("%+v received %s, which its snapshot had shown", w.filters, name)
		}
	default: // a gap or a second snapshot is an error, which the comparison will show
		w.received = append(w.received, received{name, f.Cursor})
	}
}

// shown reports whether the snapshots of all filters that it meets have shown an event. A subscription that is resumed does not know that any more.
func (w *watcher) shown(name string) bool {
	task, seq, _ := strings.Cut(name, ":")
	if strings.Contains(name, "(") {
		return false
	}
	e := w.world.about(task)
	e.Seq, _ = strconv.ParseUint(seq, 10, 64)
	return !w.wants(&e)
}

func (w *watcher) wants(e *seri.Event) bool {
	for i, f := range w.filters {
		if f.Matches(e) && e.Seq > w.known[i][e.Task] {
			return true
		}
	}
	return false
}

// expected reads from the streams what the watcher must have got, queue by queue.
func (w *watcher) expected(t *testing.T) []string {
	var names []string
	for _, queue := range w.world.queues {
		entries, err := redisStreams{rdb: w.world.rdb}.Range(t.Context(), queue, EntryID{}, 100_000)
		if err != nil {
			t.Error(err)
		}
		for _, e := range entries {
			for i, ev := range w.gateways[0].decode(queue, e) {
				at := Position{e.id, i}
				if at.Compare(w.first.At(queue)) > 0 && w.wants(&ev) {
					names = append(names, fmt.Sprintf("%s:%d", ev.Task, ev.Seq))
				}
			}
		}
	}
	if names == nil {
		names = []string{}
	}
	return names
}

func (w *watcher) compare(t *testing.T, who string) {
	var got []string
	for _, queue := range w.world.queues {
		for _, r := range w.received {
			if strings.HasPrefix(r.name, queue+"-") {
				got = append(got, r.name)
			}
		}
	}
	for _, r := range w.received {
		if strings.Contains(r.name, "(") {
			t.Errorf("%s received %s", who, r.name)
		}
	}
	want := w.expected(t)
	if !slices.Equal(got, want) {
		at := 0
		for at < min(len(got), len(want)) && got[at] == want[at] {
			at++
		}
		t.Errorf("%s received %d events, expected %d; they differ from the %dth: %v…, expected %v…",
			who, len(got), len(want), at, got[at:min(len(got), at+5)], want[at:min(len(want), at+5)])
	}
}
