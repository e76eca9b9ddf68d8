package store

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redisfault"
)

// MaxHistory is how many of its newest ticks a schedule's history tells about; while more come in, up to ten more.
const MaxHistory = 50

// Past is what became of a tick, or of several that were missed.
type Past struct {
	Tick  time.Time     // of several, the first
	Late  time.Duration // of a task that was enqueued: after the time that it was to start
	Asked bool          // somebody has asked for it

	Missed int         // ticks without a task; 0: the tick's task was enqueued
	Last   time.Time   // the last one that was missed
	Reason seri.Reason // why: [seri.ReasonOutage], [seri.ReasonOverlap]
}

// History returns what became of a schedule's newest ticks, the newest first, at most n.
func (s *Store) History(ctx context.Context, q keys.Queue, id string, n int) ([]Past, error) {
	entries, err := s.rdb.LRange(ctx, q.History(id), 0, int64(n)-1).Result()
	if err != nil {
		return nil, fmt.Errorf("read the history of schedule %s in queue %q: %w", id, q, redisfault.Mark(err))
	}
	past := make([]Past, 0, len(entries))
	for _, entry := range entries {
		if p, ok := pastOf(entry); ok {
			past = append(past, p)
		}
	}
	return past, nil
}

func pastOf(entry string) (p Past, ok bool) {
	kind, rest, _ := strings.Cut(entry, " ")
	var numbers []int64
	for text := range strings.FieldsSeq(rest) {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return Past{}, false
		}
		numbers = append(numbers, n)
	}
	switch {
	case (kind == "fired" || kind == "asked") && len(numbers) == 2:
		return Past{Tick: time.Unix(numbers[0], 0), Late: time.Duration(numbers[1]) * time.Millisecond, Asked: kind == "asked"}, true
	case len(numbers) == 3:
		return Past{Tick: time.Unix(numbers[0], 0), Last: time.Unix(numbers[1], 0), Missed: int(numbers[2]), Reason: seri.Reason(kind)}, true
	}
	return Past{}, false
}

// States returns the states of tasks of q, empty for those that are not there.
func (s *Store) States(ctx context.Context, q keys.Queue, ids []string) ([]seri.State, error) {
	states := make([]seri.State, 0, len(ids))
	for chunk := range slices.Chunk(ids, MaxBatch) {
		pipe := s.rdb.Pipeline()
		replies := make([]*redis.SliceCmd, len(chunk))
		for i, id := range chunk {
			replies[i] = pipe.HMGet(ctx, q.Task(id), "state", "reason")
		}
		if _, err := pipe.Exec(ctx); err != nil {
			return nil, fmt.Errorf("read states of tasks of queue %q: %w", q, redisfault.Mark(err))
		}
		for _, reply := range replies {
			text, _ := reply.Val()[0].(string)
			reason, _ := reply.Val()[1].(string)
			state, _ := stateOf(text, seri.Reason(reason))
			states = append(states, state)
		}
	}
	return states, nil
}
