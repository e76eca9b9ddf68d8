package store_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/store"
)

var keep = store.Keep{Archived: 90 * 24 * time.Hour, MaxArchived: 9999, Events: time.Hour}

func TestPurgeDeletesWhatHasBeenKeptLongEnough(t *testing.T) {
	each(t, func(s *scene) {
		owned := func(m *seri.Message) { m.Owner = "user:1" }
		for _, id := range []string{"fresh", "over"} {
			s.must(attempts["complete"](s, s.start(id, owned)))
		}
		for _, id := range []string{"dead", "long dead"} {
			s.must(attempts["archive"](s, s.start(id, owned)))
		}
		s.rdb.ZAdd(s.ctx(), s.q.Completed(), redis.Z{Score: float64(s.now().Unix()), Member: "over"})
		s.rdb.ZAdd(s.ctx(), s.q.Archived(), redis.Z{Score: float64(s.now().Add(-90 * 24 * time.Hour).Unix()), Member: "long dead"})

		p, err := s.Purge(s.ctx(), s.q, 1000, keep)

		if err != nil || p.Succeeded != 1 || p.Archived != 1 {
			s.t.Errorf("purged %+v, %v", p, err)
		}
		s.stands("fresh", "completed")
		s.stands("dead", "archived")
		s.gone("over")
		s.gone("long dead")
		if tasks, more, err := s.Owned(s.ctx(), s.q, "user:1", 10); err != nil || more || len(tasks) != 2 {
			s.t.Errorf("the owner's tasks are %+v, %v", tasks, err)
		}
		s.changesNothing("a second purge", func() {
			if p, err := s.Purge(s.ctx(), s.q, 1000, keep); err != nil || p != (store.Purged{}) {
				s.t.Errorf("purged %+v, %v", p, err)
			}
		})
	})
}

func TestPurgeKeepsTheNewestOfTheArchive(t *testing.T) {
	each(t, func(s *scene) {
		for i := range 5 {
			id := "t" + strconv.Itoa(i)
			s.must(attempts["archive"](s, s.start(id)))
			s.rdb.ZIncrBy(s.ctx(), s.q.Archived(), float64(i-10), id)
		}
		few := keep
		few.MaxArchived = 2

		for _, want := range []int{2, 1, 0} {
			if p, err := s.Purge(s.ctx(), s.q, 2, few); err != nil || p.Archived != want {
				s.t.Errorf("purged %+v, %v; want %d", p, err, want)
			}
		}
		s.stands("t3", "archived")
		s.stands("t4", "archived")
		s.gone("t0")
	})
}

func TestPurgeTrimsEventsByAge(t *testing.T) {
	each(t, func(s *scene) {
		for i := range 300 { // a stream is trimmed by whole nodes, of 100 entries
			s.rdb.XAdd(s.ctx(), &redis.XAddArgs{Stream: s.q.Events(), ID: strconv.Itoa(i+1) + "-0", Values: []any{"e", "[]"}})
		}
		s.add("t1")

		if _, err := s.Purge(s.ctx(), s.q, 1000, keep); err != nil {
			s.t.Fatal(err)
		}

		if n := s.rdb.XLen(s.ctx(), s.q.Events()).Val(); n > 101 || n < 1 {
			s.t.Errorf("%d entries are left", n)
		}
		s.tells("t1", "queued")
	})
}

// asynq's A7: a dead task that the archive has no room for vanishes, and nobody is told.
func TestPurgeTellsOfEachArchivedTaskThatGoes(t *testing.T) {
	each(t, func(s *scene) {
		for _, id := range []string{"dead", "third"} {
			s.must(attempts["archive"](s, s.start(id, func(m *seri.Message) { m.Owner = "user:1" })))
		}
		s.add("withdrawn")
		if _, err := s.Revoke(s.ctx(), s.q, "withdrawn"); err != nil {
			s.t.Fatal(err)
		}
		for i, id := range []string{"dead", "withdrawn"} {
			s.rdb.ZAdd(s.ctx(), s.q.Archived(), redis.Z{Score: float64(s.now().Add(-91*24*time.Hour).Unix() + int64(i)), Member: id})
		}
		none := keep
		none.MaxArchived = 0

		for _, want := range []int{2, 1, 0} { // two that are too old, and the one that is more than none
			if p, err := s.Purge(s.ctx(), s.q, 2, none); err != nil || p.Archived != want {
				s.t.Errorf("purged %+v, %v; want %d", p, err, want)
			}
		}

		for id, want := range map[string]seri.Event{
			"dead":      {Owner: "user:1", Data: seri.EventData{Reason: seri.ReasonTooOld, State: seri.Failed}},
			"withdrawn": {Data: seri.EventData{Reason: seri.ReasonTooOld, State: seri.Revoked}},
			"third":     {Owner: "user:1", Data: seri.EventData{Reason: seri.ReasonTooMany, State: seri.Failed}},
		} {
			story := s.story(id)
			last := story[len(story)-1]
			if last.Kind != seri.EventTrimmed || last.Seq != uint64(len(story)) || last.Type != "mail:send" || last.Owner != want.Owner ||
				last.Data.Reason != want.Data.Reason || last.State() != want.Data.State {
				s.t.Errorf("the last event of %s is %+v", id, last)
			}
			s.gone(id)
		}
		if info, err := s.Queue(s.ctx(), s.q); err != nil || info.Trimmed != 3 {
			s.t.Errorf("the queue tells of %d trimmed tasks, %v", info.Trimmed, err)
		}
	})
}
