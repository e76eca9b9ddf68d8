package store_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/store"
	"github.com/seri-queue/seri/internal/wire"
)

func TestDequeueLeasesTheNextTasks(t *testing.T) {
	each(t, func(s *scene) {
		ids := s.addMany("t", 5, func(m *seri.Message) { m.Owner = "user:1" })
		before := s.now()

		b := s.dequeue(3)

		after := s.now()
		if len(b.Leases) != 3 || b.Popped != 3 || b.Ghosts+b.Parked+b.Broken != 0 || b.Paused {
			s.t.Fatalf("batch %+v", b)
		}
		for i, l := range b.Leases {
			if l.ID() != ids[i] || l.Queue != s.q || l.Owner != "user:1" || l.Attempt() != 1 || l.Nonce == "" {
				s.t.Errorf("lease %d: %+v", i, l)
			}
			s.stands(l.ID(), "active")
			last := s.tells(l.ID(), "queued started")
			if last.Data.Attempt != 1 || last.Data.Worker != "host:1:w" || last.Owner != "user:1" {
				s.t.Errorf("event %+v", last)
			}
			expiry := s.rdb.ZScore(s.ctx(), s.q.Lease(), l.ID()).Val()
			if low, high := unix(before)+30-1e-5, unix(after)+30+1e-5; expiry < low || expiry > high {
				s.t.Errorf("the lease ends at %f, want it 30 s from Redis' time, between %f and %f", expiry, low, high)
			}
			if info := s.info(l.ID()); info.State != seri.Active || info.Attempt != 1 || info.StartedAt.IsZero() {
				s.t.Errorf("info %+v", info)
			}
		}
		if rest := s.dequeue(1000); rest.Popped != 2 || len(rest.Leases) != 2 {
			s.t.Errorf("the rest is %+v", rest)
		}
		s.changesNothing("a dequeue of an empty queue", func() {
			if empty := s.dequeue(1000); empty.Popped != 0 || len(empty.Leases) != 0 {
				s.t.Errorf("an empty queue gave %+v", empty)
			}
		})
	})
}

func unix(t time.Time) float64 { return float64(t.UnixMicro()) / 1e6 }

func TestDequeueTakesAThousandTasksAtOnce(t *testing.T) {
	each(t, func(s *scene) {
		s.addMany("t", 1000)

		b := s.dequeue(1000)

		if len(b.Leases) != 1000 || s.rdb.LLen(s.ctx(), s.q.Active()).Val() != 1000 || s.rdb.ZCard(s.ctx(), s.q.Lease()).Val() != 1000 {
			s.t.Fatalf("%d leases", len(b.Leases))
		}
		for i := 1; i < len(b.Leases); i++ {
			if b.Leases[i].Token <= b.Leases[i-1].Token {
				s.t.Fatalf("token %d follows %d", b.Leases[i].Token, b.Leases[i-1].Token)
			}
		}
		for _, n := range []int{0, -1, 1001} {
			if _, err := s.Dequeue(s.ctx(), s.q, store.Wanted{Tasks: n, Lease: time.Second}); err == nil {
				s.t.Errorf("%d tasks at once were granted", n)
			}
		}
	})
}

func TestDequeueLeavesAPausedQueueAlone(t *testing.T) {
	each(t, func(s *scene) {
		s.add("t1")
		if err := s.Pause(s.ctx(), s.q); err != nil {
			s.t.Fatal(err)
		}

		s.changesNothing("a dequeue of a paused queue", func() {
			if b := s.dequeue(10); !b.Paused || len(b.Leases) != 0 {
				s.t.Errorf("batch %+v", b)
			}
		})
		if err := s.Resume(s.ctx(), s.q); err != nil {
			s.t.Fatal(err)
		}
		if l := s.lease(); l.ID() != "t1" {
			s.t.Errorf("leased %s", l.ID())
		}
	})
}

// A token of today has 16 digits. Lua's tostring and the operator .. keep 14 of them.
func TestTokensKeepAllSixteenDigits(t *testing.T) {
	ahead := time.Now().Add(time.Hour).UnixMicro()
	eachCase(t, map[string]struct {
		fence int64 // the last token handed out; 0: none
		exact bool  // the next one is one more
	}{
		"in a queue that has handed out none":                 {0, false},
		"after one of an earlier time":                        {1_763_800_000_000_001, false},
		"after one that is ahead of the clock":                {ahead, true},
		"after one that is ahead, with a carry in its digits": {9_999_999_999_999, false},
		"after one that is near the limit of exact numbers":   {1<<53 - 5000, true},
	}, func(s *scene, c struct {
		fence int64
		exact bool
	}) {
		s.addMany("t", 100)
		if c.fence != 0 {
			s.rdb.Set(s.ctx(), s.q.Fence(), c.fence, 0)
		}
		start, last := s.now().UnixMicro(), uint64(c.fence)

		var leases []store.Lease
		for _, n := range []int{1, 2, 97} {
			leases = append(leases, s.dequeue(n).Leases...)
		}

		for i, l := range leases {
			if l.Token <= last {
				s.t.Fatalf("token %d follows %d", l.Token, last)
			}
			if c.exact && l.Token != last+1 {
				s.t.Fatalf("token %d follows %d, which is ahead of the clock: want one more", l.Token, last)
			}
			if !c.exact && l.Token < uint64(start) {
				s.t.Fatalf("token %d is behind the clock, %d", l.Token, start)
			}
			if i < 3 {
				if got := s.field(l.ID(), "fence"); got != strconv.FormatUint(l.Token, 10) {
					s.t.Errorf("the record says %s, the lease %d", got, l.Token)
				}
			}
			last = l.Token
		}
		if got := s.rdb.Get(s.ctx(), s.q.Fence()).Val(); got != strconv.FormatUint(last, 10) {
			s.t.Errorf("the fence is %s, want %d", got, last)
		}
		if ttl := s.rdb.TTL(s.ctx(), s.q.Fence()).Val(); ttl != -1 {
			s.t.Errorf("the fence has the TTL %v: it must outlive every task", ttl)
		}
	})
}

// The embedded store's clock can be set, so time can be shown to be Redis' own, and clocks to go wrong.
func TestTimeIsThatOfRedis(t *testing.T) {
	t.Parallel()
	server := miniredis.RunT(t)
	rdb := redis.NewClient(&redis.Options{Addr: server.Addr(), MaxRetries: -1})
	t.Cleanup(func() { rdb.Close() })
	s := newScene(t, rdb)
	clock := time.UnixMicro(1_900_000_000_250_007)
	server.SetTime(clock)

	s.add("t1")
	l := s.lease()

	if l.Token != uint64(clock.UnixMicro()) {
		t.Errorf("token %d, want Redis' time in µs, %d", l.Token, clock.UnixMicro())
	}
	if expiry := rdb.ZScore(t.Context(), s.q.Lease(), "t1").Val(); expiry != unix(clock)+30 {
		t.Errorf("the lease ends at %f, want 30 s from %v", expiry, clock)
	}
	if last := s.tells("t1", "queued started"); !last.Time.Equal(clock.Truncate(time.Millisecond)) {
		t.Errorf("event at %v, want %v", last.Time, clock)
	}

	server.SetTime(clock.Add(30*time.Second - time.Microsecond))
	if r := s.recover(); r.Taken != 0 {
		t.Error("a lease was taken a microsecond early")
	}
	server.SetTime(clock.Add(30 * time.Second))
	if r := s.recover(); r.Taken != 1 {
		t.Error("a lease was not taken in time")
	}

	server.SetTime(clock.Add(-time.Hour))
	if next := s.lease(); next.Token != l.Token+1 {
		t.Errorf("after the clock went back an hour, token %d follows %d", next.Token, l.Token)
	}
}

func TestDequeueSettlesWhatIsNotToRun(t *testing.T) {
	past := time.Now().Add(-time.Second)
	eachCase(t, map[string]struct {
		prepare func(s *scene)
		reason  seri.Reason
	}{
		"a task that has expired": {func(s *scene) {
			s.add("t1", func(m *seri.Message) { m.Expires = past })
		}, seri.ReasonExpired},
		"a unique task that has expired": {func(s *scene) {
			s.add("t1", func(m *seri.Message) { m.Expires, m.UniqueFor = past, time.Hour })
		}, seri.ReasonExpired},
		"a task that expired while it waited for a worker of its type": {func(s *scene) {
			s.add("t1")
			s.dequeue(1, "other")
			s.rdb.HSet(s.ctx(), s.q.Task("t1"), "expires", past.UnixMilli())
			s.come("t1")
			s.forward()
		}, seri.ReasonExpired},
		"a task that was revoked while it ran, and then handed back": {func(s *scene) {
			l := s.start("t1", func(m *seri.Message) { m.UniqueFor = time.Hour })
			if running, err := s.Revoke(s.ctx(), s.q, "t1"); err != nil || !running {
				s.t.Fatal(running, err)
			}
			s.must(s.Requeue(s.ctx(), s.q, []*store.Lease{l}))
		}, seri.ReasonRevoked},
	}, func(s *scene, c struct {
		prepare func(s *scene)
		reason  seri.Reason
	}) {
		c.prepare(s)
		before := len(s.story("t1"))

		b := s.dequeue(10)

		if len(b.Leases) != 0 || b.Popped != 1 {
			s.t.Errorf("batch %+v", b)
		}
		s.stands("t1", "archived")
		story := s.story("t1")
		if last := story[len(story)-1]; len(story) != before+1 || last.Kind != seri.EventRevoked || last.Data.Reason != c.reason {
			s.t.Errorf("events %+v", story)
		}
		if info := s.info("t1"); info.State != seri.Revoked || info.Reason != c.reason || info.FinishedAt.IsZero() {
			s.t.Errorf("info %+v", info)
		}
		if n := s.rdb.Exists(s.ctx(), s.q.Unique("mail:send", []byte(`{"to":"t1"}`))).Val(); n != 0 {
			s.t.Error("a task that will never run keeps its uniqueness lock")
		}
	})
}

func TestDequeueSetsTasksOfOtherTypesAside(t *testing.T) {
	each(t, func(s *scene) {
		s.add("strange", func(m *seri.Message) { m.Type = "strange" })
		s.add("known")

		b := s.dequeue(10, "mail:send", "x")

		if len(b.Leases) != 1 || b.Leases[0].ID() != "known" || b.Parked != 1 || b.Popped != 2 {
			s.t.Errorf("batch %+v", b)
		}
		s.stands("strange", "scheduled")
		last := s.tells("strange", "queued scheduled")
		if last.Data.Reason != seri.ReasonNoWorker || !last.Data.Due.After(last.Time) {
			s.t.Errorf("event %+v", last)
		}
		if info := s.info("strange"); info.State != seri.Scheduled || info.Reason != seri.ReasonNoWorker || !info.DueAt.Equal(last.Data.Due) {
			s.t.Errorf("info %+v", info)
		}

		// Looking again without success is not news.
		for range 3 {
			s.come("strange")
			if f := s.forward(); f.Moved != 1 {
				s.t.Errorf("forwarded %+v", f)
			}
			if b := s.dequeue(10, "mail:send"); b.Parked != 1 {
				s.t.Errorf("batch %+v", b)
			}
		}
		s.tells("strange", "queued scheduled")

		// A worker that knows the type finds it.
		s.come("strange")
		s.forward()
		if b := s.dequeue(10, "strange"); len(b.Leases) != 1 {
			s.t.Errorf("batch %+v", b)
		}
		s.stands("strange", "active")
		s.tells("strange", "queued scheduled started")
		if info := s.info("strange"); info.Reason != "" {
			s.t.Errorf("info %+v", info)
		}
		if b := s.dequeue(10); b.Popped != 0 {
			s.t.Errorf("batch %+v", b)
		}
	})
}

func TestDequeueSetsEverythingAsideForAWorkerWithoutTypes(t *testing.T) {
	each(t, func(s *scene) {
		s.add("t1")
		b, err := s.Dequeue(s.ctx(), s.q, store.Wanted{Tasks: 10, Lease: time.Second, Types: []string{}})
		if err != nil || b.Parked != 1 || len(b.Leases) != 0 {
			s.t.Errorf("batch %+v, %v", b, err)
		}
	})
}

func TestDequeueTellsTypesOfAnyLengthApart(t *testing.T) {
	long := func(n int) string { return string(slices.Repeat([]byte{'t'}, n)) }
	each(t, func(s *scene) {
		for _, n := range []int{1, 126, 127, 128, 129, 256} {
			s.add("t"+strconv.Itoa(n), func(m *seri.Message) { m.Type = long(n) })
		}
		for _, n := range []int{1, 126, 127, 128, 129, 256} {
			b := s.dequeue(10, long(n))
			if len(b.Leases) != 1 || b.Leases[0].Message.Type != long(n) || b.Parked != b.Popped-1 {
				s.t.Fatalf("type of %d bytes: %d leases, %d parked of %d", n, len(b.Leases), b.Parked, b.Popped)
			}
			for _, m := range []int{1, 126, 127, 128, 129, 256} {
				s.come("t" + strconv.Itoa(m))
			}
			s.forward()
		}
	})
}

// asynq's A5: an ID without a task leaves pending, gets a lease and stays active for ever.
func TestDequeueDropsGhosts(t *testing.T) {
	each(t, func(s *scene) {
		s.rdb.LPush(s.ctx(), s.q.Pending(), "ghost1")
		s.add("t1")
		s.rdb.LPush(s.ctx(), s.q.Pending(), "ghost2")
		s.rdb.HSet(s.ctx(), s.q.Task("ghost2"), "result", "written after the end")

		b := s.dequeue(10)

		if len(b.Leases) != 1 || b.Ghosts != 2 || b.Popped != 3 {
			s.t.Errorf("batch %+v", b)
		}
		s.gone("ghost1")
		s.gone("ghost2")
		s.add("ghost2") // its ID is free again
	})
}

// What a hand or a foreign program has left in one task must not take the others of the batch down with it: a script
// that stops in the middle has taken them out of pending already.
func TestDequeueSurvivesATaskThatMakesNoSense(t *testing.T) {
	eachCase(t, map[string]func(s *scene, task string){
		"a message of no bytes":       func(s *scene, task string) { s.rdb.HSet(s.ctx(), task, "msg", "") },
		"a message of one byte":       func(s *scene, task string) { s.rdb.HSet(s.ctx(), task, "msg", "\n") },
		"a message cut in its length": func(s *scene, task string) { s.rdb.HSet(s.ctx(), task, "msg", "\n\xc8") },
		"a message cut in its type":   func(s *scene, task string) { s.rdb.HSet(s.ctx(), task, "msg", "\n\xc8\x01ma") },
		"a message that is text":      func(s *scene, task string) { s.rdb.HSet(s.ctx(), task, "msg", "hello") },
		"a message with another ID": func(s *scene, task string) {
			m := wire.Message{Type: "x", ID: "y"}
			s.rdb.HSet(s.ctx(), task, "msg", m.Encode())
		},
		"a number of events that is none": func(s *scene, task string) { s.rdb.HSet(s.ctx(), task, "seq", "many") },
		"an expiry that is no time":       func(s *scene, task string) { s.rdb.HSet(s.ctx(), task, "expires", "soon") },
		"a lock of another queue, and an expiry": func(s *scene, task string) {
			s.rdb.HSet(s.ctx(), task, "unique_key", "asynq:{elsewhere}:unique:x:", "expires", 1)
		},
		"a count that is no number": func(s *scene, task string) { s.rdb.HSet(s.ctx(), task, "retried", "often") },
		"a task that is not a hash": func(s *scene, task string) { s.rdb.Del(s.ctx(), task); s.rdb.Set(s.ctx(), task, "?", 0) },
	}, func(s *scene, damage func(s *scene, task string)) {
		s.add("good1")
		s.add("bad")
		s.add("good2")
		damage(s, s.q.Task("bad"))

		b := s.dequeue(10)

		var leased []string
		for _, l := range b.Leases {
			if l.ID() != "bad" {
				leased = append(leased, l.ID())
			}
			s.must(s.Complete(s.ctx(), s.q, []store.Completion{{Lease: &l}}))
		}
		if !slices.Equal(leased, []string{"good1", "good2"}) || b.Popped != 3 {
			s.t.Errorf("leased %v of %+v", leased, b)
		}
		for range 3 { // a task that cannot be decoded is poison in the end
			if len(s.places("bad")) == 1 && s.places("bad")[0] == "active" {
				s.lapse("bad")
			}
			s.recover()
			s.come("bad")
			s.forward()
			for _, l := range s.dequeue(10).Leases {
				s.must(s.Complete(s.ctx(), s.q, []store.Completion{{Lease: &l}}))
			}
		}
		if places := s.places("bad"); len(places) == 1 && places[0] != "archived" && places[0] != "completed" {
			s.t.Errorf("the bad task is in %v", places)
		}
	})
}

func TestDequeueNumbersTheEventsOfAStockProducersTask(t *testing.T) {
	eachCase(t, map[string]int{"that is new": 0, "that a stock server has tried before": 3, "that it has tried often": 300}, func(s *scene, retried int) {
		s.stock("t1", wire.Message{Type: "mail:send", Payload: []byte("p"), ID: "t1", Queue: string(s.q), MaxRetries: 25, Retried: retried, Timeout: 1800})

		l := s.lease()

		if l.Attempt() != retried+1 || l.Message.Timeout != 1800 || s.info("t1").EnqueuedAt.IsZero() {
			s.t.Errorf("lease %+v, info %+v", l, s.info("t1"))
		}
		s.stands("t1", "active")
		if last := s.tells("t1", "queued started"); last.Data.Attempt != retried+1 {
			s.t.Errorf("event %+v, want attempt %d", last, retried+1)
		}
		s.must(s.Retry(s.ctx(), s.q, []store.Retry{{Lease: l, Error: "no"}}))
		s.come("t1")
		s.forward()
		l = s.lease()
		if last := s.tells("t1", "queued started retrying queued started"); last.Data.Attempt != retried+2 || l.Attempt() != retried+2 {
			s.t.Errorf("event %+v, want attempt %d", last, retried+2)
		}
	})
}

// The reason on record may be an earlier one's: that a task now waits for a worker of its type is news all the same.
func TestDequeueTellsOfAMissingWorkerWhateverTheReasonWas(t *testing.T) {
	each(t, func(s *scene) {
		s.start("t1")
		s.lapse("t1")
		s.recover()
		s.lease()
		s.lapse("t1")
		s.recover() // the second crash: retrying, crashed
		s.come("t1")
		s.forward()

		for range 2 {
			if b := s.dequeue(1, "other"); b.Parked != 1 {
				s.t.Fatalf("batch %+v", b)
			}
			last := s.tells("t1", "queued started queued started retrying queued scheduled")
			if last.Data.Reason != seri.ReasonNoWorker {
				s.t.Errorf("event %+v", last)
			}
			if info := s.info("t1"); info.State != seri.Scheduled || info.Reason != seri.ReasonNoWorker {
				s.t.Errorf("info %+v", info)
			}
			s.come("t1")
			s.forward()
		}
	})
}

// stock enqueues as asynq's own client does.
func (s *scene) stock(id string, m wire.Message) {
	s.t.Helper()
	s.rdb.SAdd(s.ctx(), keys.Queues, string(s.q))
	s.rdb.HSet(s.ctx(), s.q.Task(id), "msg", m.Encode(), "state", "pending", "pending_since", s.now().UnixNano())
	if err := s.rdb.LPush(s.ctx(), s.q.Pending(), id).Err(); err != nil {
		s.t.Fatal(err)
	}
}

func TestDequeueTellsWhyItFailed(t *testing.T) {
	t.Parallel()
	s := newScene(t, redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1, DialerRetries: 1}))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()

	_, err := s.Dequeue(ctx, s.q, store.Wanted{Tasks: 1})

	if !errors.Is(err, context.Canceled) {
		t.Errorf("answered %v", err)
	}
}
