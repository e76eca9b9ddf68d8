package store

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/seri-queue/seri/internal/keys"
)

//go:embed purge.lua
var purgeSource string

var purge = draining("purge", purgeSource)

// Keep says how long things are kept that have no term of their own.
type Keep struct {
	Archived    time.Duration // age of an archived task; asynq: 90 days
	MaxArchived int           // number of archived tasks in a queue; asynq: 9,999
	Events      time.Duration // age of an event
}

// Purged is what [Store.Purge] has deleted.
type Purged struct {
	Succeeded int // tasks whose retention was over
	Archived  int // tasks too old or too many for the archive
}

// Purge deletes what has been kept long enough, up to limit tasks of each kind. Call again while it finds as many.
func (s *Store) Purge(ctx context.Context, q keys.Queue, limit int, keep Keep) (Purged, error) {
	names := []string{q.Completed(), q.Archived(), q.Events(), q.Trimmed()}
	reply, err := s.run(ctx, purge, q, names, q.TaskPrefix(), q.OwnerPrefix(), min(limit, MaxBatch),
		int64(keep.Archived/time.Second), keep.MaxArchived, keep.Events.Milliseconds(), s.config.MaxEvents)
	if err != nil {
		return Purged{}, err
	}
	values, ok := reply.([]any)
	if !ok || len(values) != 2 {
		return Purged{}, fmt.Errorf("purge queue %q: unexpected reply %v", q, reply)
	}
	succeeded, _ := values[0].(int64)
	archived, _ := values[1].(int64)
	return Purged{Succeeded: int(succeeded), Archived: int(archived)}, nil
}
