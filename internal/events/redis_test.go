package events

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redistest"
)

// patience is how long a test waits for what must happen.
const patience = 30 * time.Second

func runHub(t testing.TB, rdb redis.UniversalClient, s Snapshotter, cfg Config) *Hub {
	t.Helper()
	return runHubOn(t, opened(t, rdb), s, cfg)
}

func opened(t testing.TB, rdb redis.UniversalClient) redisStreams {
	t.Helper()
	streams, err := openStreams(rdb)
	if err != nil {
		t.Fatal(err)
	}
	return streams
}

func runHubOn(t testing.TB, streams streams, s Snapshotter, cfg Config) *Hub {
	t.Helper()
	cfg.Logger = slog.New(slog.DiscardHandler)
	h, err := newHub(streams, s, cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run returned %v", err)
		}
	})
	return h
}

func xadd(t testing.TB, rdb redis.UniversalClient, queue string, events ...event) string {
	t.Helper()
	id, err := rdb.XAdd(t.Context(), &redis.XAddArgs{
		Stream: keys.Queue(queue).Events(), Values: []string{"e", encodeEvents(events)},
	}).Result()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// declare makes queues known, as the first task in each would.
func declare(t testing.TB, rdb redis.UniversalClient, queues ...string) {
	t.Helper()
	for _, q := range queues {
		if err := rdb.SAdd(t.Context(), keys.Queues, q).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// await returns the next n frames, in short.
func await(t *testing.T, s *Subscription, n int) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var all []string
	for len(all) < n {
		frames, err := s.Next(ctx, patience)
		if err != nil {
			t.Fatalf("after %v: %v", all, err)
		}
		for _, f := range frames {
			all = append(all, short(t, f))
		}
	}
	return all
}

func TestEventsReachSubscribers(t *testing.T) {
	t.Parallel()
	redistest.EachWithEmbedded(t, func(t *testing.T, rdb redis.UniversalClient) {
		q := redistest.Queue(t)
		declare(t, rdb, q)
		xadd(t, rdb, q, progress("before", 1))
		h := runHub(t, rdb, nothing, Config{})
		live := subscribe(t, h, Filter{Queue: q})
		xadd(t, rdb, q, progress("a", 1), progress("b", 1))
		xadd(t, rdb, q, progress("a", 2))

		expect(t, await(t, live, 4), "snapshot()", "a:1", "b:1", "a:2")
		resumed := resume(t, h, Filter{Queue: q}, "0-0:0")
		expect(t, await(t, resumed, 4), "before:1", "a:1", "b:1", "a:2")
	})
}

func TestQueueIsFoundWhileWatching(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, rdb redis.UniversalClient) {
		h := runHub(t, rdb, nothing, Config{})
		q := redistest.Queue(t)
		s := subscribe(t, h, Filter{Queue: q})
		declare(t, rdb, q)
		xadd(t, rdb, q, progress("a", 1))

		expect(t, await(t, s, 2), "snapshot()", "a:1")
	})
}

func TestLookTellsHowAStreamStands(t *testing.T) {
	t.Parallel()
	redistest.EachWithEmbedded(t, func(t *testing.T, rdb redis.UniversalClient) {
		q := redistest.Queue(t)
		stream := redisStreams{rdb: rdb}
		lookAt := func(id EntryID) view {
			t.Helper()
			v, err := stream.Look(t.Context(), q, id)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
		if v := lookAt(EntryID{1, 1}); v.exists {
			t.Errorf("no stream: %+v", v)
		}
		var ids []EntryID
		for seq := range uint64(3) {
			id, err := ParseEntryID(xadd(t, rdb, q, progress("a", seq)))
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, id)
		}
		if v := lookAt(ids[0]); !v.has {
			t.Errorf("the entry is there: %+v", v)
		}
		if err := rdb.XTrimMaxLen(t.Context(), keys.Queue(q).Events(), 1).Err(); err != nil {
			t.Fatal(err)
		}
		v := lookAt(ids[0])
		if v.has || !v.exists || v.first != ids[2] || v.last != ids[2] || v.length != 1 || v.added != 3 && v.added != -1 {
			t.Errorf("trimmed: %+v, the entries are %v", v, ids)
		}
	})
}

func TestManyQueuesLeaveConnectionsForOthers(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t)
	queues := make([]string, 3*rdb.Options().PoolSize)
	for i := range queues {
		queues[i] = fmt.Sprint("q", i)
	}
	declare(t, rdb, queues...)
	h := runHub(t, rdb, nothing, Config{})
	s := subscribe(t, h, Filter{})
	expect(t, await(t, s, 1), "snapshot()")

	for _, q := range queues {
		xadd(t, rdb, q, progress(q, 1))

		expect(t, await(t, s, 1), q+":1")
	}
}

func TestTrimmedStreamIsAnnouncedToThoseWhoMissEventsOnly(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, rdb redis.UniversalClient) {
		q := redistest.Queue(t)
		declare(t, rdb, q)
		xadd(t, rdb, q, progress("a", 1))
		h := runHub(t, rdb, nothing, Config{})
		live := subscribe(t, h, Filter{Queue: q})
		expect(t, await(t, live, 1), "snapshot()")
		early := live.Cursor()
		for seq := range uint64(20) {
			xadd(t, rdb, q, progress("a", 2+seq))
			if err := rdb.XTrimMaxLen(t.Context(), keys.Queue(q).Events(), 1).Err(); err != nil {
				t.Fatal(err)
			}

			expect(t, await(t, live, 1), fmt.Sprintf("a:%d", 2+seq)) // and no gap, though what was read last is gone
		}

		expect(t, await(t, resume(t, h, Filter{Queue: q}, early), 20), numbers("a", 1, 21)...) // the hub has them in memory
		other := runHub(t, rdb, nothing, Config{})
		late := resume(t, other, Filter{Queue: q}, early)
		expect(t, await(t, late, 3), "gap("+q+",more)", "snapshot()", "a:21")
	})
}

func TestFlushedRedisIsAnnouncedAndWatchedOn(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t)
	declare(t, rdb, "q")
	h := runHub(t, rdb, nothing, Config{})
	s := subscribe(t, h, Filter{})
	xadd(t, rdb, "q", progress("a", 1))
	expect(t, await(t, s, 2), "snapshot()", "a:1")

	if err := rdb.FlushDB(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	expect(t, await(t, s, 2), "reset(q,nothing)", "snapshot()")
	xadd(t, rdb, "q", progress("a", 1))

	expect(t, await(t, s, 1), "a:1")
}

func TestRestartedRedisIsWatchedOn(t *testing.T) {
	t.Parallel()
	server := redistest.Exclusive(t, "--appendonly", "yes", "--appendfsync", "always")
	rdb := server.Client()
	declare(t, rdb, "q")
	h := runHub(t, rdb, nothing, Config{})
	s := subscribe(t, h, Filter{})
	xadd(t, rdb, "q", progress("a", 1))
	expect(t, await(t, s, 2), "snapshot()", "a:1")

	server.Restart()
	xadd(t, server.Client(), "q", progress("a", 2))
	xadd(t, server.Client(), "q", progress("a", 3))

	expect(t, await(t, s, 2), "a:2", "a:3")
}
