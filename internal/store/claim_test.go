package store_test

import (
	"testing"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/store"
)

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
			claimed, err := s.Claim(s.ctx(), s.q, []string{store.NewNonce(), nonce}, time.Minute)
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
			if claimed, err := s.Claim(s.ctx(), s.q, []string{nonce, store.NewNonce()}, time.Minute); err != nil || len(claimed.Leases) != 0 {
				s.t.Errorf("claimed %+v, %v", claimed, err)
			}
		})
	})
}
