package store_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redisfault"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/internal/redisurl"
	"github.com/seri-queue/seri/internal/store"
)

// blockLong is a limit that no test reaches.
const blockLong = time.Minute

// blocking returns a client for calls that block.
func blocking(t testing.TB, rdb redis.UniversalClient) redis.UniversalClient {
	t.Helper()
	own, err := redisurl.Clone(rdb, 1, blockLong)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = own.Close() })
	return own
}

type awaited struct {
	batch store.Batch
	err   error
}

// await asks for tasks in the background.
func await(t testing.TB, s *store.Store, rdb redis.UniversalClient, q keys.Queue, n int) <-chan awaited {
	t.Helper()
	done := make(chan awaited, 1)
	go func() {
		batch, err := s.Await(t.Context(), rdb, q, store.Wanted{Tasks: n, Lease: leaseFor, Worker: "host:1:w"}, blockLong)
		done <- awaited{batch, err}
	}()
	return done
}

// leaseFor is the lease of awaited tasks.
const leaseFor = 30 * time.Second

func TestAwaitLeasesWhatIsPendingOrComes(t *testing.T) {
	each(t, func(s *scene) {
		rdb := blocking(s.t, s.rdb)
		s.addMany("t", 3)
		if got := <-await(s.t, s.Store, rdb, s.q, 2); got.err != nil || len(got.batch.Leases) != 2 || got.batch.Leases[0].ID() != "t0" {
			s.t.Fatalf("of three that wait: %+v, %v", got.batch, got.err)
		}
		s.dequeue(1)

		coming := await(s.t, s.Store, rdb, s.q, 5)
		s.add("late")

		got := <-coming
		if got.err != nil || len(got.batch.Leases) != 1 || got.batch.Leases[0].ID() != "late" {
			s.t.Fatalf("%+v, %v", got.batch, got.err)
		}
		s.stands("late", "active")
		s.tells("late", "queued started")
	})
}

func TestAwaitOfAnEmptyQueueEnds(t *testing.T) {
	each(t, func(s *scene) {
		rdb := blocking(s.t, s.rdb)
		s.changesNothing("an await of an empty queue", func() {
			got, err := s.Await(s.ctx(), rdb, s.q, store.Wanted{Tasks: 1, Lease: leaseFor, Worker: "host:1:w"}, 20*time.Millisecond)
			if err != nil || got.Popped != 0 || len(got.Leases) != 0 {
				s.t.Errorf("%+v, %v", got, err)
			}
		})
	})
}

func TestAwaitTellsOfAPausedQueue(t *testing.T) {
	each(t, func(s *scene) {
		rdb := blocking(s.t, s.rdb)
		s.add("t1")
		if err := s.Pause(s.ctx(), s.q); err != nil {
			s.t.Fatal(err)
		}
		if got := <-await(s.t, s.Store, rdb, s.q, 1); got.err != nil || !got.batch.Paused || len(got.batch.Leases) != 0 {
			s.t.Errorf("%+v, %v", got.batch, got.err)
		}
	})
}

func TestAwaitIsRefusedWhereTheListIsNone(t *testing.T) {
	each(t, func(s *scene) {
		rdb := blocking(s.t, s.rdb)
		s.rdb.Set(s.ctx(), s.q.Pending(), "no list", 0)
		if got := <-await(s.t, s.Store, rdb, s.q, 1); got.err == nil {
			s.t.Errorf("%+v, and no error: the caller would ask without end", got.batch)
		}
	})
}

// waitUntilBlocked waits until a client of the server is blocked.
func waitUntilBlocked(t testing.TB, rdb *redis.Client) {
	t.Helper()
	for start := time.Now(); time.Since(start) < 10*time.Second; {
		if info, err := rdb.InfoMap(t.Context(), "clients").Result(); err == nil && info["Clients"]["blocked_clients"] == "1" {
			return
		}
	}
	t.Fatal("no client is blocked")
}

func TestAwaitOutlivesTheLossOfAllScripts(t *testing.T) {
	t.Parallel()
	rdb := redistest.Exclusive(t).Client()
	s, q := store.New(rdb, store.Config{}), keys.Queue("q")
	coming := await(t, s, blocking(t, rdb), q, 1)
	waitUntilBlocked(t, rdb)
	if err := rdb.ScriptFlush(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}

	m, err := seri.NewMessage("test:task", nil, seri.Queue("q"), seri.ID("t1"))
	if err != nil {
		t.Fatal(err)
	}
	if errs, err := s.Enqueue(t.Context(), q, []seri.Message{m}); err != nil || errs[0] != nil {
		t.Fatal(errs, err)
	}

	if got := <-coming; got.err != nil || len(got.batch.Leases) != 1 {
		t.Errorf("%+v, %v", got.batch, got.err)
	}
}

func TestAwaitEndsWithItsConnection(t *testing.T) {
	t.Parallel()
	rdb := redistest.Exclusive(t).Client()
	own := blocking(t, rdb)
	coming := await(t, store.New(rdb, store.Config{}), own, "q", 1)
	waitUntilBlocked(t, rdb)

	_ = own.Close()

	if got := <-coming; !redisfault.MayHaveRun(got.err) {
		t.Errorf("error %v; the call may have leased tasks", got.err)
	}
}
