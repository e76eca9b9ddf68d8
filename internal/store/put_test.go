package store_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/store"
)

// A single task takes a script of its own, which must not show.
func TestATaskThatCameAloneIsAsOneOfABatch(t *testing.T) {
	each(t, func(s *scene) {
		s.add("alone")
		s.addMany("batch", 2)

		shape := func(id string) ([]string, []seri.Event) {
			record := s.rdb.HGetAll(s.ctx(), s.q.Task(id)).Val()
			return slices.Sorted(maps.Keys(record)), s.story(id)
		}
		alone, itsEvents := shape("alone")
		other, theirs := shape("batch0")
		if !slices.Equal(alone, other) {
			s.t.Errorf("its record has the fields %v, one of a batch %v", alone, other)
		}
		if a, b := itsEvents[0], theirs[0]; len(itsEvents) != 1 || a.Kind != b.Kind || a.Seq != b.Seq || a.Type != b.Type || time.Since(a.Time) > time.Minute {
			s.t.Errorf("its events are %+v, those of one of a batch %+v", itsEvents, theirs)
		}
		s.stands("alone", "pending")
		if got := s.dequeue(3).Leases; len(got) != 3 || got[0].ID() != "alone" {
			s.t.Errorf("dequeued %+v, want the first task first", got)
		}
	})
}

// What TTL the stream of events has does not hang on the scripts that append to it: they only give it one.
func TestTheStreamOfEventsLivesOn(t *testing.T) {
	const whole = 7 * 24 * time.Hour
	for name, use := range map[string]func(s *scene){
		"when a producer comes": func(s *scene) {
			if _, err := store.New(s.rdb, store.Config{}).Enqueue(s.ctx(), s.q, []seri.Message{s.message("t2")}); err != nil {
				s.t.Fatal(err)
			}
		},
		"while a worker looks after the queue": func(s *scene) {
			if _, err := s.Purge(s.ctx(), s.q, 10, keep); err != nil {
				s.t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(s *scene) {
				s.add("t1")
				if ttl := s.rdb.TTL(s.ctx(), s.q.Events()).Val(); ttl < whole-time.Minute || ttl > whole {
					s.t.Errorf("a new stream has the TTL %v, want %v", ttl, whole)
				}
				s.rdb.Expire(s.ctx(), s.q.Events(), time.Hour)

				use(s)

				if ttl := s.rdb.TTL(s.ctx(), s.q.Events()).Val(); ttl < whole-time.Minute {
					s.t.Errorf("the TTL is %v, want it renewed to %v", ttl, whole)
				}
			})
		})
	}
}
