package store

import (
	"context"
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redisfault"
)

//go:embed adopt.lua
var adoptSource string

var adopt = draining("adopt", repairSource+adoptSource)

// Adopted is what [Store.Adopt] has repaired.
type Adopted struct {
	Placed      int // tasks that stood in no container, and were put back where their state says
	Quarantined int // of those, tasks of an unknown time, which were archived instead
	Lost        int // hashes without a task, which were deleted
}

// How much of a server's keys one call of Adopt looks at. A SCAN of a thousand takes about half a millisecond.
const (
	scans    = 10
	scanKeys = 1000
)

// Adopt looks for tasks of q that stand in no container, in a bounded part of the keys of q's server, and puts them back.
// It begins at a cursor, 0 at first, and returns that of the next part, 0 after the last. length is the lease for a task
// that is active.
func (s *Store) Adopt(ctx context.Context, q keys.Queue, length time.Duration, cursor uint64) (Adopted, uint64, error) {
	var total Adopted
	var node redis.Cmdable = s.rdb
	if cluster, ok := s.rdb.(*redis.ClusterClient); ok {
		master, err := cluster.MasterForKey(ctx, q.Pending())
		if err != nil {
			return total, cursor, fmt.Errorf("look for stray tasks of queue %q: %w", q, redisfault.Mark(err))
		}
		node = master
	}
	for range scans {
		names, next, err := node.Scan(ctx, cursor, globQuote(q.TaskPrefix())+"*", scanKeys).Result()
		if err != nil {
			return total, cursor, fmt.Errorf("look for stray tasks of queue %q: %w", q, redisfault.Mark(err))
		}
		slices.Sort(names)
		for chunk := range slices.Chunk(slices.Compact(names), sweepPage) { // SCAN may name a key twice
			if err := s.adopt(ctx, q, length, chunk, &total); err != nil {
				return total, cursor, err
			}
		}
		if cursor = next; cursor == 0 {
			break
		}
	}
	return total, cursor, nil
}

func (s *Store) adopt(ctx context.Context, q keys.Queue, length time.Duration, names []string, total *Adopted) error {
	args := []any{q.TaskPrefix(), s.config.MaxEvents, length.Seconds()}
	for _, name := range names {
		args = append(args, strings.TrimPrefix(name, q.TaskPrefix()))
	}
	reply, err := s.run(ctx, adopt, q, repairKeys(q), args...)
	if err != nil {
		return err
	}
	values, ok := counts(reply, 3)
	if !ok {
		return fmt.Errorf("adopt queue %q: unexpected reply %v", q, reply)
	}
	total.Placed += values[0]
	total.Quarantined += values[1]
	total.Lost += values[2]
	return nil
}

// globQuote makes a pattern that matches a text literally.
func globQuote(text string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`, `^`, `\^`).Replace(text)
}
