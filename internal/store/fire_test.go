package store_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/store"
)

// tick is long past, so that it is due.
var tick = time.Unix(1_700_000_000, 0)

const tickID = "sched:nightly:1700000000"

func leads(token uint64) store.Leader { return store.Leader{Lock: "beat", Token: token} }

// tick returns the tick of the schedule "nightly" that is so many hours after the first one.
func (s *scene) tick(hours int, change ...func(*store.Tick)) store.Tick {
	at := tick.Add(time.Duration(hours) * time.Hour)
	k := store.Tick{
		Schedule: "nightly", Revision: "r1", Expected: at, Tick: at, Due: at, Next: at.Add(time.Hour), Overlap: "allow",
		Task: s.message(fmt.Sprintf("sched:nightly:%d", at.Unix())),
	}
	for _, c := range change {
		c(&k)
	}
	return k
}

// plan makes the schedule "nightly" known, or changes it.
func (s *scene) plan(revision string, next time.Time, token uint64) {
	s.t.Helper()
	was := s.scheduled()
	written, err := s.Plan(s.ctx(), s.q, leads(token), []store.Plan{{
		Schedule: "nightly", Was: was, Revision: revision, Timing: "t", Origin: store.OriginFile, Definition: []byte("{}"), Next: next,
	}})
	if err != nil || !written[0] {
		s.t.Fatal(written, err)
	}
}

// scheduled returns the record of the schedule "nightly".
func (s *scene) scheduled() store.ScheduleRecord {
	s.t.Helper()
	records, err := s.ScheduleRecords(s.ctx(), s.q, []string{"nightly"}, nil)
	s.must(nil, err)
	return records[0]
}

func (s *scene) fire(what string, want store.Outcome, ticks ...store.Tick) store.Fired {
	s.t.Helper()
	fired, err := s.Fire(s.ctx(), s.q, leads(7), ticks)
	if err != nil {
		s.t.Fatalf("%s: %v", what, err)
	}
	for i, f := range fired {
		if f.Outcome != want {
			s.t.Errorf("%s: tick %d is answered with %v, want %v", what, i, f, want)
		}
	}
	return fired[len(fired)-1]
}

// told returns the events about schedules.
func (s *scene) told() (events []seri.Event) {
	for _, e := range s.events() {
		if e.Data.Schedule != nil {
			events = append(events, e)
		}
	}
	return events
}

func (s *scene) tellsOfSchedule(want string) {
	s.t.Helper()
	var kinds []string
	for _, e := range s.told() {
		kind, _ := strings.CutPrefix(string(e.Kind), "schedule.")
		if e.Data.Schedule.Reason != "" {
			kind += ":" + string(e.Data.Schedule.Reason)
		}
		kinds = append(kinds, kind)
		if e.Data.Schedule.ID != "nightly" || e.Task != "" || e.Seq != 0 {
			s.t.Errorf("event %+v, schedule %+v", e, e.Data.Schedule)
		}
	}
	if got := strings.Join(kinds, " "); got != want {
		s.t.Errorf("events of the schedule are %q, want %q", got, want)
	}
}

func (s *scene) nextIs(want time.Time) {
	s.t.Helper()
	if got := s.scheduled().Next; !got.Equal(want) {
		s.t.Errorf("the next tick is %v, want %v", got, want)
	}
}

func TestFireEnqueuesTheTaskOfATick(t *testing.T) {
	each(t, func(s *scene) {
		s.plan("r1", tick, 7)

		s.fire("in time", store.TickEnqueued, s.tick(0, func(k *store.Tick) {
			k.Task.Owner, k.Task.Expires = "user:1", time.Now().Add(time.Hour)
		}))

		s.stands(tickID, "pending")
		if last := s.tells(tickID, "queued"); last.Owner != "user:1" {
			s.t.Errorf("event %+v", last)
		}
		s.tellsOfSchedule("fired")
		if e := s.told()[0].Data.Schedule; e.Task != tickID || !e.Tick.Equal(tick) || e.Late < time.Since(tick)-time.Hour {
			s.t.Errorf("the schedule's event is %+v", e)
		}
		if info := s.info(tickID); info.Owner != "user:1" || info.Expires.IsZero() || info.EnqueuedAt.IsZero() {
			s.t.Errorf("info %+v", info)
		}
		if tasks, more, err := s.Owned(s.ctx(), s.q, "user:1", 10); err != nil || more || len(tasks) != 1 {
			s.t.Errorf("the owner's tasks are %v, %v", tasks, err)
		}
		s.nextIs(tick.Add(time.Hour))
		if r := s.scheduled(); r.Runs != 1 || !r.Last.Equal(tick) || r.LastTask != tickID {
			s.t.Errorf("the record is %+v", r)
		}
		if score := s.rdb.ZScore(s.ctx(), s.q.Schedules(), "nightly").Val(); score != float64(tick.Add(time.Hour).Unix()) {
			s.t.Errorf("the index has %v", score)
		}
		s.must(attempts["complete"](s, s.lease()))
		s.changesNothing("the same tick again", func() { s.fire("the same tick", store.TickMoved, s.tick(0)) })
	})
}

func TestFireEnqueuesOneTaskForAnyNumberOfCallers(t *testing.T) {
	each(t, func(s *scene) {
		s.plan("r1", tick, 7)
		answers := make([]store.Outcome, 8)
		var wg sync.WaitGroup
		for i := range answers {
			wg.Go(func() {
				fired, err := s.Fire(s.ctx(), s.q, leads(7), []store.Tick{s.tick(0)})
				if err != nil {
					s.t.Error(err)
					return
				}
				answers[i] = fired[0].Outcome
			})
		}
		wg.Wait()

		slices.Sort(answers)
		if answers[6] != store.TickMoved || answers[7] != store.TickEnqueued {
			s.t.Errorf("answers %v", answers)
		}
		s.stands(tickID, "pending")
		s.tells(tickID, "queued")
		s.tellsOfSchedule("fired")
	})
}

func TestFireFindsTheTickOnRecordIsAnother(t *testing.T) {
	eachCase(t, map[string]func(*store.Tick){
		"an older tick":          func(k *store.Tick) { k.Expected = k.Expected.Add(-time.Hour) },
		"a later tick":           func(k *store.Tick) { k.Expected = k.Expected.Add(time.Hour) },
		"another definition":     func(k *store.Tick) { k.Revision = "r2" },
		"a schedule not planned": func(k *store.Tick) { k.Schedule = "other" },
		"a tick that waits":      func(k *store.Tick) { k.Expected = time.Time{} },
	}, func(s *scene, change func(*store.Tick)) {
		s.plan("r1", tick, 7)

		s.changesNothing("a tick that is not the next", func() { s.fire("it", store.TickMoved, s.tick(0, change)) })
	})
}

func TestFireIsNotEarly(t *testing.T) {
	each(t, func(s *scene) {
		s.plan("r1", tick, 7)
		s.changesNothing("a tick that is not due", func() {
			s.fire("it", store.TickEarly, s.tick(0, func(k *store.Tick) { k.Due = s.now().Add(time.Minute) }))
		})
	})
}

func TestFireTakesTicksOfOneScheduleInTheirOrder(t *testing.T) {
	each(t, func(s *scene) {
		s.plan("r1", tick.Add(-5*time.Hour), 7)

		s.fire("three, after five that were missed", store.TickEnqueued,
			s.tick(0, func(k *store.Tick) {
				k.Expected, k.Missed = tick.Add(-5*time.Hour), `{"count":5,"first":1699982000,"last":1699996400,"reason":"outage"}`
			}), s.tick(1), s.tick(2))

		s.tellsOfSchedule("missed:outage fired fired fired")
		if e := s.told()[0].Data.Schedule; e.Count != 5 || e.First.Unix() != 1699982000 || e.Last.Unix() != 1699996400 {
			s.t.Errorf("missed event %+v", e)
		}
		if r := s.scheduled(); r.Missed != 5 || r.Runs != 3 {
			s.t.Errorf("the record is %+v", r)
		}
		if ids := s.rdb.LRange(s.ctx(), s.q.Pending(), 0, -1).Val(); len(ids) != 3 || ids[2] != tickID {
			s.t.Errorf("pending are %v", ids)
		}
		s.nextIs(tick.Add(3 * time.Hour))
	})
}

func TestFireMovesOnWithoutATask(t *testing.T) {
	each(t, func(s *scene) {
		s.plan("r1", tick, 7)

		s.fire("what was missed", store.TickPassed, s.tick(0, func(k *store.Tick) {
			k.Tick, k.Next, k.Missed = time.Time{}, time.Time{}, `{"count":1,"first":1700000000,"last":1700000000,"reason":"outage"}`
		}))

		s.tellsOfSchedule("missed:outage")
		s.nextIs(time.Time{})
		if len(s.places(tickID)) != 0 {
			s.t.Error("a task was enqueued")
		}
	})
}

func TestFireMovesOnIfTheTicksTaskExists(t *testing.T) {
	each(t, func(s *scene) {
		s.plan("r1", tick, 7)
		s.add(tickID)

		s.fire("with a task of that ID", store.TickExists, s.tick(0))

		s.tells(tickID, "queued")
		s.tellsOfSchedule("")
		s.nextIs(tick.Add(time.Hour))
	})
}

// What a failover loses, it loses from the end on: with the task goes the tick, and firing it again makes the same task.
func TestATickThatIsFiredAgainAfterALossIsTheSameTask(t *testing.T) {
	eachServer(t, func(s *scene) { // the embedded store cannot restore a hash
		s.plan("r1", tick, 7)
		before := s.rdb.Dump(s.ctx(), s.q.Schedule("nightly")).Val()
		s.fire("in time", store.TickEnqueued, s.tick(0))
		s.rdb.Del(s.ctx(), s.q.Task(tickID), s.q.Pending())
		s.must(nil, s.rdb.RestoreReplace(s.ctx(), s.q.Schedule("nightly"), 0, before).Err())

		s.fire("after the loss", store.TickEnqueued, s.tick(0))

		s.stands(tickID, "pending")
	})
}

func TestAFormerLeaderIsFencedOff(t *testing.T) {
	eachCase(t, map[string]struct{ older, newer uint64 }{
		"by a greater token":                         {7, 8},
		"by one that is longer":                      {9, 10},
		"by one that differs in the sixteenth digit": {1_763_800_000_000_001, 1_763_800_000_000_002},
	}, func(s *scene, c struct{ older, newer uint64 }) {
		s.plan("r1", tick, c.newer)

		s.changesNothing("the former leader", func() {
			_, err := s.Fire(s.ctx(), s.q, leads(c.older), []store.Tick{s.tick(0)})
			if _, ok := errors.AsType[*seri.FencedError](err); !ok {
				s.t.Errorf("fire answered %v", err)
			}
			_, err = s.Plan(s.ctx(), s.q, leads(c.older), []store.Plan{{Schedule: "other", Revision: "r0"}})
			if _, ok := errors.AsType[*seri.FencedError](err); !ok {
				s.t.Errorf("plan answered %v", err)
			}
		})
		fired, err := s.Fire(s.ctx(), s.q, leads(c.newer), []store.Tick{s.tick(0)})
		if err != nil || fired[0].Outcome != store.TickEnqueued {
			s.t.Errorf("the leader: %v, %v", fired, err)
		}
		if _, err := s.Fire(s.ctx(), s.q, store.Leader{Lock: "other", Token: 1}, []store.Tick{s.tick(0)}); err != nil {
			s.t.Errorf("a leader of other beats: %v", err)
		}
	})
}

func TestAPausedScheduleDoesNotTick(t *testing.T) {
	each(t, func(s *scene) {
		s.plan("r1", tick, 7)

		s.must(nil, s.PauseSchedule(s.ctx(), s.q, "nightly", `"because"`))
		s.changesNothing("pausing again", func() { s.must(nil, s.PauseSchedule(s.ctx(), s.q, "nightly", "x")) })
		s.changesNothing("a tick", func() { s.fire("while paused", store.TickPaused, s.tick(0)) })
		if r := s.scheduled(); !r.Paused || r.Note != `"because"` || time.Since(r.PausedAt) > time.Minute {
			s.t.Errorf("the record is %+v", r)
		}
		if err := s.ResumeSchedule(s.ctx(), s.q, "nightly", "r0", tick); !errors.Is(err, store.ErrScheduleChanged) {
			s.t.Errorf("resumed with another revision: %v", err)
		}
		s.must(nil, s.ResumeSchedule(s.ctx(), s.q, "nightly", "r1", tick.Add(time.Hour)))
		s.changesNothing("resuming again", func() { s.must(nil, s.ResumeSchedule(s.ctx(), s.q, "nightly", "r1", tick)) })

		s.fire("what was due in the pause", store.TickMoved, s.tick(0))
		s.fire("after the pause", store.TickEnqueued, s.tick(1))
		s.tellsOfSchedule("paused resumed fired")
		if note := s.told()[0].Data.Schedule.Note; note != `"because"` {
			s.t.Errorf("the note is %q", note)
		}
		if err := s.PauseSchedule(s.ctx(), s.q, "other", ""); !errors.Is(err, seri.ErrNotFound) {
			s.t.Errorf("pausing what is not there: %v", err)
		}
	})
}

// doesNotWrite checks that do leaves a key alone, and does not write the same once more either.
func (s *scene) doesNotWrite(key string, do func()) {
	s.t.Helper()
	err := s.rdb.Watch(s.ctx(), func(tx *redis.Tx) error {
		do()
		_, err := tx.TxPipelined(s.ctx(), func(pipe redis.Pipeliner) error { return pipe.Exists(s.ctx(), key).Err() })
		return err
	}, key)
	if err != nil {
		s.t.Errorf("%s was written: %v", key, err)
	}
}

func overlapping(policy string) func(*store.Tick) {
	return func(k *store.Tick) { k.Overlap = policy }
}

// waited makes a tick one that has waited.
func waited(k *store.Tick) { k.Expected, k.Next = time.Time{}, time.Time{} }

func TestATickThatOverlaps(t *testing.T) {
	hours := func(n ...int) (ticks []store.Waiting) {
		for _, h := range n {
			ticks = append(ticks, store.Waiting{Tick: tick.Add(time.Duration(h) * time.Hour)})
		}
		return ticks
	}
	eachCase(t, map[string]struct {
		policy   string
		second   store.Outcome
		third    store.Outcome
		waiting  []store.Waiting // after the third
		events   string
		released int // after the first has ended
	}{
		"starts beside the first":                     {"allow", store.TickEnqueued, store.TickEnqueued, nil, "fired fired fired", 0},
		"is left out":                                 {"skip", store.TickLeftOut, store.TickLeftOut, nil, "fired missed:overlap missed:overlap", 0},
		"waits, alone":                                {"buffer_one", store.TickWaits, store.TickLeftOut, hours(1), "fired missed:overlap", 1},
		"waits, and others behind it":                 {"buffer_all", store.TickWaits, store.TickWaits, hours(1, 2), "fired", 1},
		"waits for the first to stop, until the next": {"cancel_other", store.TickWaits, store.TickWaits, hours(2), "fired missed:overlap", 2},
	}, func(s *scene, c struct {
		policy   string
		second   store.Outcome
		third    store.Outcome
		waiting  []store.Waiting
		events   string
		released int
	}) {
		s.plan("r1", tick, 7)
		o := overlapping(c.policy)
		s.fire("the first", store.TickEnqueued, s.tick(0, o))
		lease := s.lease()

		second := s.fire("the second", c.second, s.tick(1, o))
		third := s.fire("the third", c.third, s.tick(2, o))

		s.tellsOfSchedule(c.events)
		s.nextIs(tick.Add(3 * time.Hour))
		if got := s.scheduled().Waiting; !slices.Equal(got, c.waiting) || c.policy != "allow" && !slices.Equal(third.Waiting, c.waiting) {
			s.t.Errorf("waiting are %v on record and %v in the answer, want %v", got, third.Waiting, c.waiting)
		}
		if c.policy != "allow" && !slices.Equal(second.Running, []time.Time{tick}) {
			s.t.Errorf("running are %v", second.Running)
		}
		if c.waiting == nil {
			return
		}
		s.doesNotWrite(s.q.Schedule("nightly"), func() { s.fire("the second, too soon", store.TickWaits, s.tick(c.released, o, waited)) })
		s.must(attempts["complete"](s, lease))
		f := s.fire("the one that waited", store.TickEnqueued, s.tick(c.released, o, waited))
		if !slices.Equal(f.Waiting, c.waiting[1:]) || !slices.Equal(s.scheduled().Waiting, c.waiting[1:]) {
			s.t.Errorf("waiting are %v", f.Waiting)
		}
		s.nextIs(tick.Add(3 * time.Hour))
		s.changesNothing("the same again", func() { s.fire("it", store.TickMoved, s.tick(c.released, o, waited)) })
		if len(c.waiting) > 1 {
			s.fire("the last, too soon", store.TickWaits, s.tick(2, o, waited))
			s.fire("a fourth behind it", store.TickWaits, s.tick(3, o))
		}
	})
}

func TestATickMayTerminateTheOthers(t *testing.T) {
	each(t, func(s *scene) {
		s.plan("r1", tick, 7)
		o := overlapping("terminate_other")
		s.fire("the first", store.TickEnqueued, s.tick(0, o))
		lease := s.lease()

		s.fire("the second", store.TickEnqueued, s.tick(1, o))

		s.stands(tickID, "archived")
		if last := s.tells(tickID, "queued started revoked"); last.Data.Reason != seri.ReasonRevoked {
			s.t.Errorf("event %+v", last)
		}
		s.stands("sched:nightly:1700003600", "pending")
		s.changesNothing("the first one's outcome", func() {
			if errs, err := attempts["complete"](s, lease); err != nil || errs[0] == nil {
				s.t.Errorf("a terminated task completes: %v, %v", errs, err)
			}
		})
		s.fire("the third, while the second has not started", store.TickEnqueued, s.tick(2, o))
		s.stands("sched:nightly:1700003600", "archived")
		s.tells("sched:nightly:1700003600", "queued revoked")
		s.fire("two at once", store.TickEnqueued, s.tick(3, o), s.tick(4, o))
		s.stands("sched:nightly:1700010800", "archived")
		s.stands("sched:nightly:1700014400", "pending")
	})
}

func TestAScheduleEndsWithItsLimit(t *testing.T) {
	each(t, func(s *scene) {
		s.plan("r1", tick, 7)
		limited := func(k *store.Tick) { k.Limit = 2 }

		s.fire("the first of two", store.TickEnqueued, s.tick(0, limited))
		s.fire("the second", store.TickLast, s.tick(1, limited))

		s.nextIs(time.Time{})
		s.changesNothing("a third", func() { s.fire("it", store.TickMoved, s.tick(2, limited)) })
	})
}

// A leader that knows of no limit yet, or has computed a tick anew after an edit.
func TestAScheduleThatHasEndedStaysEndedAfterAnEdit(t *testing.T) {
	each(t, func(s *scene) {
		s.plan("r1", tick, 7)
		limited := func(k *store.Tick) { k.Limit = 2 }
		s.fire("two of two", store.TickEnqueued, s.tick(0, limited))
		s.fire("two of two", store.TickLast, s.tick(1, limited))
		s.plan("r2", tick.Add(2*time.Hour), 7)

		s.fire("a third", store.TickOver, s.tick(2, limited, func(k *store.Tick) {
			k.Revision, k.Missed = "r2", `{"count":1,"first":1700000000,"last":1700000000,"reason":"outage"}`
		}))

		s.nextIs(time.Time{})
		s.tellsOfSchedule("fired fired")
		if r := s.scheduled(); r.Runs != 2 || r.Missed != 0 {
			s.t.Errorf("the record is %+v", r)
		}
	})
}

func TestTicksThatWaitAtTheLimitAreMissed(t *testing.T) {
	eachCase(t, map[string]struct {
		limit   int // once ticks wait
		outcome store.Outcome
		events  string
	}{
		"the one whose turn it is is the last": {2, store.TickLast, "fired fired missed:overlap"},
		"an edit has lowered the limit":        {1, store.TickOver, "fired missed:overlap missed:overlap"},
	}, func(s *scene, c struct {
		limit   int
		outcome store.Outcome
		events  string
	}) {
		s.plan("r1", tick, 7)
		o := overlapping("buffer_all")
		s.fire("the first", store.TickEnqueued, s.tick(0, o))
		lease := s.lease()
		s.fire("two that wait", store.TickWaits, s.tick(1, o), s.tick(2, o))
		s.must(attempts["complete"](s, lease))

		f := s.fire("the second", c.outcome, s.tick(1, o, waited, func(k *store.Tick) { k.Limit = c.limit }))

		s.tellsOfSchedule(c.events)
		s.nextIs(time.Time{})
		if r := s.scheduled(); len(f.Waiting) != 0 || len(r.Waiting) != 0 || r.Runs != int64(c.limit) {
			s.t.Errorf("waiting are %v, the record is %+v", f.Waiting, r)
		}
	})
}

func TestAScheduleIsPausedAfterFailuresInARow(t *testing.T) {
	each(t, func(s *scene) {
		s.plan("r1", tick, 7)
		strict := func(k *store.Tick) { k.PauseAfter = 2 }
		for hour, how := range []string{"archive", "complete", "archive", "archive"} {
			s.fire(how, store.TickEnqueued, s.tick(hour, strict))
			s.must(endings[how](s, s.lease()))
		}

		s.fire("after two failures in a row", store.TickPaused, s.tick(4, strict))

		if r := s.scheduled(); !r.Paused || r.Note != "2 tasks in a row have failed" || r.Failures != 2 {
			s.t.Errorf("the record is %+v", r)
		}
		s.tellsOfSchedule("fired fired fired fired paused")
		s.must(nil, s.ResumeSchedule(s.ctx(), s.q, "nightly", "r1", tick.Add(5*time.Hour)))
		s.fire("after it was resumed", store.TickEnqueued, s.tick(5, strict))
	})
}

// A schedule that pauses itself when the turn of a tick has come tells what waits still: one that was asked for runs in the pause.
func TestAScheduleThatPausesItselfTellsWhatWaits(t *testing.T) {
	each(t, func(s *scene) {
		s.plan("r1", tick, 7)
		strict := func(k *store.Tick) { k.Overlap, k.PauseAfter = "buffer_all", 1 }
		asked := func(k *store.Tick) { k.Asked, k.Expected, k.Next = true, time.Time{}, time.Time{} }
		s.fire("the first", store.TickEnqueued, s.tick(0, strict))
		lease := s.lease()
		s.fire("one that waits", store.TickWaits, s.tick(1, strict))
		s.fire("one that was asked for", store.TickWaits, s.tick(-5, strict, asked))
		s.must(endings["archive"](s, lease))

		f := s.fire("one that waits, after a failure", store.TickPaused, s.tick(1, strict, waited))

		want := []store.Waiting{{Tick: tick.Add(time.Hour)}, {Tick: tick.Add(-5 * time.Hour), Asked: true}}
		if r := s.scheduled(); !slices.Equal(f.Waiting, want) || !slices.Equal(r.Waiting, want) || !r.Paused {
			s.t.Errorf("waiting are %v in the answer, want %v; the record is %+v", f.Waiting, want, r)
		}
		f = s.fire("one that was asked for, in the pause", store.TickEnqueued, s.tick(-5, strict, waited))
		if !slices.Equal(f.Waiting, want[:1]) {
			s.t.Errorf("waiting are %v, want %v", f.Waiting, want[:1])
		}
	})
}

func TestASchedulesMemoryLasts(t *testing.T) {
	each(t, func(s *scene) {
		s.plan("r1", tick, 7)
		s.fire("it", store.TickEnqueued, s.tick(0))
		for key, value := range s.world() {
			if !strings.HasSuffix(key, ":events") && strings.Contains(key, ":schedule") && strings.Contains(value, "with TTL") {
				s.t.Errorf("%s has a TTL", key)
			}
		}
	})
}

func TestATickThatWasAskedForIsNotHeldUpByAPauseOrALimit(t *testing.T) {
	each(t, func(s *scene) {
		s.plan("r1", tick, 7)
		o := overlapping("buffer_all")
		asked := func(k *store.Tick) { k.Asked, k.Expected, k.Next = true, time.Time{}, time.Time{} }
		s.fire("the first", store.TickEnqueued, s.tick(0, o))
		lease := s.lease()
		s.fire("one that waits", store.TickWaits, s.tick(1, o))
		f := s.fire("two that were asked for", store.TickWaits, s.tick(-5, o, asked), s.tick(-4, o, asked))
		want := []store.Waiting{{Tick: tick.Add(time.Hour)}, {Tick: tick.Add(-5 * time.Hour), Asked: true}, {Tick: tick.Add(-4 * time.Hour), Asked: true}}
		if !slices.Equal(f.Waiting, want) || !slices.Equal(s.scheduled().Waiting, want) {
			s.t.Errorf("waiting are %v", f.Waiting)
		}
		s.must(nil, s.PauseSchedule(s.ctx(), s.q, "nightly", ""))
		s.must(attempts["complete"](s, lease))

		s.changesNothing("one that waits in the pause", func() { s.fire("it", store.TickMoved, s.tick(1, o, waited)) })
		f = s.fire("one that was asked for", store.TickEnqueued, s.tick(-5, o, waited))
		if !slices.Equal(f.Waiting, slices.Delete(slices.Clone(want), 1, 2)) {
			s.t.Errorf("waiting are %v", f.Waiting)
		}
		s.must(attempts["complete"](s, s.lease()))
		s.must(nil, s.ResumeSchedule(s.ctx(), s.q, "nightly", "r1", tick.Add(2*time.Hour)))
		f = s.fire("the limit, after an edit", store.TickOver, s.tick(1, o, waited, func(k *store.Tick) { k.Limit = 1 }))
		if !slices.Equal(f.Waiting, want[2:]) {
			s.t.Errorf("waiting are %v", f.Waiting)
		}
		f = s.fire("one that was asked for", store.TickEnqueued, s.tick(-4, o, waited, func(k *store.Tick) { k.Limit = 1 }))
		if len(f.Waiting) != 0 || len(s.scheduled().Waiting) != 0 || s.scheduled().Runs != 1 {
			s.t.Errorf("waiting are %v, the record is %+v", f.Waiting, s.scheduled())
		}
		s.nextIs(time.Time{})
	})
}
