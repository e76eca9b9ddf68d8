package store

import (
	"context"
	_ "embed"
	"fmt"
	"strconv"
	"time"

	"github.com/seri-queue/seri/internal/keys"
)

//go:embed forward.lua
var forwardSource string

var forward = draining("forward", forwardSource)

// Forwarded is what [Store.Forward] has done and seen.
type Forwarded struct {
	Moved int
	// Next is how long, by Redis' clock, until the next task is due; negative if there is none.
	Next time.Duration
}

// Forward makes up to limit tasks of q startable whose time has come.
func (s *Store) Forward(ctx context.Context, q keys.Queue, limit int) (Forwarded, error) {
	names := []string{q.Scheduled(), q.Retry(), q.Due(), q.Pending(), q.Events()}
	reply, err := s.run(ctx, forward, q, names, q.TaskPrefix(), s.config.MaxEvents, min(limit, MaxBatch))
	if err != nil {
		return Forwarded{}, err
	}
	values, ok := reply.([]any)
	if !ok || len(values) != 3 {
		return Forwarded{}, fmt.Errorf("forward queue %q: unexpected reply %v", q, reply)
	}
	moved, _ := values[0].(int64)
	next, _ := values[1].(string)
	now, _ := values[2].(string)
	f := Forwarded{Moved: int(moved), Next: -1}
	if next != "" {
		due, err1 := strconv.ParseInt(next, 10, 64)
		clock, err2 := strconv.ParseInt(now, 10, 64)
		if err1 != nil || err2 != nil {
			return Forwarded{}, fmt.Errorf("forward queue %q: unexpected times %q, %q", q, next, now)
		}
		f.Next = max(time.Duration(due-clock)*time.Millisecond, 0)
	}
	return f, nil
}
