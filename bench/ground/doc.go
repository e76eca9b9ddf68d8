// Package ground is what the measured systems stand on: a Redis and, for River, a PostgreSQL, each started for the
// benchmark alone, on the loopback interface, and gone with it; and how the programs of the benchmarks begin and end.
package ground

import (
	"context"
	"time"
)

// Ground is a store that a system keeps its tasks in.
type Ground interface {
	// URL is where processes reach it.
	URL() string
	// Flush empties it.
	Flush(ctx context.Context) error
	// CPU is what its processes have used since they were started.
	CPU() time.Duration
	// Bytes is what its contents take.
	Bytes(ctx context.Context) (int64, error)
	// Unfinished counts tasks that wait or run.
	Unfinished(ctx context.Context) (int64, error)
	// Version is what it calls itself.
	Version() string
}
