package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/bench/ground"
	"github.com/seri-queue/seri/internal/events"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/pause"
	"github.com/seri-queue/seri/internal/store"
	"github.com/seri-queue/seri/internal/wire"
)

// stateOnly writes what the script writes about the task, and no event: what that is replicated by is taken off the others.
const stateOnly = "none"

// ways are what is measured.
var ways = []string{stateOnly, string(store.PubSub), string(store.ShardedPubSub), string(store.Streams)}

// late is how long the last event may take to the last gateway.
const late = time.Minute

// run measures one way.
func run(ctx context.Context, c config, cluster *ground.Cluster, way string) (row, error) {
	for _, n := range cluster.Nodes[:cluster.Masters] {
		if err := n.Client.FlushAll(ctx).Err(); err != nil {
			return row{}, err
		}
	}
	rdb := redis.NewClusterClient(&redis.ClusterOptions{Addrs: cluster.Addrs()})
	defer rdb.Close()
	w := writer{rdb: rdb, carrier: store.Carrier(way)}
	if way == stateOnly {
		w.carrier = store.Streams
	}
	if err := w.begin(ctx, cluster, c.queues); err != nil {
		return row{}, err
	}
	var crew sync.WaitGroup
	defer crew.Wait()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	gateways := make([]gateway, c.gateways)
	if way != stateOnly {
		for i := range gateways {
			if err := gateways[i].open(ctx, cluster, w.carrier, &crew, cancel); err != nil {
				return row{}, err
			}
		}
	}

	before, err := take(ctx, cluster)
	if err != nil {
		return row{}, err
	}
	if !pause.For(ctx, c.idle) {
		return row{}, context.Cause(ctx)
	}
	rested, err := take(ctx, cluster)
	if err != nil {
		return row{}, err
	}
	took, err := w.write(ctx, c, way == stateOnly)
	if err != nil {
		return row{}, err
	}
	if way != stateOnly {
		for i := range gateways {
			if err := gateways[i].await(ctx, int64(c.events)); err != nil {
				return row{}, fmt.Errorf("gateway %d: %w", i+1, err)
			}
		}
	}
	after, err := take(ctx, cluster)
	if err != nil {
		return row{}, err
	}
	r := newRow(after.since(rested).without(rested.since(before)), float64(c.events), float64(len(cluster.Nodes)))
	r.Way, r.Masters, r.Nodes, r.Gateways, r.Queues, r.Events = way, cluster.Masters, len(cluster.Nodes), c.gateways, c.queues, c.events
	r.PerSecond = float64(c.events) / took.Seconds()
	return r, nil
}

// writer writes events: progress of one task of each queue.
type writer struct {
	rdb     *redis.ClusterClient
	carrier store.Carrier
	store   *store.Store
	queues  []keys.Queue
	leases  []store.Lease
}

// text is what a task says about its progress, so that an event has about 200 bytes.
var text = strings.Repeat("x", 40)

// begin has a task of each queue be active.
func (w *writer) begin(ctx context.Context, cluster *ground.Cluster, queues int) error {
	w.store = store.New(w.rdb, store.Config{Events: w.carrier})
	taken := make(map[int]bool)
	for n := 0; len(w.queues) < queues; n++ {
		q := keys.Queue("bus" + strconv.Itoa(n))
		slot, err := w.rdb.ClusterKeySlot(ctx, q.Events()).Result()
		if err != nil {
			return err
		}
		if owner := cluster.Owner(int(slot)); !taken[owner] {
			taken[owner] = true
			w.queues = append(w.queues, q)
		}
	}
	for _, q := range w.queues {
		m, err := seri.NewMessage("bus:task", nil, seri.Queue(string(q)))
		if err != nil {
			return err
		}
		if _, err := w.store.Enqueue(ctx, q, []seri.Message{m}); err != nil {
			return err
		}
		batch, err := w.store.Dequeue(ctx, q, store.Wanted{Tasks: 1, Lease: time.Hour, Worker: "bus:1:bench", Types: []string{"bus:task"}})
		if err != nil {
			return err
		}
		if len(batch.Leases) != 1 {
			return fmt.Errorf("of queue %s, %d tasks were taken", q, len(batch.Leases))
		}
		w.leases = append(w.leases, batch.Leases[0])
	}
	return nil
}

// write writes all events at their rate and returns how long that took.
func (w *writer) write(ctx context.Context, c config, plain bool) (time.Duration, error) {
	begun := time.Now()
	faults := make([]error, len(w.queues))
	var writing sync.WaitGroup
	for i, q := range w.queues {
		share := c.events / len(w.queues)
		if i < c.events%len(w.queues) {
			share++
		}
		gap := time.Second * time.Duration(len(w.queues)) / time.Duration(c.rate)
		writing.Go(func() {
			for n := range share {
				if wait := time.Until(begun.Add(time.Duration(n) * gap)); wait > 0 && !pause.For(ctx, wait) {
					faults[i] = context.Cause(ctx)
					return
				}
				if faults[i] = w.one(ctx, q, &w.leases[i], int64(n), plain); faults[i] != nil {
					return
				}
			}
		})
	}
	writing.Wait()
	return time.Since(begun), errors.Join(faults...)
}

func (w *writer) one(ctx context.Context, q keys.Queue, lease *store.Lease, n int64, plain bool) error {
	p := seri.ProgressInfo{Done: n, Total: 1_000_000, Message: text}
	if plain {
		return w.rdb.HSet(ctx, q.Task(lease.ID()), "progress", fmt.Sprintf(`{"done":%d,"total":1000000,"message":%q}`, n, text), "seq", n).Err()
	}
	refused, err := w.store.Progress(ctx, q, []store.Report{{Lease: lease, Progress: p}})
	return errors.Join(append(refused, err)...)
}

// gateway is a hub of events, with one subscriber to all of them.
type gateway struct {
	got  atomic.Int64
	news chan struct{} // holds a value when more has come
}

// nobody has no tasks to show.
type nobody struct{}

func (nobody) Snapshots(_ context.Context, filters []events.Filter) ([]events.Snapshot, error) {
	return make([]events.Snapshot, len(filters)), nil
}

// open begins to read, until ctx ends, which it does with the fault if there is one.
func (g *gateway) open(ctx context.Context, cluster *ground.Cluster, carrier store.Carrier, crew *sync.WaitGroup, end context.CancelCauseFunc) error {
	rdb := redis.NewClusterClient(&redis.ClusterOptions{Addrs: cluster.Addrs()})
	transport, err := events.Open(rdb, carrier)
	if err != nil {
		return errors.Join(err, rdb.Close())
	}
	hub, err := events.NewOn(transport, nobody{}, events.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return errors.Join(err, rdb.Close())
	}
	g.news = make(chan struct{}, 1)
	crew.Go(func() {
		defer rdb.Close()
		_ = hub.Run(ctx) // until ctx ends
	})
	s, err := hub.Subscribe(ctx, events.Filter{})
	if err != nil {
		return err
	}
	if _, err := s.Next(ctx, late); err != nil { // the snapshot
		return err
	}
	crew.Go(func() {
		defer s.Close()
		for ctx.Err() == nil {
			if err := g.read(ctx, s); err != nil {
				end(err)
			}
		}
	})
	return nil
}

func (g *gateway) read(ctx context.Context, s *events.Subscription) error {
	frames, err := s.Next(ctx, time.Second)
	if err != nil {
		return err
	}
	for _, f := range frames {
		switch f.Type {
		case wire.TypeGap, wire.TypeReset:
			return fmt.Errorf("events are missing: %s", f.JSON)
		case "dev.seri.task.progress":
			g.got.Add(1)
		}
	}
	select {
	case g.news <- struct{}{}:
	default:
	}
	return nil
}

// await waits until all events have come.
func (g *gateway) await(ctx context.Context, all int64) error {
	ctx, cancel := context.WithTimeoutCause(ctx, late, errors.New("time is up"))
	defer cancel()
	for g.got.Load() < all {
		select {
		case <-g.news:
		case <-ctx.Done():
			return fmt.Errorf("%d of %d events have come: %w", g.got.Load(), all, context.Cause(ctx))
		}
	}
	return nil
}
