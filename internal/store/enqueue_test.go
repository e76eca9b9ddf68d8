package store_test

import (
	"errors"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
)

func TestEnqueueStoresATask(t *testing.T) {
	soon := time.Now().Add(time.Hour).Truncate(time.Millisecond).Add(345 * time.Millisecond)
	eachCase(t, map[string]struct {
		change func(*seri.Message)
		state  seri.State
		asynq  string
		events string
		due    time.Time
	}{
		"that may start at once":  {func(*seri.Message) {}, seri.Pending, "pending", "queued", time.Time{}},
		"whose time has passed":   {func(m *seri.Message) { m.ETA = time.Unix(1, 0) }, seri.Pending, "pending", "queued", time.Time{}},
		"that waits for its time": {func(m *seri.Message) { m.ETA = soon }, seri.Scheduled, "scheduled", "scheduled", soon},
		"that waits, with every other term": {func(m *seri.Message) {
			m.ETA, m.Expires, m.Owner, m.UniqueFor = soon, soon.Add(time.Hour), "user:42", time.Minute
			m.Headers = map[string]string{"trace": "ü"}
		}, seri.Scheduled, "scheduled", "scheduled", soon},
		"with quotes and foreign letters in its names": {func(m *seri.Message) {
			m.Type, m.Owner = "größe \"x\"\\y / z", "äöü\"<&>\u2028"
		}, seri.Pending, "pending", "queued", time.Time{}},
		"without a payload":               {func(m *seri.Message) { m.Payload = nil }, seri.Pending, "pending", "queued", time.Time{}},
		"with a payload that is not text": {func(m *seri.Message) { m.Payload = []byte{0, 255, 10, 13, 0} }, seri.Pending, "pending", "queued", time.Time{}},
	}, func(s *scene, c struct {
		change func(*seri.Message)
		state  seri.State
		asynq  string
		events string
		due    time.Time
	}) {
		before := s.now().Add(-time.Millisecond)

		m := s.add("t1", c.change)

		s.stands("t1", c.asynq)
		last := s.tells("t1", c.events)
		if last.Type != m.Type || last.Owner != m.Owner || !last.Data.Due.Equal(c.due) {
			s.t.Errorf("event %+v", last)
		}
		info := s.info("t1")
		if info.State != c.state || info.Reason != "" || !info.DueAt.Equal(c.due) || info.EnqueuedAt.Before(before) || info.EnqueuedAt.After(s.now()) {
			s.t.Errorf("info %+v", info)
		}
		if info.Type != m.Type || info.Owner != m.Owner || string(info.Payload) != string(m.Payload) || info.Headers["trace"] != m.Headers["trace"] ||
			info.Retention != m.Retention || info.Timeout != m.Timeout || info.MaxRetries != m.MaxRetries || !info.Expires.Equal(m.Expires) {
			s.t.Errorf("info %+v of message %+v", info, m)
		}
		if score := s.rdb.ZScore(s.ctx(), s.q.Scheduled(), "t1").Val(); !c.due.IsZero() && score != float64(soon.Unix()+1) {
			s.t.Errorf("score in scheduled is %f, want the whole second after %v", score, soon)
		}
		if !s.rdb.SIsMember(s.ctx(), keys.Queues, string(s.q)).Val() {
			s.t.Error("the queue is not registered")
		}
	})
}

func TestEnqueueRefusesATaskAndLeavesNothingOfIt(t *testing.T) {
	unique := func(m *seri.Message) { m.UniqueFor, m.Payload = time.Minute, []byte("same") }
	eachCase(t, map[string]struct {
		first, second func(*seri.Message)
		id            string
		want          error
	}{
		"whose ID exists": {func(*seri.Message) {}, func(m *seri.Message) { m.Payload = []byte("other") }, "t1", seri.ErrConflict},
		"whose ID exists, and that would hold a lock": {func(*seri.Message) {}, unique, "t1", seri.ErrConflict},
		"whose ID exists, with terms": {func(*seri.Message) {}, func(m *seri.Message) {
			m.Owner, m.Expires, m.ETA = "user:1", time.Now().Add(2*time.Hour), time.Now().Add(time.Hour)
		}, "t1", seri.ErrConflict},
		"whose equal holds the lock": {unique, func(m *seri.Message) {
			unique(m)
			m.Owner, m.Expires = "user:1", time.Now().Add(time.Hour)
		}, "t2", seri.ErrDuplicate},
		"whose equal is scheduled": {func(m *seri.Message) {
			unique(m)
			m.ETA = time.Now().Add(time.Hour)
		}, unique, "t2", seri.ErrDuplicate},
	}, func(s *scene, c struct {
		first, second func(*seri.Message)
		id            string
		want          error
	}) {
		s.add("t1", c.first)

		s.changesNothing("a refused task", func() {
			errs, err := s.Enqueue(s.ctx(), s.q, []seri.Message{s.message(c.id, c.second)})
			if err != nil || !errors.Is(errs[0], c.want) {
				s.t.Errorf("answered %v, %v; want %v", errs, err, c.want)
			}
		})
	})
}

func TestEnqueueAnswersForEachTaskOfABatch(t *testing.T) {
	each(t, func(s *scene) {
		s.add("taken")
		unique := func(m *seri.Message) { m.UniqueFor, m.Payload = time.Minute, []byte("same") }

		errs, err := s.Enqueue(s.ctx(), s.q, []seri.Message{
			s.message("a"), s.message("taken"), s.message("b", unique), s.message("c", unique), s.message("a"), s.message("d"),
		})

		if err != nil {
			s.t.Fatal(err)
		}
		want := []error{nil, seri.ErrConflict, nil, seri.ErrDuplicate, seri.ErrConflict, nil}
		if !slices.Equal(errs, want) {
			s.t.Errorf("answered %v, want %v", errs, want)
		}
		var order []string
		for _, l := range s.dequeue(10).Leases {
			order = append(order, l.ID())
		}
		if want := []string{"taken", "a", "b", "d"}; !slices.Equal(order, want) {
			s.t.Errorf("tasks come in the order %v, want %v", order, want)
		}
	})
}

func TestEnqueueTakesAThousandTasksAndNotOneMore(t *testing.T) {
	for sentence, change := range map[string]func(*seri.Message){
		"startable": func(*seri.Message) {},
		"scheduled, owned and unique": func(m *seri.Message) {
			m.ETA, m.Owner, m.UniqueFor = time.Now().Add(time.Hour), "user:"+m.ID, time.Minute
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			eachServer(t, func(s *scene) {
				ids := s.addMany("t", 1000, change)

				if events := s.events(); len(events) != 1000 || events[999].Task != ids[999] {
					s.t.Errorf("%d events", len(events))
				}
				if n := s.rdb.XLen(s.ctx(), s.q.Events()).Val(); n != 1 {
					s.t.Errorf("a batch made %d entries in the stream", n)
				}
				for _, id := range []string{ids[0], ids[500], ids[999]} {
					if places := s.places(id); len(places) != 1 {
						s.t.Errorf("task %s is in %v", id, places)
					}
				}
				s.changesNothing("a batch of 1,001", func() {
					if _, err := s.Enqueue(s.ctx(), s.q, make([]seri.Message, 1001)); err == nil {
						s.t.Error("a batch of 1,001 was accepted")
					}
				})
			})
		})
	}
}

func TestEnqueueHoldsAUniquenessLockUntilTheTaskMayRunAndItsTermIsOver(t *testing.T) {
	each(t, func(s *scene) {
		s.add("now", func(m *seri.Message) { m.UniqueFor, m.Payload = 90*time.Second, []byte("1") })
		s.add("later", func(m *seri.Message) {
			m.UniqueFor, m.Payload, m.ETA = 90*time.Second, []byte("2"), s.now().Add(10*time.Minute)
		})

		for payload, want := range map[string]time.Duration{"1": 90 * time.Second, "2": 10*time.Minute + 90*time.Second} {
			lock := s.q.Unique("mail:send", []byte(payload))
			if got := s.rdb.TTL(s.ctx(), lock).Val(); got > want+time.Second || got < want-20*time.Second {
				s.t.Errorf("the lock of payload %s lasts %v, want %v", payload, got, want)
			}
		}
		if holder := s.rdb.Get(s.ctx(), s.q.Unique("mail:send", []byte("1"))).Val(); holder != "now" {
			s.t.Errorf("the lock names %q", holder)
		}
		if got := s.field("now", "unique_key"); got != s.q.Unique("mail:send", []byte("1")) {
			s.t.Errorf("field unique_key is %q, which asynq's Inspector needs", got)
		}
	})
}

func TestEnqueueRingsWhenTheFirstDueTimeComesForward(t *testing.T) {
	each(t, func(s *scene) {
		rings := func(what string, want int64) {
			s.t.Helper()
			got := s.rdb.LLen(s.ctx(), s.q.Wake()).Val()
			if s.rdb.Del(s.ctx(), s.q.Wake()); got != want {
				s.t.Errorf("%s: the bell holds %d rings, want %d", what, got, want)
			}
		}
		at := func(minutes int) func(*seri.Message) {
			return func(m *seri.Message) { m.ETA = time.Now().Add(time.Duration(minutes) * time.Minute) }
		}

		s.add("startable")
		rings("a startable task", 0)
		s.add("first", at(30))
		rings("the first scheduled task", 1)
		s.add("later", at(40))
		rings("a later task", 0)
		s.add("earlier", at(20))
		s.add("earliest", at(10))
		if ttl := s.rdb.TTL(s.ctx(), s.q.Wake()).Val(); ttl <= 0 {
			s.t.Errorf("the bell has the TTL %v", ttl)
		}
		rings("two earlier tasks before anybody heard", 1)

		// The Inspector deletes a task, but not its exact time; then the ID is used again.
		s.rdb.ZRem(s.ctx(), s.q.Scheduled(), "earliest")
		s.rdb.Del(s.ctx(), s.q.Task("earliest"))
		s.add("earliest", at(5))
		rings("the same ID at an earlier time", 1)
	})
}

func TestEnqueueIndexesAnOwnersNewestThousandTasks(t *testing.T) {
	eachServer(t, func(s *scene) {
		owned := func(m *seri.Message) { m.Owner = "user:42" }
		s.addMany("old", 1000, owned)
		s.rdb.ZIncrBy(s.ctx(), s.q.Owner("user:42"), -1e6, "old7") // older than the others

		s.add("new", owned)

		if n := s.rdb.ZCard(s.ctx(), s.q.Owner("user:42")).Val(); n != 1000 {
			s.t.Errorf("the index holds %d tasks, want 1,000", n)
		}
		if ttl := s.rdb.TTL(s.ctx(), s.q.Owner("user:42")).Val(); ttl < 6*24*time.Hour || ttl > 7*24*time.Hour {
			s.t.Errorf("the index has the TTL %v, want 7 days", ttl)
		}
		if err := s.rdb.ZScore(s.ctx(), s.q.Owner("user:42"), "old7").Err(); err == nil {
			s.t.Error("the oldest task is still in the index")
		}
		tasks, more, err := s.Owned(s.ctx(), s.q, "user:42", 3)
		if err != nil || len(tasks) != 3 || !more {
			s.t.Fatalf("%d tasks, more: %t, %v", len(tasks), more, err)
		}
		if last := s.tells("new", "queued"); last.Owner != "user:42" {
			s.t.Errorf("event %+v does not name the owner", last)
		}
	})
}

func TestEnqueueTrimsTheEventStreamByNumber(t *testing.T) {
	each(t, func(s *scene) {
		for i := range 3 {
			s.add(strconv.Itoa(i))
		}
		if n := s.rdb.XLen(s.ctx(), s.q.Events()).Val(); n != 3 {
			s.t.Errorf("3 calls made %d entries", n)
		}
	})
}
