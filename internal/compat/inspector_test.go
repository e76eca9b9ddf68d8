package compat

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/internal/store"
)

func TestStockInspectorReadsATaskInEveryState(t *testing.T) {
	each(t, func(s *stage) {
		for state, bring := range into {
			id := state.String()
			bring(s, id)

			info := s.stock(id)

			if info.State != state || info.Queue != s.queue || info.Type != "mail:send" || string(info.Payload) != "payload of "+id ||
				info.Headers["trace"] != "abc" || info.MaxRetry != 3 || info.Timeout != time.Minute || info.Retention != time.Hour {
				s.t.Errorf("%s: %+v", id, info)
			}
			recent := func(at time.Time) bool { return time.Since(at) < time.Minute && time.Until(at) < time.Second }
			switch state {
			case asynq.TaskStateScheduled:
				if left := time.Until(info.NextProcessAt); left < 59*time.Minute || left > time.Hour+time.Second {
					s.t.Errorf("%s is next processed in %v", id, left)
				}
			case asynq.TaskStateRetry:
				left := time.Until(info.NextProcessAt)
				if left < 59*time.Minute || left > time.Hour+time.Second || info.Retried != 1 || info.LastErr != "boom" || !recent(info.LastFailedAt) {
					s.t.Errorf("%s: %+v", id, info)
				}
			case asynq.TaskStateArchived:
				if info.LastErr != "boom" || info.Retried != 0 || !recent(info.LastFailedAt) {
					s.t.Errorf("%s: %+v", id, info)
				}
			case asynq.TaskStateCompleted:
				if string(info.Result) != `{"ok":true}` || !recent(info.CompletedAt) {
					s.t.Errorf("%s: %+v", id, info)
				}
			}
			// "pending" comes in whatever order the map has; keep it out of the next ones' way.
			if state == asynq.TaskStatePending {
				s.check(s.inspector.DeleteTask(s.queue, id))
			}
		}
		into[asynq.TaskStatePending](s, "pending")
		q := s.sound()
		if q.Pending != 1 || q.Scheduled != 1 || q.Active != 1 || q.Retry != 1 || q.Archived != 1 || q.Completed != 1 ||
			q.Processed != 3 || q.Failed != 2 || q.ProcessedTotal != 3 || q.FailedTotal != 2 || q.Latency <= 0 || q.Latency > time.Minute {
			s.t.Errorf("asynq counts %+v", q)
		}
		days, err := s.inspector.History(s.queue, 1)
		if err != nil || days[0].Processed != 3 || days[0].Failed != 2 {
			s.t.Errorf("history %+v, %v", days, err)
		}
		names, err := s.inspector.Queues()
		if err != nil || !slices.Contains(names, s.queue) {
			s.t.Errorf("queues %v, %v", names, err)
		}
		if seris, err := s.Queue(s.ctx(), s.q); err != nil || seris.Processed != 3 || seris.Failed != 2 || seris.Pending != 1 || seris.Retrying != 1 {
			s.t.Errorf("Seri sees %+v, %v", seris, err)
		}
	})
}

// Whatever Seri's record adds, and whatever has become of the task: asynq's Inspector sees what is so.
func TestStockInspectorReadsEveryKindOfTask(t *testing.T) {
	each(t, func(s *stage) {
		s.show()

		for name, e := range gallery {
			info := s.stock(name)
			if info.State != e.asynq || info.Retried != e.retried || info.LastErr != e.err || info.LastFailedAt.IsZero() != (e.err == "") {
				s.t.Errorf("asynq sees %q as %+v", name, info)
			}
			if info.ID != name || info.Queue != s.queue || info.Type != "mail:send" || string(info.Payload) != "payload of "+name ||
				info.Headers["trace"] != "abc" || info.MaxRetry != 3 || info.Timeout != time.Minute || info.Retention != time.Hour || info.IsOrphaned {
				s.t.Errorf("asynq sees %q as %+v", name, info)
			}
			if seris := s.info(name); seris.State != e.seri || seris.Reason != e.reason {
				s.t.Errorf("Seri sees %q as %+v", name, seris)
			}
		}
		listed := func(state asynq.TaskState) ([]*asynq.TaskInfo, error) {
			if state == asynq.TaskStateAggregating {
				return s.inspector.ListAggregatingTasks(s.queue, "g")
			}
			return lists[state](s.inspector, s.queue)
		}
		for _, state := range states {
			tasks, err := listed(state)
			s.check(err)
			var names []string
			for _, task := range tasks {
				names = append(names, task.ID)
			}
			if slices.Sort(names); !slices.Equal(names, in(state)) {
				s.t.Errorf("asynq lists %q as %v, want %q", names, state, in(state))
			}
		}
		q := s.sound()
		if q.Size != len(gallery) || q.Aggregating != 1 || q.Groups != 1 || q.Latency <= 0 || q.Latency > time.Minute || q.Paused {
			s.t.Errorf("asynq sees %+v", q)
		}
		groups, err := s.inspector.Groups(s.queue)
		if err != nil || len(groups) != 1 || groups[0].Group != "g" || groups[0].Size != 1 {
			s.t.Errorf("groups %+v, %v", groups, err)
		}
	})
}

func TestStockInspectorFindsAQueueInTheCluster(t *testing.T) {
	t.Parallel()
	s := newStage(t, redistest.Cluster(t))
	s.add("t1")

	slot, err := s.inspector.ClusterKeySlot(s.queue)
	s.check(err)
	if want := s.rdb.ClusterKeySlot(s.ctx(), s.q.Fence()).Val(); slot != want {
		t.Errorf("asynq's keys are in slot %d, Seri's in %d", slot, want)
	}
	if nodes, err := s.inspector.ClusterNodes(s.queue); err != nil || len(nodes) == 0 {
		t.Errorf("nodes %v, %v", nodes, err)
	}
}

// An operator who runs a task that has ended means it, whatever it ended of.
func TestStockInspectorRunsWhatHasEnded(t *testing.T) {
	for name, e := range gallery {
		if !e.seri.Terminal() {
			continue
		}
		t.Run(name, func(t *testing.T) {
			each(t, func(s *stage) {
				e.bring(s, name)

				s.check(s.inspector.RunTask(s.queue, name))

				l := s.lease(name)
				if info := s.info(name); info.State != seri.Active || info.Reason != "" || info.Owner != "user:1" || !info.FinishedAt.IsZero() {
					s.t.Errorf("info %+v", info)
				}
				s.complete(l)
				if info := s.info(name); info.State != seri.Succeeded || info.Reason != "" {
					s.t.Errorf("info %+v", info)
				}
				s.sound()
				s.kinds(name)
			})
		})
	}
}

func TestStockInspectorRunsATaskAndSeriStartsIt(t *testing.T) {
	for state, bring := range into {
		t.Run(state.String(), func(t *testing.T) {
			each(t, func(s *stage) {
				bring(s, "t1")
				err := s.inspector.RunTask(s.queue, "t1")
				if state == asynq.TaskStateActive || state == asynq.TaskStatePending {
					if err == nil {
						s.t.Errorf("an %v task was run", state)
					}
					return
				}
				s.check(err)
				if info := s.info("t1"); info.State != seri.Pending || info.Reason != "" || !info.DueAt.IsZero() {
					s.t.Errorf("info %+v", info)
				}
				if q := s.sound(); q.Pending != 1 || q.Latency > time.Minute {
					s.t.Errorf("asynq sees %+v", q)
				}

				l := s.lease("t1")
				s.sound()
				if state == asynq.TaskStateScheduled { // its exact time is still there, and comes while the task runs
					if f := s.come("t1"); f.Moved != 0 {
						s.t.Errorf("forwarded %+v", f)
					}
				}
				s.retry(l)
				if info := s.info("t1"); info.State != seri.Retrying || time.Until(info.DueAt) < 59*time.Minute {
					s.t.Errorf("info %+v", info)
				}
				if f := s.come("t1"); f.Moved != 1 {
					s.t.Errorf("forwarded %+v", f)
				}
				s.complete(s.lease("t1"))
				s.sound()
				s.kinds("t1")
			})
		})
	}
}

func TestStockInspectorArchivesATask(t *testing.T) {
	for state, bring := range into {
		t.Run(state.String(), func(t *testing.T) {
			each(t, func(s *stage) {
				bring(s, "t1")
				err := s.inspector.ArchiveTask(s.queue, "t1")
				if state == asynq.TaskStateActive || state == asynq.TaskStateArchived {
					if err == nil {
						s.t.Errorf("an %v task was archived", state)
					}
					return
				}
				s.check(err)
				info := s.info("t1")
				if info.State != seri.Failed || info.Reason != seri.ReasonArchived {
					s.t.Errorf("info %+v", info)
				}
				if f := s.come("t1"); f.Moved != 0 {
					s.t.Errorf("forwarded %+v", f)
				}
				if b := s.dequeue(); b.Popped != 0 {
					s.t.Errorf("batch %+v", b)
				}
				if _, err := s.Revoke(s.ctx(), s.q, "t1"); !errors.Is(err, seri.ErrNotRevocable) {
					s.t.Errorf("revoke answers %v", err)
				}
				s.check(s.inspector.RunTask(s.queue, "t1"))
				s.complete(s.lease("t1"))
				s.sound()
				s.kinds("t1")
			})
		})
	}
}

func TestStockInspectorDeletesATask(t *testing.T) {
	for state, bring := range into {
		t.Run(state.String(), func(t *testing.T) {
			each(t, func(s *stage) {
				bring(s, "t1")
				err := s.inspector.DeleteTask(s.queue, "t1")
				if state == asynq.TaskStateActive {
					if err == nil {
						s.t.Error("an active task was deleted")
					}
					return
				}
				s.check(err)
				if _, err := s.Info(s.ctx(), s.q, "t1"); !errors.Is(err, seri.ErrNotFound) {
					s.t.Errorf("Seri answers %v", err)
				}
				if f := s.come("t1"); f.Moved != 0 {
					s.t.Errorf("forwarded %+v", f)
				}
				if b := s.dequeue(); b.Popped != 0 {
					s.t.Errorf("batch %+v", b)
				}
				s.sound()
				s.add("t1", later) // its ID is free again
				if f, err := s.Forward(s.ctx(), s.q, 10); err != nil || f.Moved != 0 {
					s.t.Errorf("forwarded %+v, %v", f, err)
				}
				s.sound()
			})
		})
	}
}

func TestStockInspectorActsOnAllTasksOfAState(t *testing.T) {
	for name, act := range map[string]struct {
		state asynq.TaskState
		do    func(*asynq.Inspector, string) (int, error)
		after seri.State // empty: deleted
	}{
		"run scheduled":     {asynq.TaskStateScheduled, (*asynq.Inspector).RunAllScheduledTasks, seri.Pending},
		"run retry":         {asynq.TaskStateRetry, (*asynq.Inspector).RunAllRetryTasks, seri.Pending},
		"run archived":      {asynq.TaskStateArchived, (*asynq.Inspector).RunAllArchivedTasks, seri.Pending},
		"archive pending":   {asynq.TaskStatePending, (*asynq.Inspector).ArchiveAllPendingTasks, seri.Failed},
		"archive scheduled": {asynq.TaskStateScheduled, (*asynq.Inspector).ArchiveAllScheduledTasks, seri.Failed},
		"archive retry":     {asynq.TaskStateRetry, (*asynq.Inspector).ArchiveAllRetryTasks, seri.Failed},
		"delete pending":    {asynq.TaskStatePending, (*asynq.Inspector).DeleteAllPendingTasks, ""},
		"delete scheduled":  {asynq.TaskStateScheduled, (*asynq.Inspector).DeleteAllScheduledTasks, ""},
		"delete retry":      {asynq.TaskStateRetry, (*asynq.Inspector).DeleteAllRetryTasks, ""},
		"delete archived":   {asynq.TaskStateArchived, (*asynq.Inspector).DeleteAllArchivedTasks, ""},
		"delete completed":  {asynq.TaskStateCompleted, (*asynq.Inspector).DeleteAllCompletedTasks, ""},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(s *stage) {
				for i := range 3 {
					id := fmt.Sprint("t", i)
					into[act.state](s, id)
				}

				n, err := act.do(s.inspector, s.queue)

				if err != nil || n != 3 {
					s.t.Fatalf("%d tasks, %v", n, err)
				}
				s.sound()
				infos, err := s.Infos(s.ctx(), s.q, "t0", "t1", "t2")
				s.check(err)
				if act.after == "" {
					if len(infos) != 0 {
						s.t.Errorf("left: %+v", infos)
					}
				} else if len(infos) != 3 || infos[0].State != act.after {
					s.t.Errorf("infos %+v", infos)
				}
				if b := s.dequeue(); act.after == seri.Pending && len(b.Leases) != 3 || act.after != seri.Pending && b.Popped != 0 {
					s.t.Errorf("batch %+v", b)
				}
				s.sound()
			})
		})
	}
}

func TestStockInspectorUpdatesThePayloadOfAScheduledTask(t *testing.T) {
	each(t, func(s *stage) {
		s.add("t1", later, func(m *seri.Message) { m.Owner, m.Expires = "user:1", time.Now().Add(2*time.Hour) })

		s.check(s.inspector.UpdateTaskPayload(s.queue, "t1", []byte("new")))

		info := s.info("t1")
		if string(info.Payload) != "new" || info.Owner != "user:1" || info.Expires.IsZero() || info.Headers["trace"] != "abc" || info.State != seri.Scheduled || info.DueAt.IsZero() {
			s.t.Errorf("info %+v", info)
		}
		s.come("t1")
		l := s.lease("t1")
		if string(l.Message.Payload) != "new" || l.Owner != "user:1" {
			s.t.Errorf("lease %+v", l)
		}
		s.complete(l)
		s.sound()
	})
}

func TestStockInspectorsCancelReachesSerisWorkers(t *testing.T) {
	each(t, func(s *stage) {
		calls := s.rdb.Subscribe(s.ctx(), keys.Cancel)
		s.t.Cleanup(func() { calls.Close() })
		if _, err := calls.Receive(s.ctx()); err != nil {
			s.t.Fatal(err)
		}
		id := s.queue + "-t1" // the channel is everybody's
		s.add(id)
		l := s.lease(id)

		s.check(s.inspector.CancelProcessing(id))

		for {
			m, err := calls.ReceiveMessage(s.ctx())
			s.check(err)
			if m.Payload == id {
				break
			}
		}
		s.must(s.Extend(s.ctx(), s.q, []*store.Lease{l}, time.Minute)) // asynq's cancel is a word, not a revocation
	})
}

func TestStockInspectorDeletesNoQueueWhoseTasksRun(t *testing.T) {
	each(t, func(s *stage) {
		l := s.begin("t1")
		for _, force := range []bool{false, true} {
			if err := s.inspector.DeleteQueue(s.queue, force); err == nil {
				s.t.Errorf("the queue was deleted, with force %t", force)
			}
		}
		s.complete(l)
		s.check(s.inspector.DeleteQueue(s.queue, false)) // asynq minds no succeeded tasks
		if _, err := s.Queue(s.ctx(), s.q); !errors.Is(err, seri.ErrNotFound) {
			s.t.Errorf("Seri answers %v", err)
		}
	})
}

func TestStockInspectorDeletesAQueueAndSeriBeginsAnew(t *testing.T) {
	each(t, func(s *stage) {
		for _, state := range []asynq.TaskState{asynq.TaskStateScheduled, asynq.TaskStateRetry, asynq.TaskStateArchived} {
			into[state](s, state.String())
		}
		s.add("t1")
		if err := s.inspector.DeleteQueue(s.queue, false); !errors.Is(err, asynq.ErrQueueNotEmpty) {
			s.t.Errorf("asynq answers %v", err)
		}
		s.check(s.inspector.DeleteQueue(s.queue, true))
		for _, id := range []string{"t1", "scheduled", "retry", "archived"} {
			if _, err := s.Info(s.ctx(), s.q, id); !errors.Is(err, seri.ErrNotFound) {
				s.t.Errorf("Seri answers %v", err)
			}
			s.come(id) // what it did not know of is harmless
		}
		if b := s.dequeue(); b.Popped != 0 {
			s.t.Errorf("batch %+v", b)
		}

		fresh := store.New(s.rdb, store.Config{}) // another process, or this one ten seconds later
		s.must(fresh.Enqueue(s.ctx(), s.q, []seri.Message{{ID: "t1", Type: "x", Retention: time.Hour}}))
		s.complete(s.lease("t1"))
		s.sound()
	})
}
