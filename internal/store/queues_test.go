package store_test

import (
	"errors"
	"reflect"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/store"
)

func (s *scene) queue() store.QueueInfo {
	s.t.Helper()
	info, err := s.Queue(s.ctx(), s.q)
	if err != nil {
		s.t.Fatal(err)
	}
	return info
}

// Autoscaling looks at the wait: an hour's run that crashed, or a task of last week that is run again, must not look
// like a queue that nobody serves.
func TestTheWaitBeginsWhenATaskBecomesPending(t *testing.T) {
	run := func(s *scene) { // as asynq's Inspector.RunTask
		s.rdb.ZRem(s.ctx(), s.q.Archived(), "t1")
		s.rdb.ZRem(s.ctx(), s.q.Retry(), "t1")
		s.rdb.LPush(s.ctx(), s.q.Pending(), "t1")
		s.rdb.HSet(s.ctx(), s.q.Task("t1"), "state", "pending")
	}
	eachCase(t, map[string]func(s *scene, l *store.Lease){
		"again, handed back":           func(s *scene, l *store.Lease) { s.must(attempts["requeue"](s, l)) },
		"again, after a crash":         func(s *scene, l *store.Lease) { s.lapse("t1"); s.recover() },
		"again, for another attempt":   func(s *scene, l *store.Lease) { s.must(attempts["retry"](s, l)); s.come("t1"); s.forward() },
		"again, run by hand":           func(s *scene, l *store.Lease) { s.must(attempts["archive"](s, l)); run(s) },
		"again, its retry run by hand": func(s *scene, l *store.Lease) { s.must(attempts["retry"](s, l)); run(s) },
	}, func(s *scene, back func(s *scene, l *store.Lease)) {
		s.add("t1")
		enqueued := s.now().Add(-time.Hour).Truncate(time.Millisecond)
		s.rdb.HSet(s.ctx(), s.q.Task("t1"), "pending_since", enqueued.UnixNano())
		if got := s.queue().Latency; got < time.Hour || got > time.Hour+time.Minute {
			s.t.Errorf("before: %v", got)
		}
		l := s.lease()

		back(s, l)

		if got := s.queue().Latency; got > time.Minute {
			s.t.Errorf("after: %v", got)
		}
		if got := s.info("t1").EnqueuedAt; !got.Equal(enqueued) {
			s.t.Errorf("enqueued at %v, want %v", got, enqueued)
		}
	})
}

func TestQueueCountsWhatItHolds(t *testing.T) {
	each(t, func(s *scene) {
		if _, err := s.Queue(s.ctx(), s.q); !errors.Is(err, seri.ErrNotFound) {
			s.t.Errorf("an unknown queue: %v", err)
		}
		for _, act := range []string{"complete", "retry", "archive"} {
			s.must(attempts[act](s, s.start(act)))
		}
		s.start("active")
		s.add("scheduled", func(m *seri.Message) { m.ETA = time.Now().Add(time.Hour) })
		s.addMany("pending", 2)

		got := s.queue()

		got.Latency = 0
		want := store.QueueInfo{Name: string(s.q), Scheduled: 1, Pending: 2, Active: 1, Retrying: 1, Succeeded: 1, Archived: 1, Processed: 3, Failed: 2}
		if !reflect.DeepEqual(got, want) {
			s.t.Errorf("%+v, want %+v", got, want)
		}
		names, err := s.Queues(s.ctx())
		if err != nil || !slices.Contains(names, s.q) {
			s.t.Errorf("queues %v, %v", names, err)
		}
	})
}

func TestPauseAndResumeMayBeRepeated(t *testing.T) {
	each(t, func(s *scene) {
		for _, act := range []func() error{
			func() error { return s.Pause(s.ctx(), s.q) }, func() error { return s.Resume(s.ctx(), s.q) },
		} {
			if err := act(); !errors.Is(err, seri.ErrNotFound) {
				s.t.Errorf("an unknown queue: %v", err)
			}
		}
		s.rdb.SAdd(s.ctx(), keys.Queues, string(s.q))
		for _, paused := range []bool{true, true, false, false} {
			act := map[bool]func() error{
				true: func() error { return s.Pause(s.ctx(), s.q) }, false: func() error { return s.Resume(s.ctx(), s.q) },
			}[paused]
			if err := act(); err != nil || s.queue().Paused != paused {
				s.t.Errorf("paused is %t, want %t; %v", s.queue().Paused, paused, err)
			}
		}
	})
}

func TestPageListsTheTasksOfAState(t *testing.T) {
	each(t, func(s *scene) {
		ids := s.addMany("t", 5)
		s.must(attempts["archive"](s, s.start("failed"))) // takes t0
		s.rdb.ZAdd(s.ctx(), s.q.Scheduled(), redis.Z{Score: 1, Member: "ghost"})
		var revoked []string
		for i := range 3 {
			id := "revoked" + strconv.Itoa(i)
			s.add(id)
			if _, err := s.Revoke(s.ctx(), s.q, id); err != nil {
				s.t.Fatal(err)
			}
			revoked = append(revoked, id)
		}
		for state, want := range map[seri.State][]string{
			seri.Pending: append(ids[1:5:5], "failed"), seri.Failed: {ids[0]}, seri.Revoked: revoked, seri.Scheduled: nil, seri.Active: nil,
		} {
			var got []string
			for offset := 0; offset >= 0; {
				tasks, next, err := s.Page(s.ctx(), s.q, state, offset, 2)
				if err != nil {
					s.t.Fatal(err)
				}
				for _, task := range tasks {
					got = append(got, task.ID)
				}
				offset = next
			}
			if state == seri.Revoked { // all within one second
				slices.Sort(got)
			}
			if !slices.Equal(got, want) {
				s.t.Errorf("%s tasks are %v, want %v", state, got, want)
			}
		}
		if _, _, err := s.Page(s.ctx(), s.q, "lost", 0, 2); err == nil {
			s.t.Error("a state that does not exist has a page")
		}
	})
}
