package compat

import (
	"maps"
	"slices"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/store"
)

// exhibit is a way to bring a task where stock asynq cannot, with all that Seri's record adds: owner, expiry, uniqueness,
// progress, reasons, crashes.
type exhibit struct {
	bring func(s *stage, id string) // leaves the task id, and takes nothing else out of the queue if that is empty

	asynq   asynq.TaskState // what stock readers see
	retried int
	err     string

	seri   seri.State // and Seri
	reason seri.Reason
}

// gallery has an exhibit for each place that a task can be in, by name.
var gallery = map[string]exhibit{
	"pending":     {bring: func(s *stage, id string) { s.add(id, full) }, asynq: asynq.TaskStatePending, seri: seri.Pending},
	"handed back": {bring: handBack, asynq: asynq.TaskStatePending, seri: seri.Pending},
	"its worker vanished": {
		bring: func(s *stage, id string) { s.add(id, full); s.crash(id, 3) }, asynq: asynq.TaskStatePending, seri: seri.Pending,
	},
	"scheduled": {
		bring: func(s *stage, id string) { s.add(id, full, later) }, asynq: asynq.TaskStateScheduled, seri: seri.Scheduled,
	},
	"no worker knows its type": {bring: park, asynq: asynq.TaskStateScheduled, seri: seri.Scheduled, reason: seri.ReasonNoWorker},
	"active":                   {bring: func(s *stage, id string) { s.begin(id) }, asynq: asynq.TaskStateActive, seri: seri.Active},
	"active and revoked": {
		bring: func(s *stage, id string) { s.begin(id); s.revoke(id) }, asynq: asynq.TaskStateActive, seri: seri.Active,
	},
	"retrying": {
		bring: func(s *stage, id string) { s.retry(s.begin(id)) }, asynq: asynq.TaskStateRetry, retried: 1, err: "boom", seri: seri.Retrying,
	},
	"its worker vanished again": {bring: func(s *stage, id string) {
		s.add(id, full)
		s.crash(id, 3)
		s.crash(id, 3)
	}, asynq: asynq.TaskStateRetry, seri: seri.Retrying, reason: seri.ReasonCrashed},
	"succeeded": {bring: func(s *stage, id string) { s.complete(s.begin(id)) }, asynq: asynq.TaskStateCompleted, seri: seri.Succeeded},
	"exhausted": archived(seri.ReasonExhausted),
	"permanent": archived(seri.ReasonPermanent),
	"poison": {
		bring: func(s *stage, id string) { s.add(id, full); s.crash(id, 1) },
		asynq: asynq.TaskStateArchived, err: "the worker vanished 1 time while it ran this task", seri: seri.Failed, reason: seri.ReasonPoison,
	},
	"archived by an operator": {bring: func(s *stage, id string) {
		s.add(id, full)
		s.check(s.inspector.ArchiveTask(s.queue, id))
	}, asynq: asynq.TaskStateArchived, seri: seri.Failed, reason: seri.ReasonArchived},
	"revoked": {
		bring: func(s *stage, id string) { s.add(id, full, later); s.revoke(id) },
		asynq: asynq.TaskStateArchived, seri: seri.Revoked, reason: seri.ReasonRevoked,
	},
	"revoked while it ran": {bring: func(s *stage, id string) {
		l := s.begin(id)
		s.revoke(id)
		s.must(s.Archive(s.ctx(), s.q, []store.Ending{{Lease: l, Reason: seri.ReasonRevoked, Error: "stopped"}}))
	}, asynq: asynq.TaskStateArchived, err: "stopped", seri: seri.Revoked, reason: seri.ReasonRevoked},
	"expired": {bring: expire, asynq: asynq.TaskStateArchived, seri: seri.Revoked, reason: seri.ReasonExpired},
	"aggregating": {bring: func(s *stage, id string) {
		_, err := s.client.Enqueue(asynq.NewTaskWithHeaders("mail:send", []byte("payload of "+id), map[string]string{"trace": "abc"}),
			asynq.Queue(s.queue), asynq.TaskID(id), asynq.Group("g"), asynq.MaxRetry(3), asynq.Timeout(time.Minute), asynq.Retention(time.Hour))
		s.check(err)
	}, asynq: asynq.TaskStateAggregating, seri: seri.Pending, reason: seri.ReasonAggregating},
}

// full gives a task all that a message of Seri's can carry.
func full(m *seri.Message) {
	m.Owner, m.UniqueFor, m.Expires = "user:1", time.Hour, time.Now().Add(3*time.Hour)
}

// begin adds a task and leases it; it has reported progress.
func (s *stage) begin(id string) *store.Lease {
	s.t.Helper()
	s.add(id, full)
	l := s.lease(id)
	s.must(s.Progress(s.ctx(), s.q, []store.Report{{Lease: l, Progress: seri.ProgressInfo{Done: 1, Total: 2, Message: "half"}}}))
	return l
}

func archived(reason seri.Reason) exhibit {
	return exhibit{bring: func(s *stage, id string) {
		s.must(s.Archive(s.ctx(), s.q, []store.Ending{{Lease: s.begin(id), Reason: reason, Error: "boom"}}))
	}, asynq: asynq.TaskStateArchived, err: "boom", seri: seri.Failed, reason: reason}
}

func handBack(s *stage, id string) { s.must(s.Requeue(s.ctx(), s.q, []*store.Lease{s.begin(id)})) }

func park(s *stage, id string) {
	s.add(id, full)
	b, err := s.Dequeue(s.ctx(), s.q, store.Wanted{Tasks: 1, Lease: time.Minute, Types: []string{"other"}})
	if err != nil || b.Parked != 1 {
		s.t.Fatalf("batch %+v, %v", b, err)
	}
}

// expire brings a task whose expiry passes while it is pending.
func expire(s *stage, id string) {
	s.add(id, full)
	s.check(s.rdb.HSet(s.ctx(), s.q.Task(id), "expires", time.Now().Add(-time.Minute).UnixMilli()).Err())
	if b := s.dequeue(); b.Popped != 1 || len(b.Leases) != 0 {
		s.t.Fatalf("batch %+v", b)
	}
}

// crash has a worker take the next task, which must be id, and die; at the crash of that number the task is poison.
func (s *stage) crash(id string, poison int) {
	s.t.Helper()
	s.lease(id)
	s.check(s.rdb.ZAddArgs(s.ctx(), s.q.Lease(), redis.ZAddArgs{XX: true, Members: []redis.Z{{Score: 1, Member: id}}}).Err())
	r, err := s.Recover(s.ctx(), s.q, 1, store.CrashPolicy{Max: poison, Backoff: time.Hour})
	if err != nil || r.Taken != 1 {
		s.t.Fatalf("recovered %+v, %v", r, err)
	}
}

func (s *stage) revoke(id string) {
	s.t.Helper()
	_, err := s.Revoke(s.ctx(), s.q, id)
	s.check(err)
}

// show brings the named exhibits, or all, into the stage's queue, each under its name.
func (s *stage) show(names ...string) {
	s.t.Helper()
	if len(names) == 0 {
		names = slices.Sorted(maps.Keys(gallery))
	}
	aside := s.q.Pending() + "-aside" // out of the way of those that lease
	for _, name := range names {
		if s.rdb.Exists(s.ctx(), s.q.Pending()).Val() == 1 {
			s.check(s.rdb.Rename(s.ctx(), s.q.Pending(), aside).Err())
		}
		gallery[name].bring(s, name)
		for s.rdb.LMove(s.ctx(), aside, s.q.Pending(), "LEFT", "RIGHT").Err() == nil {
		}
	}
}

// in returns the names of the exhibits in one of asynq's states, sorted.
func in(state asynq.TaskState) (names []string) {
	for name, e := range gallery {
		if e.asynq == state {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

var states = []asynq.TaskState{
	asynq.TaskStatePending, asynq.TaskStateActive, asynq.TaskStateScheduled, asynq.TaskStateRetry, asynq.TaskStateArchived,
	asynq.TaskStateCompleted, asynq.TaskStateAggregating,
}
