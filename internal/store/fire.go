package store

import (
	"context"
	_ "embed"
	"fmt"
	"strconv"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/wire"
)

//go:embed plan.lua
var planSource string

//go:embed fire.lua
var fireSource string

var (
	plan = draining("plan", planSource)
	fire = filling("fire", fireSource)
)

// Tick is one tick of one schedule, about to be fired.
type Tick struct {
	Schedule string
	Revision string    // a digest of the schedule's definition
	Expected time.Time // the tick that is taken for the schedule's next one
	Next     time.Time // the tick after it
	Token    uint64    // of the lock under which the schedules are served
	Skip     bool      // move on without a task: the tick was missed for too long
	Task     seri.Message
}

// Fired is what became of a tick.
type Fired int

// What [Store.Fire] may find.
const (
	TickEnqueued Fired = iota // this call has enqueued the tick's task, or skipped the tick
	TickExists                // the tick's task is there already
	TickMoved                 // the schedule's next tick or definition is another by now
)

// Plan makes a schedule of q known if it is new or changed, with next as its next tick, and returns the next tick on
// record. A [*seri.FencedError] tells that a newer holder of the lock has been here.
func (s *Store) Plan(ctx context.Context, q keys.Queue, schedule, revision string, next time.Time, token uint64) (time.Time, error) {
	reply, err := s.run(ctx, plan, q, []string{q.Schedule(schedule)}, revision, next.Unix(), strconv.FormatUint(token, 10))
	if err != nil {
		return time.Time{}, err
	}
	values, ok := reply.([]any)
	if !ok || len(values) != 2 {
		return time.Time{}, fmt.Errorf("plan schedule %s: unexpected reply %v", schedule, reply)
	}
	if values[0] == int64(0) {
		return time.Time{}, fmt.Errorf("plan schedule %s: %w", schedule, &seri.FencedError{TaskID: schedule, Held: token})
	}
	text, _ := values[1].(string)
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("plan schedule %s: next tick: %w", schedule, err)
	}
	return time.Unix(seconds, 0), nil
}

// Fire enqueues a tick's task and moves the schedule on, if the tick is still the next one. The task's ETA and UniqueFor
// are not honoured: a tick has its time and its own kind of uniqueness. A [*seri.FencedError] tells that a newer holder of
// the lock has been here.
func (s *Store) Fire(ctx context.Context, q keys.Queue, tick Tick) (Fired, error) {
	if err := s.register(ctx, q); err != nil {
		return 0, err
	}
	t := &tick.Task
	names := []string{q.Schedule(tick.Schedule), q.Task(t.ID), q.Pending(), q.Events()}
	var more terms
	if !t.Expires.IsZero() {
		more.Expires = t.Expires.UnixMilli()
	}
	if t.Owner != "" {
		names = append(names, q.Owner(t.Owner))
		more.Owner, more.Owned = t.Owner, len(names)
	}
	var encoded []byte
	if !tick.Skip {
		m := message(q, t)
		encoded = m.Encode()
	}
	reply, err := s.run(ctx, fire, q, names, t.ID, s.config.MaxEvents, tick.Revision, tick.Expected.Unix(), tick.Next.Unix(),
		strconv.FormatUint(tick.Token, 10), encoded, wire.About(t.ID, t.Type, t.Owner), more.encode())
	if err != nil {
		return 0, err
	}
	switch reply {
	case int64(1):
		return TickEnqueued, nil
	case int64(2):
		return TickExists, nil
	case int64(0):
		return TickMoved, nil
	}
	return 0, fmt.Errorf("fire schedule %s: %w", tick.Schedule, &seri.FencedError{TaskID: tick.Schedule, Held: tick.Token})
}
