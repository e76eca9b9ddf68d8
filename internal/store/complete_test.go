package store_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/store"
	"github.com/seri-queue/seri/internal/wire"
)

func TestCompleteKeepsTheResultForTheRetention(t *testing.T) {
	eachCase(t, map[string]struct {
		result    string
		truncated bool
	}{
		"an object":                           {`{"rows":3}`, false},
		"none":                                {"", false},
		"one as large as travels in an event": {`"` + strings.Repeat("x", wire.MaxEventResult-2) + `"`, false},
		"a larger one":                        {`"` + strings.Repeat("x", wire.MaxEventResult) + `"`, true},
	}, func(s *scene, c struct {
		result    string
		truncated bool
	}) {
		l := s.start("t1", func(m *seri.Message) { m.Retention = 90 * time.Minute })
		before := s.now()

		s.must(s.Complete(s.ctx(), s.q, []store.Completion{{Lease: l, Result: []byte(c.result)}}))

		s.stands("t1", "completed")
		last := s.tells("t1", "queued started succeeded")
		if last.Data.Truncated != c.truncated || last.Data.Attempt != 1 || !c.truncated && string(last.Data.Result) != c.result {
			s.t.Errorf("event with attempt %d, truncated %t and a result of %d bytes", last.Data.Attempt, last.Data.Truncated, len(last.Data.Result))
		}
		info := s.info("t1")
		if info.State != seri.Succeeded || string(info.Result) != c.result || info.Attempt != 1 || info.FinishedAt.Before(before.Truncate(time.Millisecond)) {
			s.t.Errorf("state %s, attempt %d, finished %v, result of %d bytes", info.State, info.Attempt, info.FinishedAt, len(info.Result))
		}
		if at := s.raw("t1").CompletedAt; at < before.Unix() || at > s.now().Unix() {
			s.t.Errorf("asynq's completed_at is %d", at)
		}
		keep := s.rdb.ZScore(s.ctx(), s.q.Completed(), "t1").Val()
		if keep != math.Trunc(keep) || keep < unix(before)+5399 || keep > unix(s.now())+5400 {
			s.t.Errorf("to be deleted at %f, want whole seconds 90 minutes from now", keep)
		}
		s.counts(1, 0)
	})
}

// Tasks leave the list of what is running from wherever they stand, many at once, and the others keep their order in it.
func TestCompleteLeavesTheOrderOfWhatIsStillRunning(t *testing.T) {
	every := func(step int) func(int) bool { return func(i int) bool { return i%step == 0 } }
	between := func(from, to int) func(int) bool { return func(i int) bool { return from <= i && i < to } }
	eachCase(t, map[string]func(int) bool{
		"the oldest":                        between(0, 100),
		"all":                               between(0, 1000),
		"the newest":                        between(900, 1000),
		"those in the middle":               between(450, 550),
		"some of the newest":                func(i int) bool { return i >= 600 && i%7 == 0 },
		"some of the oldest":                func(i int) bool { return i < 300 && i%3 == 0 },
		"every ninth":                       every(9),
		"the oldest, but for a few of them": func(i int) bool { return i < 100 && i%30 != 0 },
		"a few everywhere":                  every(100),
	}, func(s *scene, ends func(int) bool) {
		s.addMany("t", 1000, func(m *seri.Message) { m.Retention = 0 })
		leases := s.dequeue(1000).Leases
		var completions []store.Completion
		var staying []string // as the list has them, the newest first
		for i := range leases {
			if l := &leases[i]; ends(i) {
				completions = append(completions, store.Completion{Lease: l})
			} else {
				staying = slices.Insert(staying, 0, l.ID())
			}
		}
		rand.Shuffle(len(completions), func(i, j int) { completions[i], completions[j] = completions[j], completions[i] })

		s.must(s.Complete(s.ctx(), s.q, completions))

		if got := s.rdb.LRange(s.ctx(), s.q.Active(), 0, -1).Val(); !slices.Equal(got, staying) {
			s.t.Errorf("%d tasks are active, want %d, in the order in which they were", len(got), len(staying))
		}
	})
}

func TestCompleteDeletesATaskWithoutRetention(t *testing.T) {
	each(t, func(s *scene) {
		l := s.start("t1", func(m *seri.Message) { m.Retention = 0 })

		s.must(s.Complete(s.ctx(), s.q, []store.Completion{{Lease: l, Result: []byte("1")}}))

		s.gone("t1")
		if last := s.tells("t1", "queued started succeeded"); string(last.Data.Result) != "1" {
			s.t.Errorf("event %+v", last)
		}
		s.counts(1, 0)
		s.changesNothing("the repeated call, which finds nobody", func() {
			errs, err := s.Complete(s.ctx(), s.q, []store.Completion{{Lease: l}})
			s.refused("complete", 0, errs, err)
		})
	})
}

// What is gone must not stand in the way of what lives: an owner's newest tasks are found behind any number of the deleted.
func TestCompleteTakesWhatItDeletesOutOfTheOwnersIndex(t *testing.T) {
	each(t, func(s *scene) {
		owned := func(label string, retention time.Duration) func(*seri.Message) {
			return func(m *seri.Message) { m.Owner, m.Retention = label, retention }
		}
		s.addMany("gone", 3, owned("user:1", 0))
		s.add("other", owned("user:2", 0))
		s.add("kept", owned("user:1", time.Hour))
		leases := pointers(s.dequeue(5))
		s.add("waiting", owned("user:1", 0))

		s.must(attempts["complete"](s, leases...))

		for label, want := range map[string]int64{"user:1": 2, "user:2": 0} {
			if n := s.rdb.ZCard(s.ctx(), s.q.Owner(label)).Val(); n != want {
				s.t.Errorf("the index of %s holds %d tasks, want %d", label, n, want)
			}
		}
	})
}

func TestOwnedPagesPastTasksThatAreGone(t *testing.T) {
	each(t, func(s *scene) {
		owned := func(m *seri.Message) { m.Owner = "user:1" }
		s.addMany("live", 3, owned)
		index := s.q.Owner("user:1")
		for i := range 20 { // newer, and deleted by a stock Inspector
			s.rdb.ZAdd(s.ctx(), index, redis.Z{Score: float64(s.now().UnixMilli() + int64(i) + 1), Member: "ghost" + strconv.Itoa(i)})
		}
		for limit, truncated := range map[int]bool{1: true, 2: true, 3: false, 10: false} {
			tasks, more, err := s.Owned(s.ctx(), s.q, "user:1", limit)
			if err != nil || len(tasks) != min(limit, 3) || more != truncated {
				s.t.Errorf("of 3 tasks, limit %d gives %d, more: %t, %v", limit, len(tasks), more, err)
			}
		}
	})
}

func TestCompleteFreesTheUniquenessLockIfItIsTheTasks(t *testing.T) {
	eachCase(t, map[string]struct {
		retention time.Duration
		holder    string
		want      int64
	}{
		"of a task that is kept":         {time.Hour, "", 0},
		"of a task that is deleted":      {0, "", 0},
		"but not that of another holder": {time.Hour, "t2", 1},
	}, func(s *scene, c struct {
		retention time.Duration
		holder    string
		want      int64
	}) {
		m := s.message("t1", func(m *seri.Message) { m.UniqueFor, m.Retention = time.Hour, c.retention })
		s.must(s.Enqueue(s.ctx(), s.q, []seri.Message{m}))
		l, lock := s.lease(), s.q.Unique(m.Type, m.Payload)
		if c.holder != "" {
			s.rdb.Set(s.ctx(), lock, c.holder, time.Hour) // the term was over, and an equal task came
		}

		s.must(s.Complete(s.ctx(), s.q, []store.Completion{{Lease: l}}))

		if got := s.rdb.Exists(s.ctx(), lock).Val(); got != c.want {
			s.t.Errorf("the lock exists: %d, want %d", got, c.want)
		}
	})
}

// A message that names a lock of another queue lies in another slot; the whole batch would be refused for it, for ever.
func TestCompleteIgnoresALockOfAnotherQueue(t *testing.T) {
	each(t, func(s *scene) {
		s.stock("bad", wire.Message{Type: "x", ID: "bad", Queue: string(s.q), UniqueKey: "asynq:{elsewhere}:unique:x:"})
		s.add("good")

		leases := pointers(s.dequeue(2))
		s.must(attempts["complete"](s, leases...))

		s.stands("good", "completed")
		s.gone("bad")
	})
}

func TestCompleteCountsAsAsynqDoes(t *testing.T) {
	each(t, func(s *scene) {
		s.addMany("t", 5)
		s.rdb.Set(s.ctx(), s.q.Processed(), int64(math.MaxInt64-1), 0)

		for range 2 {
			s.must(attempts["complete"](s, s.lease()))
		}
		if got := s.rdb.Get(s.ctx(), s.q.Processed()).Val(); got != "1" {
			s.t.Errorf("after the largest integer, the total is %s, want 1", got)
		}
		s.must(attempts["complete"](s, pointers(s.dequeue(3))...))

		if got := s.rdb.Get(s.ctx(), s.q.Processed()).Val(); got != "4" {
			s.t.Errorf("the total is %s, want 4", got)
		}
		day := s.q.Processed() + ":" + s.now().UTC().Format(time.DateOnly)
		if got := s.rdb.Get(s.ctx(), day).Val(); got != "5" {
			s.t.Errorf("the count of the day is %s, want 5", got)
		}
		if ttl := s.rdb.TTL(s.ctx(), day).Val(); ttl > 90*24*time.Hour || ttl < 89*24*time.Hour {
			s.t.Errorf("the count of the day has the TTL %v, want 90 days", ttl)
		}
		if ttl := s.rdb.TTL(s.ctx(), s.q.Processed()).Val(); ttl != -1 {
			s.t.Errorf("the total has the TTL %v", ttl)
		}
	})
}
