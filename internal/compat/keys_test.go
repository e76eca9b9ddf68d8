package compat

import (
	"context"
	"testing"

	"github.com/hibiken/asynq"

	"github.com/seri-queue/seri/internal/cli/audit"
	"github.com/seri-queue/seri/internal/redistest"
)

// What stock programs leave on a Redis that they share with Seri is in the registry of keys: an audit finds no fault.
func TestTheKeysOfStockProgramsAreInTheRegistry(t *testing.T) {
	t.Parallel()
	s := newStage(t, redistest.New(t))
	s.show()
	id := s.schedule()
	server := s.start(func(context.Context, *asynq.Task) error { return nil })
	t.Cleanup(server.Shutdown)
	s.work(handler(func(context.Context, []byte) ([]byte, error) { return nil, nil }))
	s.until("the worker and the server have shown themselves", func() bool { return len(s.servers()) == 2 })
	s.until("the scheduler has shown itself, and has ticked", func() bool {
		entries, err := s.inspector.SchedulerEntries()
		s.check(err)
		events, err := s.inspector.ListSchedulerEnqueueEvents(id)
		s.check(err)
		return len(entries) == 1 && len(events) > 0
	})
	s.check(s.inspector.PauseQueue(s.queue))

	summary, err := audit.Run(s.ctx(), s.rdb, func(f audit.Fault) error {
		t.Errorf("%+v", f)
		return nil
	})

	if err != nil || summary.Keys < len(gallery) {
		t.Errorf("the audit has found %+v, %v", summary, err)
	}
}
