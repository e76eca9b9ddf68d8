package store_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/internal/store"
)

// fill makes Redis refuse every command that may need memory.
func (s *scene) fill() {
	s.t.Helper()
	if err := s.rdb.ConfigSet(s.ctx(), "maxmemory", "1").Err(); err != nil {
		s.t.Fatal(err)
	}
	if err := s.rdb.Set(s.ctx(), "x", "1", 0).Err(); err == nil || !strings.HasPrefix(err.Error(), "OOM") {
		s.t.Fatalf("Redis is not out of memory: %v", err)
	}
}

// A queue that is full must drain itself. With asynq, lease renewal is the first to be refused.
func TestAFullRedisDrainsAndTakesNothingIn(t *testing.T) {
	t.Parallel()
	for name, act := range map[string]struct {
		prepare func(s *scene) *store.Lease // with memory
		do      func(s *scene, l *store.Lease)
		state   string // of t1 after it
	}{
		"dequeue": {func(s *scene) *store.Lease { s.add("t1"); return nil }, func(s *scene, _ *store.Lease) { s.lease() }, "active"},
		"forward": {
			func(s *scene) *store.Lease { s.stockScheduled("t1", time.Unix(1, 0)); return nil },
			func(s *scene, _ *store.Lease) { s.forward() }, "pending",
		},
		"recover": {
			func(s *scene) *store.Lease { l := s.start("t1"); s.lapse("t1"); return l },
			func(s *scene, _ *store.Lease) { s.recover() }, "pending",
		},
		"sweep": {
			func(s *scene) *store.Lease { l := s.start("t1"); s.rdb.ZRem(s.ctx(), s.q.Lease(), "t1"); return l },
			func(s *scene, _ *store.Lease) {
				if s.turn("w"); s.rdb.Exists(s.ctx(), s.q.Turn()).Val() == 0 {
					s.t.Error("a full Redis gives nobody the turn")
				}
				s.sweep()
			}, "active",
		},
		"pause": {
			func(s *scene) *store.Lease { s.add("t1"); return nil },
			func(s *scene, _ *store.Lease) {
				if err := s.Pause(s.ctx(), s.q); err != nil || s.rdb.Exists(s.ctx(), s.q.Paused()).Val() != 1 {
					s.t.Errorf("the queue is not paused: %v", err)
				}
			}, "pending",
		},
		"announce": {
			func(s *scene) *store.Lease { return s.start("t1") },
			func(s *scene, _ *store.Lease) { s.announces("host:1:full", "t1") }, "active",
		},
		"purge": {
			func(s *scene) *store.Lease {
				l := s.start("t1")
				s.must(attempts["archive"](s, l))
				s.rdb.ZAdd(s.ctx(), s.q.Archived(), redis.Z{Score: 1, Member: "t1"})
				return l
			},
			func(s *scene, _ *store.Lease) {
				if p, err := s.Purge(s.ctx(), s.q, 10, keep); err != nil || p.Archived != 1 {
					s.t.Errorf("purged %+v, %v", p, err)
				}
			}, "",
		},
		"revoke": {
			func(s *scene) *store.Lease { s.add("t1"); return nil },
			func(s *scene, _ *store.Lease) {
				if _, err := s.Revoke(s.ctx(), s.q, "t1"); err != nil {
					s.t.Error(err)
				}
			}, "archived",
		},
		"extend":   holding("extend", "active"),
		"progress": holding("progress", "active"),
		"complete": holding("complete", "completed"),
		"retry":    holding("retry", "retry"),
		"archive":  holding("archive", "archived"),
		"requeue":  holding("requeue", "pending"),
	} {
		t.Run(name+" runs", func(t *testing.T) {
			t.Parallel()
			s := newScene(t, redistest.Exclusive(t).Client())
			l := act.prepare(s)
			s.fill()

			act.do(s, l)

			if act.state == "" {
				s.gone("t1")
				return
			}
			s.stands("t1", act.state)
			s.story("t1")
		})
	}

	t.Run("enqueue and fire are refused as a whole", func(t *testing.T) {
		t.Parallel()
		s := newScene(t, redistest.Exclusive(t).Client())
		s.add("t1") // the queue is known
		s.plan("r1", tick, 7)
		s.fill()

		s.changesNothing("a call without memory", func() {
			terms := func(m *seri.Message) { m.UniqueFor, m.Owner = time.Hour, "user:1" }
			if _, err := s.Enqueue(s.ctx(), s.q, []seri.Message{s.message("t2", terms), s.message("t3", later)}); err == nil || !strings.Contains(err.Error(), "OOM") {
				s.t.Errorf("enqueue answered %v", err)
			}
			if _, err := s.Fire(s.ctx(), s.q, leads(7), []store.Tick{s.tick(0)}); err == nil || !strings.Contains(err.Error(), "OOM") {
				s.t.Errorf("fire answered %v", err)
			}
		})

		s.must(attempts["complete"](s, s.lease()))
		s.rdb.ConfigSet(s.ctx(), "maxmemory", "0")
		s.add("t2")
		s.fire("with memory again", store.TickEnqueued, s.tick(0))
	})
}

func TestPartitionsOfAFullRedisCanBePausedAndResumed(t *testing.T) {
	t.Parallel()
	s := newScene(t, redistest.Exclusive(t).Client())
	partitions := []keys.Queue{s.q, s.q.Partition(1)}
	for _, q := range partitions {
		s.rdb.SAdd(s.ctx(), keys.Queues, string(q))
	}
	s.fill()

	paused := func() int64 { return s.rdb.Exists(s.ctx(), partitions[0].Paused(), partitions[1].Paused()).Val() }
	if err := s.PauseAll(s.ctx(), partitions); err != nil || paused() != 2 {
		t.Errorf("%d of 2 are paused, %v", paused(), err)
	}
	if err := s.ResumeAll(s.ctx(), partitions); err != nil || paused() != 0 {
		t.Errorf("%d of 2 are paused still, %v", paused(), err)
	}
}

func later(m *seri.Message) { m.ETA = time.Now().Add(time.Hour) }

// holding is the case of a call by a task's holder.
func holding(what, state string) struct {
	prepare func(s *scene) *store.Lease
	do      func(s *scene, l *store.Lease)
	state   string
} {
	return struct {
		prepare func(s *scene) *store.Lease
		do      func(s *scene, l *store.Lease)
		state   string
	}{
		func(s *scene) *store.Lease { return s.start("t1") },
		func(s *scene, l *store.Lease) { s.must(attempts[what](s, l)) },
		state,
	}
}

// After a restart or a failover, and after SCRIPT FLUSH, Redis knows no script.
func TestScriptsComeBackAfterAFlush(t *testing.T) {
	t.Parallel()
	s := newScene(t, redistest.Exclusive(t).Client())
	for i := range 3 {
		id := strconv.Itoa(i)
		for _, step := range []func(){
			func() { s.add(id) },
			func() { s.must(attempts["retry"](s, s.lease())) },
			func() { s.come(id); s.forward() },
			func() { s.must(attempts["complete"](s, s.lease())) },
			func() { s.recover(); s.sweep() },
		} {
			step()
			if err := s.rdb.ScriptFlush(s.ctx()).Err(); err != nil {
				t.Fatal(err)
			}
		}
		s.stands(id, "completed")
		s.tells(id, "queued started retrying queued started succeeded")
	}
}
