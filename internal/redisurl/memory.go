package redisurl

import (
	"context"
	"fmt"
	"strconv"
	"sync"

	"github.com/redis/go-redis/v9"
)

// Memory is how full a server is, and what it does when it is full.
type Memory struct {
	Addr string
	// Used is what counts against Limit, in bytes: all that is allocated but the buffers to replicas and of the AOF.
	Used int64
	// Limit is maxmemory in bytes; 0: none is set.
	Limit int64
	// Policy is maxmemory-policy; empty if the server does not tell.
	Policy string
}

// Percent returns how much of the limit is used; 0 if there is none.
func (m Memory) Percent() float64 {
	if m.Limit <= 0 {
		return 0
	}
	return 100 * float64(m.Used) / float64(m.Limit)
}

// Memories asks every master that rdb writes to. It asks by INFO, which managed services allow where they forbid CONFIG.
// A server that does not let this user ask is listed with nothing but its address.
func Memories(ctx context.Context, rdb redis.UniversalClient) ([]Memory, error) {
	cluster, ok := rdb.(*redis.ClusterClient)
	if !ok {
		m, err := memoryOf(ctx, rdb, address(rdb))
		return []Memory{m}, err
	}
	var mu sync.Mutex
	var all []Memory
	err := cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
		m, err := memoryOf(ctx, node, node.Options().Addr)
		mu.Lock()
		defer mu.Unlock()
		all = append(all, m)
		return err
	})
	return all, err
}

func memoryOf(ctx context.Context, rdb redis.Cmdable, addr string) (Memory, error) {
	info, err := rdb.InfoMap(ctx, "memory").Result()
	if err != nil {
		if isReply(err) {
			return Memory{Addr: addr}, nil
		}
		return Memory{Addr: addr}, fmt.Errorf("ask the Redis at %s about its memory: %w", addr, inner(err))
	}
	fields := info["Memory"]
	number := func(name string) int64 {
		n, _ := strconv.ParseInt(fields[name], 10, 64) // absent on servers that do not have it
		return n
	}
	return Memory{
		Addr: addr, Used: number("used_memory") - number("mem_not_counted_for_evict"), Limit: number("maxmemory"), Policy: fields["maxmemory_policy"],
	}, nil
}

// EvictionError tells of a server that deletes keys of its choice when its memory is full: tasks, leases, and tokens, of
// which nobody would ever know.
type EvictionError struct{ Addr, Policy string }

func (e *EvictionError) Error() string {
	return fmt.Sprintf("the Redis at %s deletes keys when its memory is full (maxmemory-policy is %s), and tasks would vanish: "+
		"set maxmemory-policy to noeviction (on ElastiCache in its parameter group)", e.Addr, e.Policy)
}

// Evicting returns an [*EvictionError] for a master that does not have the policy noeviction. known is false if some
// master does not tell.
func Evicting(ctx context.Context, rdb redis.UniversalClient) (known bool, err error) {
	all, err := Memories(ctx, rdb)
	if err != nil {
		return false, err
	}
	known = true
	for _, m := range all {
		switch m.Policy {
		case "noeviction":
		case "":
			known = false
		default:
			return true, &EvictionError{m.Addr, m.Policy}
		}
	}
	return known, nil
}
