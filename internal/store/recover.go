package store

import (
	"context"
	_ "embed"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/seri-queue/seri/internal/keys"
)

//go:embed recover.lua
var recoverSource string

var recoverExpired = draining("recover", recoverSource)

// CrashPolicy says what becomes of a task whose worker vanishes.
type CrashPolicy struct {
	Max     int           // the crash at which the task is poison and archived
	Backoff time.Duration // after the second crash, four times as much after each further one, at most an hour; after the first: none
}

// Recovered is what [Store.Recover] has done.
type Recovered struct {
	Taken  int  // tasks taken back
	Poison int  // of them, archived as poison
	Others bool // there are leases that go on
}

// Recover takes up to limit tasks of q back whose lease has run out.
func (s *Store) Recover(ctx context.Context, q keys.Queue, limit int, policy CrashPolicy) (Recovered, error) {
	names := []string{q.Lease(), q.Active(), q.Pending(), q.Retry(), q.Due(), q.Archived(), q.Events(), q.Processed(), q.Failed(), q.Wake()}
	reply, err := s.run(ctx, recoverExpired, q, names,
		q.TaskPrefix(), s.config.MaxEvents, min(limit, MaxBatch), policy.Max, policy.Backoff.Milliseconds(), rand.Float64())
	if err != nil {
		return Recovered{}, err
	}
	values, ok := reply.([]any)
	if !ok || len(values) != 3 {
		return Recovered{}, fmt.Errorf("recover queue %q: unexpected reply %v", q, reply)
	}
	taken, _ := values[0].(int64)
	poison, _ := values[1].(int64)
	return Recovered{Taken: int(taken), Poison: int(poison), Others: values[2] != ""}, nil
}
