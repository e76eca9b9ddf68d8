package store_test

import (
	"errors"
	"strconv"
	"testing"

	"github.com/seri-queue/seri"
)

func TestPauseKeepsWorkersFromTakingTasks(t *testing.T) {
	each(t, func(s *scene) {
		if err := s.Pause(s.ctx(), s.q); !errors.Is(err, seri.ErrNotFound) {
			s.t.Errorf("pause of a queue that is none: %v", err)
		}
		s.add("t1")

		if err := errors.Join(s.Pause(s.ctx(), s.q), s.Pause(s.ctx(), s.q)); err != nil {
			s.t.Fatal(err)
		}

		if b := s.dequeue(1); !b.Paused || len(b.Leases) != 0 {
			s.t.Errorf("dequeued %+v", b)
		}
		since, err := strconv.ParseInt(s.rdb.Get(s.ctx(), s.q.Paused()).Val(), 10, 64) // as asynq has it
		if now := s.now().Unix(); err != nil || since > now || since < now-60 {
			s.t.Errorf("paused since %d, %v; now is %d", since, err, now)
		}
		if err := s.Resume(s.ctx(), s.q); err != nil || len(s.dequeue(1).Leases) != 1 {
			s.t.Errorf("resumed: %v", err)
		}
	})
}
