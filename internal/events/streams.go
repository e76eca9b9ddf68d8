package events

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redisurl"
)

// entry is an entry of a queue's stream: the events of one script call.
type entry struct {
	id   EntryID
	text string // JSON array of events

	events []seri.Event // in place of the text, where they have been decoded
}

// streams is what the hub reads from: one stream of entries for each queue.
type streams interface {
	// Queues returns the names of all queues.
	Queues(ctx context.Context) ([]string, error)
	// Follow returns up to limit entries after an ID, oldest first. It waits up to wait for one to come.
	Follow(ctx context.Context, queue string, after EntryID, limit int, wait time.Duration) ([]entry, error)
	// Range returns up to limit entries from an ID on, that one included, oldest first. It does not wait.
	Range(ctx context.Context, queue string, from EntryID, limit int) ([]entry, error)
	// End returns the last ID given to an entry after one that was read earlier, be it there to be read already or not; after, if
	// there is none.
	End(ctx context.Context, queue string, after EntryID) (EntryID, error)
	// Look tells how the stream stands to an entry that was read from it earlier.
	Look(ctx context.Context, queue string, id EntryID) (view, error)
	// Close lets go of what Follow holds. The other methods work on.
	Close() error
}

// view is how a stream stands to one of its entries at one moment. If has is true, the rest is not filled in.
type view struct {
	has    bool    // the entry is there
	exists bool    // the stream is there
	last   EntryID // the last ID ever given
	first  EntryID // of the first entry; zero: the stream is empty
	length int64   // entries there
	added  int64   // entries ever added; -1: not known
}

// redisStreams is the streams in Redis.
type redisStreams struct {
	rdb     redis.UniversalClient
	blocked redis.UniversalClient // for blocked reads only
}

// blockedReads bounds the connections of blocked reads, to one node where there are several: one for each queue.
// They are opened as they are needed.
const blockedReads = 10_000

// openStreams returns the streams that rdb leads to. Blocked reads get connections of their own: each holds one all the
// time, and in the pool of rdb as many queues as it has connections (20 on two cores) would leave none for anybody else.
func openStreams(rdb redis.UniversalClient) (redisStreams, error) {
	blocked, err := redisurl.Clone(rdb, blockedReads, 0)
	return redisStreams{rdb, blocked}, err
}

func (r redisStreams) Close() error { return r.blocked.Close() }

func (r redisStreams) Queues(ctx context.Context) ([]string, error) {
	queues, err := r.rdb.SMembers(ctx, keys.Queues).Result()
	if err != nil {
		return nil, fmt.Errorf("read the names of the queues: %w", err)
	}
	slices.Sort(queues)
	return queues, nil
}

func (r redisStreams) Follow(ctx context.Context, queue string, after EntryID, limit int, wait time.Duration) ([]entry, error) {
	streams, err := r.blocked.XRead(ctx, &redis.XReadArgs{
		Streams: []string{keys.Queue(queue).Events(), after.String()},
		Count:   int64(limit),
		Block:   max(wait, time.Millisecond), // 0 would mean for ever
	}).Result()
	switch {
	case errors.Is(err, redis.Nil):
		return nil, nil // nothing came
	case err != nil:
		return nil, fmt.Errorf("follow the events of queue %q: %w", queue, err)
	case len(streams) != 1:
		return nil, fmt.Errorf("follow the events of queue %q: Redis answered with %d streams", queue, len(streams))
	}
	return decodeEntries(queue, streams[0].Messages)
}

func (r redisStreams) Range(ctx context.Context, queue string, from EntryID, limit int) ([]entry, error) {
	messages, err := r.rdb.XRangeN(ctx, keys.Queue(queue).Events(), from.String(), "+", int64(limit)).Result()
	if err != nil {
		return nil, fmt.Errorf("read the events of queue %q: %w", queue, err)
	}
	return decodeEntries(queue, messages)
}

func (r redisStreams) End(ctx context.Context, queue string, after EntryID) (EntryID, error) {
	newest, err := r.rdb.XRevRangeN(ctx, keys.Queue(queue).Events(), "+", "("+after.String(), 1).Result()
	if err != nil {
		return EntryID{}, fmt.Errorf("look at the end of the events of queue %q: %w", queue, err)
	}
	if len(newest) == 0 { // which is usual, and why it is not the last entry that is asked for: that may be of 1,000 events
		return after, nil
	}
	return ParseEntryID(newest[0].ID)
}

func decodeEntries(queue string, messages []redis.XMessage) ([]entry, error) {
	entries := make([]entry, len(messages))
	for i, m := range messages {
		id, err := ParseEntryID(m.ID)
		if err != nil {
			return nil, fmt.Errorf("read the events of queue %q: %w", queue, err)
		}
		text, _ := m.Values["e"].(string) // missing: the hub reports it as it does other malformed entries
		entries[i] = entry{id: id, text: text}
	}
	return entries, nil
}

//go:embed look.lua
var lookSource string

var look = redis.NewScript(lookSource)

func (r redisStreams) Look(ctx context.Context, queue string, id EntryID) (view, error) {
	reply, err := look.Run(ctx, r.rdb, []string{keys.Queue(queue).Events()}, id.String()).Slice()
	if err != nil {
		return view{}, fmt.Errorf("look at the events of queue %q: %w", queue, err)
	}
	v, err := decodeView(reply)
	if err != nil {
		return view{}, fmt.Errorf("look at the events of queue %q: %w", queue, err)
	}
	return v, nil
}

func decodeView(reply []any) (view, error) {
	if len(reply) == 1 {
		return view{has: reply[0] == int64(1), exists: reply[0] == int64(1), added: -1}, nil
	}
	if len(reply) != 5 {
		return view{}, fmt.Errorf("the script returned %d values", len(reply))
	}
	last, ok1 := reply[1].(string)
	first, ok2 := reply[2].(string)
	length, ok3 := reply[3].(int64)
	added, ok4 := reply[4].(int64)
	if !ok1 || !ok2 || !ok3 || !ok4 {
		return view{}, fmt.Errorf("the script returned %v", reply)
	}
	v := view{exists: true, length: length, added: added}
	var err error
	if v.last, err = ParseEntryID(last); err != nil {
		return view{}, err
	}
	if first != "" {
		v.first, err = ParseEntryID(first)
	}
	return v, err
}
