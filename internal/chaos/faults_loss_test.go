package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

// Faults that lose writes which Redis has acknowledged: F6 (the power is cut) and F7 (a failover). What is lost must be a
// suffix. When it begins is read from the events that are left, before any client is let in again.

// cutPower is F6: kill -9, and then what had not been synced is not there.
func cutPower(ctx context.Context, r *rig, random *rand.Rand, w *window) (int, error) {
	n := r.primary()
	r.part()
	w.cut = time.Now().UnixMicro()
	if _, err := n.cutPower(1<<10 + random.Int64N(63<<10)); err != nil {
		return 0, err
	}
	if err := n.start(); err != nil {
		return 0, err
	}
	rdb := n.client()
	defer rdb.Close()
	var err error
	if w.lost, err = lastWrite(ctx, rdb, r.streams()); err != nil {
		return 0, err
	}
	r.rejoin()
	return 1, rewrite(rdb)
}

// rewrite has Redis write a new append-only file, as docs/operations.md asks of whoever starts it after a power cut. If the
// file was cut within a command of a transaction, Redis 7.0 loads what is before it rightly, but leaves the beginning of the
// transaction in the file: the next start would take that for the beginning of whatever was written after it.
func rewrite(rdb *redis.Client) error {
	if err := rdb.BgRewriteAOF(context.Background()).Err(); err != nil {
		return err
	}
	return within(10*time.Second, func(ctx context.Context) error {
		info, err := rdb.Info(ctx, "persistence").Result()
		if err == nil && !(strings.Contains(info, "aof_rewrite_in_progress:0") && strings.Contains(info, "aof_rewrite_scheduled:0") && strings.Contains(info, "aof_last_bgrewrite_status:ok")) {
			err = errors.New("the append-only file is not rewritten")
		}
		return err
	})
}

// failOver is F7 with one replica: the replication hangs for a while, the primary dies, the replica is promoted. Every
// other time the old primary lives on for a while and answers some clients.
func failOver(ctx context.Context, r *rig, random *rand.Rand, w *window) (int, error) {
	old, next := r.primary(), r.replica()
	r.link.set(weather{swallow: true}, weather{swallow: true})
	rest(ctx, between(random, 20*time.Millisecond, 400*time.Millisecond))

	undead := random.IntN(2) == 0
	w.cut = time.Now().UnixMicro()
	if !undead {
		r.part()
		old.kill()
	}
	rdb := next.client()
	defer rdb.Close()
	var err error
	if w.lost, err = lastWrite(ctx, rdb, r.streams()); err != nil {
		return 0, err
	}
	if err := rdb.ReplicaOf(ctx, "no", "one").Err(); err != nil {
		return 0, err
	}
	r.promote(next, old)
	var left *member
	if undead {
		left = pickOne(random, r.fleet.role("worker"))
	}
	for _, m := range r.fleet.members {
		if m.proxy != nil && m != left {
			m.proxy.Aim(next.addr)
			m.proxy.heal()
		}
	}
	if undead { // one worker goes on with a primary that is none any more
		rest(ctx, between(random, 100*time.Millisecond, 800*time.Millisecond))
		left.proxy.Aim(next.addr)
		old.kill()
	}
	r.link.Aim(next.addr)
	r.link.heal()
	return 1, r.follow(old)
}

// follow starts a node as the replica of the primary, and returns when it is up to date.
func (r *rig) follow(n *node) error {
	_, port, _ := strings.Cut(r.link.Addr(), ":")
	if err := n.start("--replicaof", "127.0.0.1 "+port); err != nil {
		return err
	}
	rdb := n.client()
	defer rdb.Close()
	return within(20*time.Second, func(ctx context.Context) error {
		info, err := rdb.Info(ctx, "replication").Result()
		if err == nil && !strings.Contains(info, "master_link_status:up") {
			err = fmt.Errorf("the replica does not follow: %s", info)
		}
		return err
	})
}

// failOverBySentinel is F7 with Sentinel: the primary is killed, or frozen until it has a successor, to whom it wakes up
// as one primary too many.
func failOverBySentinel(ctx context.Context, r *rig, random *rand.Rand, w *window) (int, error) {
	addr, err := r.sentinels.master(ctx)
	if err != nil {
		return 0, err
	}
	old := r.nodeAt(addr)
	if old == nil {
		return 0, fmt.Errorf("Sentinel names %s, which is none of ours", addr)
	}
	w.cut = time.Now().UnixMicro()
	w.lost = time.Now().Add(-2 * time.Second).UnixMilli() // who is promoted is not in our hands, so neither is a look at it
	frozen := random.IntN(2) == 0
	if frozen {
		if err := old.signal(syscall.SIGSTOP); err != nil {
			return 0, err
		}
	} else {
		old.kill()
	}
	err = within(20*time.Second, func(ctx context.Context) error {
		now, err := r.sentinels.master(ctx)
		if err == nil && now == addr {
			err = fmt.Errorf("Sentinel still names %s", addr)
		}
		return err
	})
	w.promoted = time.Now().UnixMicro()
	if frozen {
		_ = old.signal(syscall.SIGCONT)
	} else if startErr := old.start(); err == nil {
		err = startErr
	}
	if err != nil {
		return 0, err
	}
	return 1, within(20*time.Second, func(ctx context.Context) error { return r.everyNodeInStep(ctx) })
}

// everyNodeInStep returns nil if there is one primary and all others follow it.
func (r *rig) everyNodeInStep(ctx context.Context) error {
	primaries := 0
	for _, n := range r.nodes {
		rdb := n.client()
		info, err := rdb.Info(ctx, "replication").Result()
		rdb.Close()
		switch {
		case err != nil:
			return err
		case strings.Contains(info, "role:master"):
			primaries++
		case !strings.Contains(info, "master_link_status:up"):
			return fmt.Errorf("%s does not follow: %s", n.addr, info)
		}
	}
	if primaries != 1 {
		return fmt.Errorf("%d primaries", primaries)
	}
	return nil
}

// failOverInCluster is F7 with a Cluster: the primary of a queue's slot is killed, and its replica takes over.
func failOverInCluster(ctx context.Context, r *rig, random *rand.Rand, w *window) (int, error) {
	rdb := r.cluster.client()
	defer rdb.Close()
	q := pickOne(random, r.queues)
	addr, err := r.cluster.ownerOf(ctx, rdb, q.Pending())
	if err != nil {
		return 0, err
	}
	old := r.nodeAt(addr)
	if old == nil {
		return 0, fmt.Errorf("the cluster names %s, which is none of ours", addr)
	}
	w.cut = time.Now().UnixMicro()
	w.lost = time.Now().Add(-2 * time.Second).UnixMilli()
	old.kill()
	err = within(30*time.Second, func(ctx context.Context) error {
		now, err := r.cluster.ownerOf(ctx, rdb, q.Pending())
		if err == nil && now == addr {
			err = fmt.Errorf("%s still owns the slot of %s", addr, q)
		}
		return err
	})
	w.promoted = time.Now().UnixMicro()
	if startErr := old.start(); err == nil {
		err = startErr
	}
	if err != nil {
		return 0, err
	}
	return 1, within(30*time.Second, func(ctx context.Context) error { return r.cluster.whole(ctx, rdb, len(r.nodes)/2) })
}

// clusterOf is a Redis Cluster of ours.
type clusterOf struct{ addrs []string }

func (c *clusterOf) client() *redis.ClusterClient {
	return redis.NewClusterClient(&redis.ClusterOptions{Addrs: c.addrs, MaxRetries: -1, MaxRedirects: 3})
}

// ownerOf returns the address of the node that serves a key, as the first node that answers says.
func (c *clusterOf) ownerOf(ctx context.Context, rdb *redis.ClusterClient, key string) (string, error) {
	slot, err := rdb.ClusterKeySlot(ctx, key).Result()
	if err != nil {
		return "", err
	}
	var last error
	for _, addr := range c.addrs {
		one := redis.NewClient(&redis.Options{Addr: addr, MaxRetries: -1, DialTimeout: time.Second, ReadTimeout: time.Second})
		shards, err := one.ClusterShards(ctx).Result()
		one.Close()
		if err != nil {
			last = err
			continue
		}
		for _, s := range shards {
			if !slices.ContainsFunc(s.Slots, func(r redis.SlotRange) bool { return r.Start <= slot && slot <= r.End }) {
				continue
			}
			for _, n := range s.Nodes {
				if n.Role == "master" && n.Health == "online" {
					return fmt.Sprintf("%s:%d", n.IP, n.Port), nil
				}
			}
		}
	}
	return "", fmt.Errorf("nobody serves slot %d: %w", slot, last)
}

// whole returns nil if every primary has a replica that follows it.
func (c *clusterOf) whole(ctx context.Context, rdb *redis.ClusterClient, primaries int) error {
	for _, addr := range c.addrs {
		one := redis.NewClient(&redis.Options{Addr: addr, MaxRetries: -1, DialTimeout: time.Second, ReadTimeout: time.Second})
		info, err := one.ClusterInfo(ctx).Result()
		shards, errShards := one.ClusterShards(ctx).Result()
		replication, errRole := one.Info(ctx, "replication").Result()
		one.Close()
		switch {
		case err != nil, errShards != nil, errRole != nil:
			return fmt.Errorf("ask %s: %w, %w, %w", addr, err, errShards, errRole)
		case !strings.Contains(info, "cluster_state:ok"):
			return fmt.Errorf("%s: %s", addr, info)
		case strings.Contains(replication, "role:slave") && !strings.Contains(replication, "master_link_status:up"):
			return fmt.Errorf("%s does not follow its primary", addr)
		}
		serving := 0
		for _, s := range shards {
			online := 0
			for _, n := range s.Nodes {
				if n.Health == "online" {
					online++
				}
			}
			if len(s.Slots) > 0 {
				serving++
			}
			if len(s.Slots) > 0 && online < 2 {
				return fmt.Errorf("a shard has no replica: %+v", s)
			}
		}
		if serving != primaries {
			return fmt.Errorf("%d shards serve slots, want %d", serving, primaries)
		}
	}
	return nil
}
