package audit

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/keys"
)

// Fault is a key that is not as the registry says.
type Fault struct {
	Key   string
	Wrong string // what, in words
}

// Summary is what an audit has seen. SCAN may return a key twice while Redis resizes its table, so that on a busy
// server the numbers are good to a few.
type Summary struct {
	Keys    int // in the two name spaces
	Faults  int
	ByEntry []int // keys by the index of their entry in [keys.Registry]
}

// batch is how many keys are looked at in one step.
const batch = 500

// pattern is one glob for both name spaces, so that the keys of the server are walked over only once; the few others
// that it lets through are dropped here.
const pattern = "[as][se][yr][ni][q:]*"

// Run looks at every key of the name spaces asynq: and seri: on every master that rdb knows, and shows each fault to
// found as it comes, one at a time. An error of found ends the audit.
func Run(ctx context.Context, rdb redis.UniversalClient, found func(Fault) error) (Summary, error) {
	a := &audit{rdb: rdb, found: found, summary: Summary{ByEntry: make([]int, len(keys.Registry))}}
	for i, e := range keys.Registry {
		a.index(e, i)
	}
	var err error
	if cluster, ok := rdb.(*redis.ClusterClient); ok {
		err = cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error { return a.walk(ctx, node) })
	} else {
		err = a.walk(ctx, rdb)
	}
	return a.summary, err
}

type audit struct {
	rdb   redis.UniversalClient
	found func(Fault) error
	of    map[string]int // index of an entry by its pattern

	mu      sync.Mutex // masters are walked over at the same time
	summary Summary
}

func (a *audit) index(e keys.Entry, i int) {
	if a.of == nil {
		a.of = make(map[string]int, len(keys.Registry))
	}
	a.of[e.Pattern] = i
}

// walk looks at the keys of one server.
func (a *audit) walk(ctx context.Context, node redis.Cmdable) error {
	var cursor uint64
	for {
		names, next, err := node.Scan(ctx, cursor, pattern, batch).Result()
		if err != nil {
			return fmt.Errorf("walk over the keys: %w", err)
		}
		var ours []string
		for _, name := range names {
			if strings.HasPrefix(name, "asynq:") || strings.HasPrefix(name, "seri:") {
				ours = append(ours, name)
			}
		}
		if err := a.look(ctx, ours); err != nil {
			return err
		}
		if cursor = next; cursor == 0 {
			return nil
		}
	}
}

// look judges a batch of keys. It asks for them by the client of the whole, which finds a key that has moved to another
// node of a cluster since.
func (a *audit) look(ctx context.Context, names []string) error {
	if len(names) == 0 {
		return nil
	}
	types, lives := make([]*redis.StatusCmd, len(names)), make([]*redis.DurationCmd, len(names))
	_, err := a.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i, name := range names {
			types[i], lives[i] = pipe.Type(ctx, name), pipe.PTTL(ctx, name)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("look at %d keys: %w", len(names), err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, name := range names {
		life := lives[i].Val() // without a unit: -1 for ever, -2 gone
		if types[i].Val() == "none" || life == -2 {
			continue
		}
		a.summary.Keys++
		wrong := a.judge(name, types[i].Val(), life == -1)
		if wrong == "" {
			continue
		}
		a.summary.Faults++
		if err := a.found(Fault{name, wrong}); err != nil {
			return err
		}
	}
	return nil
}

// judge counts a key and says what is wrong with it; empty: nothing.
func (a *audit) judge(name, typ string, forever bool) string {
	entry, ok := keys.Find(name)
	if !ok {
		return "is in no entry of the registry"
	}
	a.summary.ByEntry[a.of[entry.Pattern]]++
	var wrong []string
	if typ != entry.Type {
		wrong = append(wrong, fmt.Sprintf("is a %s, should be a %s", typ, entry.Type))
	}
	if entry.TTL && forever {
		wrong = append(wrong, fmt.Sprintf("never expires, should (%s)", entry.Life))
	}
	if len(wrong) == 0 {
		return ""
	}
	return strings.Join(wrong, "; ") + "; entry " + entry.Pattern
}
