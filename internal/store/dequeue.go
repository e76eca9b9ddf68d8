package store

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redisfault"
	"github.com/seri-queue/seri/internal/wire"
)

//go:embed dequeue.lua
var dequeueSource string

var dequeue = draining("dequeue", dequeueSource)

// parkFor is how long a task whose type a worker cannot run stays out of its sight. Long enough that a queue of nothing
// but such tasks costs next to nothing, short enough that a worker that can run them is not kept waiting.
const parkFor = 2 * time.Second

// Wanted says what a worker asks for.
type Wanted struct {
	Tasks  int           // at most this many, at most [MaxBatch]
	Lease  time.Duration // how long they are its own
	Worker string        // its name in the events
	Types  []string      // what it can run; nil: everything
	Nonce  string        // names this call, see [NewNonce], so that its leases can be claimed if the reply is lost
}

// Batch is what a worker was given.
type Batch struct {
	Leases []Lease
	Paused bool // the queue is paused; there are no leases
	Popped int  // tasks that left the pending list; fewer than were asked for: it is empty
	Ghosts int  // of them, IDs without a task, which were dropped
	Parked int  // of them, tasks of another type, which were set aside
	// Broken counts leased tasks whose message does not decode. They are not in Leases; recovery archives them as poison.
	Broken int
}

// Dequeue leases the next tasks of q.
func (s *Store) Dequeue(ctx context.Context, q keys.Queue, want Wanted) (Batch, error) {
	if want.Tasks < 1 || want.Tasks > MaxBatch {
		return Batch{}, fmt.Errorf("dequeue queue %q: %d tasks asked for, must be between 1 and %d", q, want.Tasks, MaxBatch)
	}
	want.Nonce = cmp.Or(want.Nonce, NewNonce())
	names, args := s.dequeueCall(q, want)
	reply, err := s.run(ctx, dequeue, q, names, args...)
	if err != nil {
		return Batch{}, err
	}
	return readBatch(q, want.Nonce, reply)
}

// Await waits up to block, more than 0, until q has a task that is pending, and then leases the next
// ones: one round trip, for Redis runs the script that stands behind the blocked call the moment that this one ends. rdb
// has to allow pipelines to block for so long; it may be closed meanwhile, and what was leased then is known by want.Nonce.
func (s *Store) Await(ctx context.Context, rdb redis.UniversalClient, q keys.Queue, want Wanted, block time.Duration) (Batch, error) {
	if want.Tasks < 1 || want.Tasks > MaxBatch {
		return Batch{}, fmt.Errorf("await queue %q: %d tasks asked for, must be between 1 and %d", q, want.Tasks, MaxBatch)
	}
	seconds := strconv.FormatFloat(block.Seconds(), 'f', -1, 64) // go-redis' own method knows whole ones
	blocking := []any{"BLMOVE", q.Pending(), q.Pending(), "RIGHT", "RIGHT", seconds}
	if s.runner.plain.Load() { // the embedded store, which runs what stands behind a blocked call even if its caller is gone
		if err := rdb.Do(ctx, blocking...).Err(); err != nil && err != redis.Nil {
			return Batch{}, fmt.Errorf("await queue %q: %w", q, redisfault.Mark(err))
		}
		return s.Dequeue(ctx, q, want)
	}
	want.Nonce = cmp.Or(want.Nonce, NewNonce())
	names, args := s.dequeueCall(q, want)
	pipe := rdb.Pipeline()
	blocked := pipe.Do(ctx, blocking...)
	leased := pipe.EvalSha(ctx, s.runner.hash(dequeue), names, args...)
	_, _ = pipe.Exec(ctx)
	reply, err := leased.Result()
	switch {
	case redis.HasErrorPrefix(err, "NOSCRIPT"): // nothing has run
		return s.Dequeue(ctx, q, want)
	case err != nil:
		return Batch{}, fmt.Errorf("await queue %q: %w", q, redisfault.Mark(err))
	}
	batch, err := readBatch(q, want.Nonce, reply)
	if fault := blocked.Err(); err == nil && fault != nil && fault != redis.Nil && len(batch.Leases) == 0 {
		return batch, fmt.Errorf("await queue %q: %w", q, redisfault.Mark(fault)) // or the caller would ask without end
	}
	return batch, err
}

// dequeueCall returns the keys and arguments of dequeue.lua.
func (s *Store) dequeueCall(q keys.Queue, want Wanted) (names []string, args []any) {
	return []string{q.Pending(), q.Active(), q.Lease(), q.Paused(), q.Fence(), q.Events(), q.Scheduled(), q.Due(), q.Archived(), q.Wake()},
		[]any{q.TaskPrefix(), s.config.MaxEvents, want.Tasks, want.Lease.Seconds(), want.Nonce, quote(want.Worker), typeSet(want.Types), parkFor.Milliseconds()}
}

// readBatch reads what dequeue.lua returns.
func readBatch(q keys.Queue, nonce string, reply any) (Batch, error) {
	values, ok := reply.([]any)
	if ok && len(values) == 1 {
		return Batch{Paused: true}, nil
	}
	if !ok || len(values) < 3 || (len(values)-3)%4 != 0 {
		return Batch{}, fmt.Errorf("dequeue queue %q: unexpected reply of %d values", q, len(values))
	}
	counts := [3]int{}
	for i := range counts {
		n, _ := values[i].(int64)
		counts[i] = int(n)
	}
	b := Batch{Popped: counts[0], Ghosts: counts[1], Parked: counts[2], Leases: make([]Lease, 0, (len(values)-3)/4)}
	for v := values[3:]; len(v) > 0; v = v[4:] {
		if err := b.add(q, nonce, v[:4]); err != nil {
			return Batch{}, err
		}
	}
	return b, nil
}

// add reads one lease of a reply: ID, message, token, and owner or nothing.
func (b *Batch) add(q keys.Queue, nonce string, values []any) error {
	id, _ := values[0].(string)
	encoded, _ := values[1].(string)
	text, _ := values[2].(string)
	owner, _ := values[3].(string)
	token, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return fmt.Errorf("lease of task %s in queue %q: token: %w", id, q, err)
	}
	message, err := wire.DecodeMessage([]byte(encoded))
	if err != nil || message.ID != id {
		b.Broken++
		return nil
	}
	b.Leases = append(b.Leases, Lease{Queue: q, Message: message, Owner: owner, Token: token, Nonce: nonce})
	return nil
}

// typeSet returns the JSON object whose keys are the types; the empty string for nil.
func typeSet(types []string) string {
	if types == nil {
		return ""
	}
	set := make(map[string]int, len(types))
	for _, t := range types {
		set[t] = 1
	}
	encoded, err := json.Marshal(set)
	if err != nil {
		panic(fmt.Sprintf("store: encode types: %v", err)) // strings always encode
	}
	return string(encoded)
}

func quote(s string) string {
	encoded, err := json.Marshal(s)
	if err != nil {
		panic(fmt.Sprintf("store: encode string: %v", err)) // strings always encode
	}
	return string(encoded)
}
