package store_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/internal/store"
)

// unheard are dequeues of a minute ago, at most.
func unheard(nonces ...string) store.Unheard {
	return store.Unheard{Nonces: nonces, Tasks: 1000, Ago: time.Minute}
}

func TestClaimReturnsTheLeasesOfALostReply(t *testing.T) {
	each(t, func(s *scene) {
		s.add("owned", func(m *seri.Message) { m.Owner = "user:42" })
		s.addMany("t", 3)
		s.addMany("others", 2)
		nonce := store.NewNonce()
		lost, err := s.Dequeue(s.ctx(), s.q, store.Wanted{Tasks: 4, Lease: time.Second, Worker: "host:1:w", Nonce: nonce})
		if err != nil || len(lost.Leases) != 4 {
			s.t.Fatal(lost, err)
		}
		s.dequeue(1) // another worker's
		s.must(s.Complete(s.ctx(), s.q, []store.Completion{{Lease: &lost.Leases[3]}}))

		for range 2 { // a claim whose reply is lost can be repeated
			claimed, err := s.Claim(s.ctx(), s.q, unheard(store.NewNonce(), nonce), time.Minute)
			if err != nil || len(claimed.Leases) != 3 {
				s.t.Fatalf("claimed %+v, %v; want the three that are active", claimed, err)
			}
			for _, l := range claimed.Leases {
				i := map[string]int{"owned": 0, "t0": 1, "t1": 2}[l.ID()]
				if w := lost.Leases[i]; l.ID() != w.ID() || l.Token != w.Token || l.Nonce != w.Nonce || l.Owner != w.Owner || string(l.Message.Payload) != string(w.Message.Payload) {
					s.t.Errorf("claimed %+v, was granted %+v", l, w)
				}
				if left := s.rdb.ZScore(s.ctx(), s.q.Lease(), l.ID()).Val() - float64(s.now().Unix()); left < 50 {
					s.t.Errorf("the lease ends in %.1f s, want it to begin anew", left)
				}
			}
		}
		s.must(s.Complete(s.ctx(), s.q, []store.Completion{{Lease: &lost.Leases[0]}, {Lease: &lost.Leases[1]}, {Lease: &lost.Leases[2]}}))
		s.changesNothing("a claim with nothing to claim", func() {
			if claimed, err := s.Claim(s.ctx(), s.q, unheard(nonce, store.NewNonce()), time.Minute); err != nil || len(claimed.Leases) != 0 {
				s.t.Errorf("claimed %+v, %v", claimed, err)
			}
		})
	})
}

// A worker that stops while it awaits tasks claims what it may have been given. Most of the time that is nothing, and the
// tasks that others have held for long must not be looked through for it.
func TestClaimLooksAtNothingThatWasLeasedLongBefore(t *testing.T) {
	t.Parallel()
	server := redistest.Exclusive(t)
	s := newScene(t, server.Client())
	const old = 3000
	for part := range old / 1000 {
		s.addMany(fmt.Sprint("old", part, "-"), 1000)
		s.dequeue(1000)
	}
	_, err := s.rdb.Pipelined(s.ctx(), func(p redis.Pipeliner) error {
		for i := range old { // a minute ago
			p.HIncrBy(s.ctx(), s.q.Task(fmt.Sprint("old", i/1000, "-", i%1000)), "fence", -time.Minute.Microseconds())
		}
		return nil
	})
	s.must(nil, err)
	s.addMany("t", 150) // more than are looked at for nothing
	nonce := store.NewNonce()
	lost, err := s.Dequeue(s.ctx(), s.q, store.Wanted{Tasks: 10, Lease: time.Minute, Worker: "host:1:w", Nonce: nonce})
	s.must(nil, err)
	s.dequeue(140) // others'
	looked := func(of store.Unheard) (leases, tasks int) {
		s.t.Helper()
		s.must(nil, s.rdb.ConfigResetStat(s.ctx()).Err())
		claimed, err := s.Claim(s.ctx(), s.q, of, time.Minute)
		s.must(nil, err)
		info := s.rdb.Info(s.ctx(), "commandstats").Val()
		_, calls, _ := strings.Cut(info, "cmdstat_hmget:calls=")
		if _, err := fmt.Sscanf(calls, "%d,", &tasks); err != nil {
			s.t.Fatalf("%v: %s", err, info)
		}
		return len(claimed.Leases), tasks - len(claimed.Leases) // whose records are read by a second call
	}

	if leases, tasks := looked(store.Unheard{Nonces: []string{nonce}, Tasks: 10, Ago: 10 * time.Second}); leases != len(lost.Leases) || tasks > 200 {
		t.Errorf("claimed %d leases, and looked at %d tasks", leases, tasks)
	}
	if leases, tasks := looked(store.Unheard{Nonces: []string{store.NewNonce()}, Tasks: 10, Ago: 10 * time.Second}); leases != 0 || tasks > 300 {
		t.Errorf("claimed %d leases of nobody's, and looked at %d tasks", leases, tasks)
	}
	if leases, tasks := looked(store.Unheard{Nonces: []string{nonce}, Tasks: 10, Ago: time.Hour}); leases != len(lost.Leases) || tasks > 200 {
		t.Errorf("having found all, claimed %d leases, and looked at %d tasks", leases, tasks)
	}
}
