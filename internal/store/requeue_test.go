package store_test

import (
	"slices"
	"testing"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/store"
)

func TestRequeueHandsTasksBackToBeTheNext(t *testing.T) {
	each(t, func(s *scene) {
		s.addMany("t", 4)
		held := s.dequeue(2)

		s.must(s.Requeue(s.ctx(), s.q, pointers(held)))

		for _, id := range []string{"t0", "t1"} {
			s.stands(id, "pending")
			if last := s.tells(id, "queued started queued"); last.Data.Reason != "handed_back" {
				s.t.Errorf("event %+v", last)
			}
		}
		s.counts(0, 0)
		var order []string
		for _, l := range s.dequeue(4).Leases {
			order = append(order, l.ID())
			if l.Attempt() != 1 {
				s.t.Errorf("task %s is at attempt %d: a hand-back is none", l.ID(), l.Attempt())
			}
		}
		slices.Sort(order[:2])
		if !slices.Equal(order, []string{"t0", "t1", "t2", "t3"}) {
			s.t.Errorf("the order is %v, want what was handed back first", order)
		}
		if info := s.info("t0"); info.State != seri.Active || info.Attempt != 1 {
			s.t.Errorf("info %+v", info)
		}
	})
}

func TestRequeueTwiceByTwoHoldersIsTwoStories(t *testing.T) {
	each(t, func(s *scene) {
		a := s.start("t1")
		s.must(s.Requeue(s.ctx(), s.q, []*store.Lease{a}))
		b := s.lease()

		s.changesNothing("the first holder's repeated call", func() {
			errs, err := s.Requeue(s.ctx(), s.q, []*store.Lease{a})
			s.refused("requeue", b.Token, errs, err)
		})
		s.must(s.Requeue(s.ctx(), s.q, []*store.Lease{b}))
		s.tells("t1", "queued started queued started queued")
	})
}
