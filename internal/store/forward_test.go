package store_test

import (
	"slices"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/store"
	"github.com/seri-queue/seri/internal/wire"
)

// On the embedded store's clock, which the test sets: a delay of 300 ms is 300 ms, though asynq's scores are seconds.
func TestForwardKeepsTimeToTheMillisecond(t *testing.T) {
	t.Parallel()
	for sentence, prepare := range map[string]func(s *scene){
		"a scheduled task": func(s *scene) {
			s.add("t1", func(m *seri.Message) { m.ETA = s.now().Add(300 * time.Millisecond) })
		},
		"a retry": func(s *scene) {
			s.must(s.Retry(s.ctx(), s.q, []store.Retry{{Lease: s.start("t1"), After: 300 * time.Millisecond}}))
		},
	} {
		for name, start := range map[string]int64{"early in a second": 20, "over the turn of a second": 850, "to the full second": 700} {
			t.Run(sentence+" "+name, func(t *testing.T) {
				t.Parallel()
				server := miniredis.RunT(t)
				rdb := redis.NewClient(&redis.Options{Addr: server.Addr(), MaxRetries: -1})
				t.Cleanup(func() { rdb.Close() })
				s := newScene(t, rdb)
				clock := time.UnixMilli(1_900_000_000_000 + start)
				server.SetTime(clock)
				prepare(s)

				if f := s.forward(); f.Moved != 0 || f.Next != 300*time.Millisecond {
					t.Errorf("at once: %+v", f)
				}
				server.SetTime(clock.Add(300*time.Millisecond - time.Microsecond))
				if f := s.forward(); f.Moved != 0 || f.Next != time.Millisecond {
					t.Errorf("a microsecond early: %+v", f)
				}
				server.SetTime(clock.Add(300 * time.Millisecond))
				if f := s.forward(); f.Moved != 1 || f.Next >= 0 {
					t.Errorf("in time: %+v", f)
				}
				s.stands("t1", "pending")
				if n := rdb.Exists(t.Context(), s.q.Due()).Val(); n != 0 {
					t.Error("the exact time is left")
				}
			})
		}
	}
}

func TestForwardTellsWhenTheNextIsDue(t *testing.T) {
	each(t, func(s *scene) {
		if f := s.forward(); f.Moved != 0 || f.Next >= 0 {
			s.t.Errorf("nothing waits: %+v", f)
		}
		s.add("later", func(m *seri.Message) { m.ETA = s.now().Add(time.Hour) })
		if f := s.forward(); f.Next < 59*time.Minute || f.Next > time.Hour+time.Millisecond {
			s.t.Errorf("one in an hour: %+v", f)
		}
		s.stockScheduled("stock", s.now().Add(30*time.Minute))
		if f := s.forward(); f.Next < 29*time.Minute || f.Next > 30*time.Minute {
			s.t.Errorf("a stock producer's in half an hour: %+v", f)
		}
		if info := s.info("stock"); info.State != seri.Scheduled || info.DueAt.Unix() != int64(s.rdb.ZScore(s.ctx(), s.q.Scheduled(), "stock").Val()) {
			s.t.Errorf("info %+v", info)
		}
	})
}

// stockScheduled schedules as asynq's own client does: whole seconds, and no exact time.
func (s *scene) stockScheduled(id string, at time.Time) {
	s.t.Helper()
	m := wire.Message{Type: "mail:send", ID: id, Queue: string(s.q), MaxRetries: 25, Timeout: 1800}
	s.rdb.HSet(s.ctx(), s.q.Task(id), "msg", m.Encode(), "state", "scheduled")
	if err := s.rdb.ZAdd(s.ctx(), s.q.Scheduled(), redis.Z{Score: float64(at.Unix()), Member: id}).Err(); err != nil {
		s.t.Fatal(err)
	}
}

func TestForwardStartsAStockProducersTaskAtItsScore(t *testing.T) {
	each(t, func(s *scene) {
		s.stockScheduled("due", s.now())
		s.stockScheduled("not due", s.now().Add(time.Minute))

		f := s.forward()

		if f.Moved != 1 {
			s.t.Errorf("forwarded %+v", f)
		}
		s.stands("due", "pending")
		s.stands("not due", "scheduled")
		s.tells("due", "queued")
		s.lease()
		s.tells("due", "queued started")
	})
}

func TestForwardKeepsTheOrderAndTheLimit(t *testing.T) {
	each(t, func(s *scene) {
		base := s.now().Add(time.Hour).Truncate(time.Second)
		var want []string
		for i, id := range []string{"c", "a", "b"} { // not the alphabet's order, within one second
			want = append(want, id)
			s.add(id, func(m *seri.Message) { m.ETA = base.Add(time.Duration(i) * time.Millisecond) })
			s.rdb.ZIncrBy(s.ctx(), s.q.Due(), -7_200_000, id)
			s.rdb.ZIncrBy(s.ctx(), s.q.Scheduled(), -7200, id)
		}
		for _, moved := range []int{2, 1, 0} {
			f, err := s.Forward(s.ctx(), s.q, 2)
			if err != nil || f.Moved != moved || moved == 2 && f.Next != 0 {
				s.t.Errorf("forwarded %+v, %v; want %d", f, err, moved)
			}
		}
		var got []string
		for _, l := range s.dequeue(10).Leases {
			got = append(got, l.ID())
		}
		if !slices.Equal(got, want) {
			s.t.Errorf("the order is %v, want %v", got, want)
		}
	})
}

func TestForwardMovesAThousand(t *testing.T) {
	eachServer(t, func(s *scene) {
		ids := s.addMany("t", 1000, func(m *seri.Message) { m.ETA = time.Now().Add(time.Hour) })
		pipe := s.rdb.Pipeline()
		for _, id := range ids {
			pipe.ZAdd(s.ctx(), s.q.Scheduled(), redis.Z{Score: 1, Member: id})
			pipe.ZAdd(s.ctx(), s.q.Due(), redis.Z{Score: 1, Member: id})
		}
		if _, err := pipe.Exec(s.ctx()); err != nil {
			s.t.Fatal(err)
		}

		f := s.forward()

		if f.Moved != 1000 || s.rdb.LLen(s.ctx(), s.q.Pending()).Val() != 1000 || s.rdb.Exists(s.ctx(), s.q.Due(), s.q.Scheduled()).Val() != 0 {
			s.t.Errorf("forwarded %+v", f)
		}
		s.tells("t999", "scheduled queued")
	})
}

// A stock program knows nothing of exact times. What it leaves in the due zset must neither start a task early nor twice.
func TestForwardIgnoresAnExactTimeThatIsNoLongerTrue(t *testing.T) {
	eachCase(t, map[string]struct {
		moved func(s *scene)
		state string
	}{
		"of a task that was deleted": {func(s *scene) {
			s.rdb.ZRem(s.ctx(), s.q.Scheduled(), "t1")
			s.rdb.Del(s.ctx(), s.q.Task("t1"))
		}, ""},
		"of a task that was run": {func(s *scene) {
			s.rdb.ZRem(s.ctx(), s.q.Scheduled(), "t1")
			s.rdb.LPush(s.ctx(), s.q.Pending(), "t1")
			s.rdb.HSet(s.ctx(), s.q.Task("t1"), "state", "pending")
		}, "pending"},
		"of a task that was archived": {func(s *scene) {
			s.rdb.ZRem(s.ctx(), s.q.Scheduled(), "t1")
			s.rdb.ZAdd(s.ctx(), s.q.Archived(), redis.Z{Score: 5, Member: "t1"})
			s.rdb.HSet(s.ctx(), s.q.Task("t1"), "state", "archived")
		}, "archived"},
		"of a task that a stock server ran and retries later": {func(s *scene) {
			s.rdb.ZRem(s.ctx(), s.q.Scheduled(), "t1")
			s.rdb.ZAdd(s.ctx(), s.q.Retry(), redis.Z{Score: float64(s.now().Unix() + 3600), Member: "t1"})
			s.rdb.HSet(s.ctx(), s.q.Task("t1"), "state", "retry")
		}, "retry"},
	}, func(s *scene, c struct {
		moved func(s *scene)
		state string
	}) {
		s.add("t1", func(m *seri.Message) { m.ETA = time.Now().Add(time.Hour) })
		c.moved(s)
		s.rdb.ZAdd(s.ctx(), s.q.Due(), redis.Z{Score: 1, Member: "t1"}) // the hour has passed

		if f := s.forward(); f.Moved != 0 {
			s.t.Errorf("forwarded %+v", f)
		}
		if n := s.rdb.Exists(s.ctx(), s.q.Due()).Val(); n != 0 {
			s.t.Error("the untrue time is left")
		}
		if c.state == "" {
			s.gone("t1")
			return
		}
		s.stands("t1", c.state)
	})
}

func TestForwardDropsGhosts(t *testing.T) {
	each(t, func(s *scene) {
		s.rdb.ZAdd(s.ctx(), s.q.Scheduled(), redis.Z{Score: 1, Member: "ghost1"})
		s.rdb.ZAdd(s.ctx(), s.q.Retry(), redis.Z{Score: 1, Member: "ghost2"})
		s.rdb.Set(s.ctx(), s.q.Task("ghost2"), "not a hash", 0)

		if f := s.forward(); f.Moved != 0 {
			s.t.Errorf("forwarded %+v", f)
		}
		s.gone("ghost1")
		s.gone("ghost2")
	})
}
