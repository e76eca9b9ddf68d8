package store_test

import (
	"testing"
	"time"
)

func (s *scene) turn(worker string) bool {
	s.t.Helper()
	mine, err := s.Turn(s.ctx(), s.q, worker, time.Minute)
	if err != nil {
		s.t.Fatal(err)
	}
	return mine
}

func TestATurnIsGivenToOneWorker(t *testing.T) {
	each(t, func(s *scene) {
		other := *s
		other.q += ":1"
		if !s.turn("a") {
			s.t.Error("nobody has the turn, and it is not given")
		}
		for _, worker := range []string{"b", "a"} {
			if s.turn(worker) {
				s.t.Errorf("worker a has the turn, and %s gets one", worker)
			}
		}
		if !other.turn("b") {
			s.t.Error("the turn of one queue is in the way of another's")
		}

		if holder := s.rdb.Get(s.ctx(), s.q.Turn()).Val(); holder != "a" {
			s.t.Errorf("the turn is of %q", holder)
		}
		if left := s.rdb.TTL(s.ctx(), s.q.Turn()).Val(); left <= 50*time.Second || left > time.Minute {
			s.t.Errorf("the turn of a minute ends in %v", left)
		}
		s.rdb.Del(s.ctx(), s.q.Turn()) // as its end does
		if !s.turn("b") || s.turn("a") {
			s.t.Error("the next turn is not given to the first who asks")
		}
	})
}
