package schedule

import (
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/seri-queue/seri"
)

// Schedule is a periodic task: when, what, and under which terms. Treat it as immutable.
type Schedule struct {
	ID   string
	Spec Spec
	// Task is what every tick enqueues. Its ID and Expires are set for each tick by [Schedule.Message]; its ETA, Deadline
	// and UniqueFor do not count.
	Task seri.Message
	// ExpiresAfter is how long after its tick a task may still start; 0: for ever.
	ExpiresAfter time.Duration
	// ExpiresWithNext: a task that has not started by the next tick is revoked.
	ExpiresWithNext bool
	// Enabled says whether the schedule ticks at all.
	Enabled bool
	Policy
}

// Message returns the task of one tick. Its ID is "sched:<schedule>:<tick in Unix seconds>", so the task of a tick is
// the same task whoever makes it and however often: enqueued twice, it is refused as a conflict.
func (s Schedule) Message(tick time.Time) (seri.Message, error) {
	if tick.Unix() < 0 || tick.Nanosecond() != 0 {
		return seri.Message{}, fmt.Errorf("schedule %s: %s is not a tick: ticks are whole seconds since the Unix epoch",
			s.ID, tick.Format(time.RFC3339Nano))
	}
	m := s.Task
	m.ID = s.taskID(tick)
	m.ETA, m.Deadline, m.UniqueFor = time.Time{}, time.Time{}, 0
	m.Headers = maps.Clone(s.Task.Headers) // whoever enqueues may add to them
	switch {
	case s.ExpiresAfter > 0:
		m.Expires = tick.Add(s.ExpiresAfter).UTC()
	case s.ExpiresWithNext:
		m.Expires = time.Time{}
		if next := s.Next(tick); !next.IsZero() {
			m.Expires = s.Due(next).UTC()
		}
	}
	if err := m.Validate(); err != nil {
		return seri.Message{}, fmt.Errorf("schedule %s: %w", s.ID, err)
	}
	return m, nil
}

func (s Schedule) taskID(tick time.Time) string { return TaskID(s.ID, tick) }

// TaskPrefix begins the IDs of the tasks of ticks.
const TaskPrefix = "sched:"

// TaskID returns the ID of the task of a schedule's tick.
func TaskID(schedule string, tick time.Time) string {
	return TaskPrefix + schedule + ":" + strconv.FormatInt(tick.Unix(), 10)
}
