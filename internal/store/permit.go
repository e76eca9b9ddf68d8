package store

import (
	"context"
	"fmt"

	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/permit"
)

// Duty is what a role does to its queues: the scripts that it takes, and what it sends beside them.
type Duty struct {
	scripts   []*script
	schedules bool // they write schedules, too
	commands  func(q keys.Queue) [][]string
}

// The duties. A worker does not enqueue, a beat does not run, and an api does neither, but shows everything.
var (
	Working = Duty{[]*script{
		adopt, announce, archive, claim, complete, dequeue, enlist, extend, forward, logScript, progress, purge, recoverExpired, requeue, retry, sweep, turn,
	}, false, working}
	Producing = Duty{[]*script{enqueue, fire, hold, pause, plan, put, revoke}, true, producing} // also schedules at run time
	Ticking   = Duty{[]*script{fire, plan, revoke}, true, ticking}
)

// working is what a worker waits for, shows of itself, and looks for when it sweeps.
func working(q keys.Queue) [][]string {
	return [][]string{
		{"BLMOVE", q.Pending(), q.Pending(), "RIGHT", "RIGHT", "1"}, {"BLPOP", q.Wake(), "1"}, {"SUBSCRIBE", keys.Cancel},
		{"SADD", keys.Queues, string(q)}, {"EXPIRE", q.Events(), "1"},
		{"SET", keys.Server("0"), ""}, {"SET", keys.TypesOf("0"), ""}, {"DEL", keys.Running("0")}, {"HSET", keys.Running("0"), "0", ""},
		{"EXPIRE", keys.Running("0"), "1"}, {"ZADD", keys.Servers, "0", "0"}, {"ZADD", keys.Workers, "0", "0"}, {"ZADD", keys.Types, "0", "0"},
		{"ZREM", keys.Servers, "0"}, {"ZREM", keys.Workers, "0"}, {"ZREM", keys.Types, "0"}, {"DEL", keys.Server("0")}, {"DEL", keys.TypesOf("0")},
		{"ZRANGEBYSCORE", keys.Servers, "0", "+inf"}, {"GET", keys.Server("0")}, {"TIME"},
		{"HGETALL", keys.Partitions}, {"SCAN", "0"}, {"GET", q.Cursor()}, {"LRANGE", q.Pending(), "0", "1"},
	}
}

// producing is how an api finds and follows what there is. Its answers to requests are in keys of its own.
func producing(q keys.Queue) [][]string {
	return [][]string{
		{"SADD", keys.Queues, string(q)}, {"EXPIRE", q.Events(), "1"}, {"SMEMBERS", keys.Queues}, {"SISMEMBER", keys.Queues, string(q)},
		{"SMISMEMBER", keys.Queues, string(q)}, {"EXISTS", q.Paused()}, {"DEL", q.Paused()}, {"TIME"},
		{"XREAD", "BLOCK", "1", "STREAMS", q.Events(), "0"}, {"XRANGE", q.Events(), "-", "+"}, {"XREVRANGE", q.Events(), "+", "-"},
		{"XINFO", "STREAM", q.Events()}, {"EXISTS", q.Events()},
		{"LLEN", q.Pending()}, {"LINDEX", q.Pending(), "0"}, {"LRANGE", q.Pending(), "0", "1"}, {"ZCARD", q.Retry()}, {"ZRANGE", q.Retry(), "0", "1"},
		{"ZREVRANGE", q.Archived(), "0", "1"}, {"ZMSCORE", q.Retry(), "0"}, {"HGET", q.Task("0"), "msg"}, {"HMGET", q.Task("0"), "msg"},
		{"HGETALL", q.Repairs()}, {"GET", q.Log("0")}, {"LRANGE", q.History("0"), "0", "1"}, {"ZRANGE", q.OwnerPrefix() + "0", "0", "1"},
		{"ZRANGEBYSCORE", keys.Servers, "0", "+inf"}, {"GET", keys.Server("0")},
		{"ZRANGE", keys.Types, "0", "1"}, {"ZREMRANGEBYSCORE", keys.Types, "0", "1"}, {"MGET", keys.TypesOf("0")},
		{"GET", keys.Idempotency("0")}, {"SET", keys.Idempotency("0"), ""}, {"DEL", keys.Idempotency("0")},
	}
}

// ticking is how a beat finds its schedules.
func ticking(q keys.Queue) [][]string {
	return [][]string{
		{"SMEMBERS", keys.Queues}, {"SADD", keys.Queues, string(q)}, {"EXPIRE", q.Events(), "1"}, {"TIME"},
		{"ZRANGE", q.Schedules(), "0", "1"}, {"EXISTS", q.Schedule("0")}, {"HMGET", q.Schedule("0"), "def"}, {"HGET", q.Schedule("0"), "def"},
	}
}

// need returns what a duty takes for the queue q.
func (d Duty) need(q keys.Queue) permit.Need {
	need := permit.Need{Channel: keys.Cancel, Commands: d.commands(q), Keys: []string{
		q.Task("0"), q.Pending(), q.Active(), q.Lease(), q.Scheduled(), q.Retry(), q.Archived(), q.Completed(), q.Processed(), q.Failed(),
		q.UniquePrefix() + "0", q.Fence(), q.Due(), q.Wake(), q.Events(), q.Log("0"), q.OwnerPrefix() + "0",
	}}
	if d.schedules {
		need.Keys = append(need.Keys, q.Beat(), q.Schedules(), q.Schedule("0"), q.History("0"), q.Edited())
	}
	for _, sc := range d.scripts {
		need.Scripts = append(need.Scripts, sc.source)
	}
	return need
}

// Permit returns a [*permit.DeniedError] if the Redis user may not do all that a duty takes on the keys of q. Another error
// means that it is not known.
func (s *Store) Permit(ctx context.Context, q keys.Queue, duty Duty) error {
	need := duty.need(q)
	if s.carrier.Publishes() {
		need.Keys = append(need.Keys, q.Published())
	}
	if err := permit.Check(ctx, s.rdb, need); err != nil {
		return fmt.Errorf("queue %q: %w", q, err)
	}
	return s.announces(ctx, q)
}
