package compat

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/hibiken/asynq"
)

// schedule runs a stock scheduler with one entry, a task in the stage's queue every second, until the test ends. It
// returns the entry's ID.
func (s *stage) schedule() string {
	s.t.Helper()
	scheduler := asynq.NewSchedulerFromRedisClient(s.rdb, &asynq.SchedulerOpts{LogLevel: asynq.FatalLevel, HeartbeatInterval: time.Second})
	id, err := scheduler.Register("@every 1s", asynq.NewTask("mail:send", []byte("tick")), asynq.Queue(s.queue), asynq.MaxRetry(2), asynq.Retention(time.Hour))
	s.check(err)
	s.check(scheduler.Start())
	s.t.Cleanup(scheduler.Shutdown)
	return id
}

// A stock scheduler is a client as any other: Seri's workers run what it enqueues, and stock readers see its entries.
func TestAStockSchedulerFeedsSerisWorkers(t *testing.T) {
	each(t, func(s *stage) {
		ran := make(chan string, 100)
		s.work(handler(func(_ context.Context, payload []byte) ([]byte, error) {
			ran <- string(payload)
			return []byte(`"done"`), nil
		}))
		id := s.schedule()

		for range 2 {
			if payload := <-ran; payload != "tick" {
				s.t.Errorf("ran %q", payload)
			}
		}
		s.until("asynq sees the entry", func() bool {
			entries, err := s.inspector.SchedulerEntries()
			s.check(err)
			return slices.ContainsFunc(entries, func(e *asynq.SchedulerEntry) bool {
				return e.ID == id && e.Spec == "@every 1s" && e.Task.Type() == "mail:send" && len(e.Opts) == 3
			})
		})
		events, err := s.inspector.ListSchedulerEnqueueEvents(id)
		s.check(err)
		if len(events) == 0 {
			s.t.Fatal("asynq sees no tick")
		}
		first := events[len(events)-1].TaskID
		s.until("the first tick's task has succeeded", func() bool { return s.stock(first).State == asynq.TaskStateCompleted })

		d := newDashboard(s.t, s.rdb)
		entries := read[struct{ Entries []monEntry }](s.t, d, "scheduler_entries").Entries
		if !slices.ContainsFunc(entries, func(e monEntry) bool { return e.ID == id && e.Spec == "@every 1s" && e.Type == "mail:send" }) {
			s.t.Errorf("asynqmon sees the entries %+v", entries)
		}
		ticks := read[struct {
			Events []struct {
				TaskID string `json:"task_id"`
			}
		}](s.t, d, "scheduler_entries/"+id+"/enqueue_events").Events
		if len(ticks) == 0 || ticks[len(ticks)-1].TaskID != first {
			s.t.Errorf("asynqmon sees the ticks %+v, want last %s", ticks, first)
		}
	})
}
