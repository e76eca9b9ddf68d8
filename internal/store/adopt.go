package store

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strconv"
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
	scans    = 100
	scanKeys = 1000
)

// longestList is how long a list may be to be looked through; repair.lua knows it, too.
const longestList = 10_000

// Adopt looks for tasks of q that stand in no container, in a bounded part of the keys of q's server, and puts them back.
// It goes on where the last call has ended, whoever made it, and reports whether it has come to the end: the next one
// begins again. length is the lease for a task that is active.
func (s *Store) Adopt(ctx context.Context, q keys.Queue, length time.Duration) (adopted Adopted, end bool, err error) {
	node, cursor, err := s.search(ctx, q)
	if err != nil {
		return adopted, false, err
	}
	a := adoption{store: s, queue: q, length: length}
	for range scans {
		names, next, err := node.Scan(ctx, cursor, globQuote(q.TaskPrefix())+"*", scanKeys).Result()
		if err != nil {
			return a.total, false, fmt.Errorf("look for stray tasks of queue %q: %w", q, redisfault.Mark(err))
		}
		slices.Sort(names)
		for chunk := range slices.Chunk(slices.Compact(names), sweepPage) { // SCAN may name a key twice
			if err := a.look(ctx, chunk); err != nil {
				return a.total, false, err
			}
		}
		if cursor = next; cursor == 0 {
			break
		}
	}
	if err := a.settle(ctx); err != nil {
		return a.total, false, err
	}
	err = a.call(ctx, strconv.FormatUint(cursor, 10), false, nil)
	return a.total, cursor == 0, err
}

// search returns the node that holds q, and where the search of its keys goes on. A cursor that another node has made, as
// after a failover, makes the rest of one search incomplete; the next one begins anew.
func (s *Store) search(ctx context.Context, q keys.Queue) (node redis.Cmdable, cursor uint64, err error) {
	node = s.rdb
	if cluster, ok := s.rdb.(*redis.ClusterClient); ok {
		if node, err = cluster.MasterForKey(ctx, q.Pending()); err != nil {
			return nil, 0, fmt.Errorf("look for stray tasks of queue %q: %w", q, redisfault.Mark(err))
		}
	}
	text, err := s.rdb.Get(ctx, q.Cursor()).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, 0, fmt.Errorf("look for stray tasks of queue %q: %w", q, redisfault.Mark(err))
	}
	cursor, _ = strconv.ParseUint(text, 10, 64) // absent, or foreign: from the beginning
	return node, cursor, nil
}

// adoption is one call of [Store.Adopt].
type adoption struct {
	store  *Store
	queue  keys.Queue
	length time.Duration

	total           Adopted
	pending, active []string // IDs of tasks that should stand in these lists, to be settled
}

// look puts back what should stand in a set and does not, and leaves what should stand in a list for settle: to look a
// list through costs the same for one ID as for all.
func (a *adoption) look(ctx context.Context, names []string) error {
	ids := make([]string, len(names))
	for i, name := range names {
		ids[i] = strings.TrimPrefix(name, a.queue.TaskPrefix())
	}
	return a.call(ctx, "", false, ids)
}

// settle puts back what should stand in a list and does not. The lists are read once, after the records: what is not
// there now has moved on meanwhile, or is a stray. Which of them, the script decides; few are left for it.
func (a *adoption) settle(ctx context.Context) error {
	pending, err := a.missing(ctx, a.queue.Pending(), a.pending)
	if err != nil {
		return err
	}
	active, err := a.missing(ctx, a.queue.Active(), a.active)
	if err != nil {
		return err
	}
	absent := slices.Concat(pending, active)
	slices.Sort(absent)
	for chunk := range slices.Chunk(slices.Compact(absent), MaxBatch) { // the script would put an ID back twice
		if err := a.call(ctx, "", true, chunk); err != nil {
			return err
		}
	}
	return nil
}

// missing returns those IDs that a list does not hold.
func (a *adoption) missing(ctx context.Context, list string, ids []string) ([]string, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	members, err := a.store.rdb.LRange(ctx, list, 0, longestList-1).Result()
	if err != nil {
		return nil, fmt.Errorf("look for stray tasks of queue %q: %w", a.queue, redisfault.Mark(err))
	}
	seen := make(map[string]bool, len(members))
	for _, id := range members {
		seen[id] = true
	}
	return slices.DeleteFunc(ids, func(id string) bool { return seen[id] }), nil
}

// call runs the script once.
func (a *adoption) call(ctx context.Context, cursor string, thorough bool, ids []string) error {
	args := []any{a.queue.TaskPrefix(), a.store.config.MaxEvents, a.length.Seconds(), cursor, thorough}
	for _, id := range ids {
		args = append(args, id)
	}
	reply, err := a.store.run(ctx, adopt, a.queue, append(repairKeys(a.queue), a.queue.Cursor()), args...)
	if err != nil {
		return err
	}
	values, _ := reply.([]any)
	if len(values) != 5 {
		return fmt.Errorf("adopt queue %q: unexpected reply %v", a.queue, reply)
	}
	found, _ := counts(values[:3], 3)
	a.total.Placed += found[0]
	a.total.Quarantined += found[1]
	a.total.Lost += found[2]
	a.pending = appendTexts(a.pending, values[3])
	a.active = appendTexts(a.active, values[4])
	return nil
}

// appendTexts appends a reply of texts.
func appendTexts(texts []string, reply any) []string {
	values, _ := reply.([]any)
	for _, v := range values {
		text, _ := v.(string)
		texts = append(texts, text)
	}
	return texts
}

// globQuote makes a pattern that matches a text literally.
func globQuote(text string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`, `^`, `\^`).Replace(text)
}
