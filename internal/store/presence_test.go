package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/store"
	"github.com/seri-queue/seri/internal/wire"
)

// announces shows a worker that runs tasks, and checks that it is listed.
func (s *scene) announces(name string, tasks ...string) {
	s.t.Helper()
	w := store.Worker{
		Name: name, Server: wire.ServerInfo{Host: "host", PID: 1, ID: name, Queues: map[string]int{string(s.q): 1}},
		Types: []store.Type{{Name: "mail:send", Queues: []string{string(s.q)}}},
	}
	for _, id := range tasks {
		w.Running = append(w.Running, wire.WorkerInfo{Host: "host", PID: 1, ServerID: name, TaskID: id, TaskType: "mail:send", Queue: string(s.q)})
	}
	if err := s.Announce(s.ctx(), w, time.Minute); err != nil {
		s.t.Fatal(err)
	}

	if types, err := s.Types(s.ctx()); err != nil || len(types[name]) != 1 {
		s.t.Errorf("the worker's types are %+v, %v", types[name], err)
	}
	for key, member := range map[string]string{keys.Servers: keys.Server(name), keys.Workers: keys.Running(name), keys.Types: name} {
		left := time.Until(time.Unix(int64(s.rdb.ZScore(s.ctx(), key, member).Val()), 0))
		if left < 30*time.Second || left > 90*time.Second {
			s.t.Errorf("%s lists the worker for %v", key, left)
		}
	}
	if n := s.rdb.HLen(s.ctx(), keys.Running(name)).Val(); n != int64(len(tasks)) {
		s.t.Errorf("%d tasks are shown, want %d", n, len(tasks))
	}
	for _, key := range []string{keys.Server(name), keys.TypesOf(name)} {
		if left := s.rdb.TTL(s.ctx(), key).Val(); left <= 0 || left > time.Minute {
			s.t.Errorf("%s lives for %v", key, left)
		}
	}
}

func TestAWorkerIsAnnouncedWithHoweverManyTasks(t *testing.T) {
	each(t, func(s *scene) {
		name := "host:1:" + string(s.q)
		tasks := make([]string, 10_001)
		for i := range tasks {
			tasks[i] = fmt.Sprint("t", i)
		}

		s.announces(name, tasks...)
		if left := s.rdb.TTL(s.ctx(), keys.Running(name)).Val(); left <= 0 || left > time.Minute {
			s.t.Errorf("the tasks are shown for %v", left)
		}
		s.announces(name, "t1", "t2")
		s.announces(name)
		if err := s.Withdraw(s.ctx(), name); err != nil {
			s.t.Fatal(err)
		}

		for _, key := range []string{keys.Server(name), keys.Running(name), keys.TypesOf(name)} {
			if s.rdb.Exists(s.ctx(), key).Val() != 0 {
				s.t.Errorf("%s is left", key)
			}
		}
	})
}

// The reader's own clock may be an hour ahead of Redis'.
func TestWhoLivesIsJudgedByTheClockOfRedis(t *testing.T) {
	t.Parallel()
	server := miniredis.RunT(t)
	server.SetTime(time.Now().Add(-time.Hour))
	rdb := redis.NewClient(&redis.Options{Addr: server.Addr(), MaxRetries: -1})
	t.Cleanup(func() { rdb.Close() })
	s := store.New(rdb, store.Config{})
	w := store.Worker{
		Name: "host:1:w", Server: wire.ServerInfo{Host: "host", PID: 1, ID: "w", Queues: map[string]int{"mail": 1}, Fenced: true},
		Types: []store.Type{{Name: "mail:send", Queues: []string{"mail"}}},
	}
	if err := s.Announce(t.Context(), w, time.Minute); err != nil {
		t.Fatal(err)
	}

	if types, err := s.Types(t.Context()); err != nil || len(types[w.Name]) != 1 {
		t.Errorf("types %v, %v", types, err)
	}
	if servers, err := s.Servers(t.Context()); err != nil || len(servers) != 1 {
		t.Errorf("servers %v, %v", servers, err)
	}

	server.SetTime(time.Now().Add(time.Hour))
	if types, err := s.Types(t.Context()); err != nil || len(types) != 0 {
		t.Errorf("two hours later: types %v, %v", types, err)
	}
	if servers, err := s.Servers(t.Context()); err != nil || len(servers) != 0 {
		t.Errorf("two hours later: servers %v, %v", servers, err)
	}
}
