package chaos_test

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/keys"
)

// Faults of the data: F13, the hand that deletes the wrong key. What has no task any more is dropped; everything else is
// repaired.

// meddle changes something about one task of a queue and returns its ID; empty if there was no such task.
type meddle func(ctx context.Context, rdb redis.UniversalClient, q keys.Queue, random *rand.Rand) (id string, err error)

func strikeData(m meddle) func(context.Context, *rig, *rand.Rand, *window) (int, error) {
	return func(ctx context.Context, r *rig, random *rand.Rand, _ *window) (int, error) {
		rdb := r.primary().client()
		defer rdb.Close()
		id, err := m(ctx, rdb, pickOne(random, r.queues), random)
		if err != nil || id == "" {
			return 0, err
		}
		r.tamper(id)
		return 1, nil
	}
}

// anyOf returns a random element of a list; empty if there is none.
func anyOf(ctx context.Context, rdb redis.UniversalClient, list string, random *rand.Rand) (string, error) {
	n, err := rdb.LLen(ctx, list).Result()
	if err != nil || n == 0 {
		return "", err
	}
	id, err := rdb.LIndex(ctx, list, random.Int64N(n)).Result()
	if err == redis.Nil {
		return "", nil
	}
	return id, err
}

// loseTask deletes the hash of a task that runs or waits: nothing can bring it back, but its ID must not stay anywhere.
func loseTask(ctx context.Context, rdb redis.UniversalClient, q keys.Queue, random *rand.Rand) (string, error) {
	id, err := anyOf(ctx, rdb, pickOne(random, []string{q.Active(), q.Pending()}), random)
	if err != nil || id == "" {
		return "", err
	}
	return id, rdb.Del(ctx, q.Task(id)).Err()
}

// loseLease deletes the lease of a task that runs: its holder goes on, and if it dies, the task must still come back.
func loseLease(ctx context.Context, rdb redis.UniversalClient, q keys.Queue, random *rand.Rand) (string, error) {
	id, err := anyOf(ctx, rdb, q.Active(), random)
	if err != nil || id == "" {
		return "", err
	}
	return id, rdb.ZRem(ctx, q.Lease(), id).Err()
}

// strandTask makes a running task look like one whose worker vanished and whose lease was deleted.
func strandTask(ctx context.Context, rdb redis.UniversalClient, q keys.Queue, random *rand.Rand) (string, error) {
	id, err := anyOf(ctx, rdb, q.Active(), random)
	if err != nil || id == "" {
		return "", err
	}
	const script = `if redis.call('HGET', KEYS[1], 'state') == 'active' then
		redis.call('HSET', KEYS[1], 'nonce', 'nobody')
		return redis.call('ZREM', KEYS[2], ARGV[1])
	end
	return 0`
	if n, err := rdb.Eval(ctx, script, []string{q.Task(id), q.Lease()}, id).Int(); err != nil || n == 0 {
		return "", err
	}
	return id, nil
}

// addGhost puts an ID without a task where tasks are.
func addGhost(ctx context.Context, rdb redis.UniversalClient, q keys.Queue, random *rand.Rand) (string, error) {
	id := fmt.Sprintf("ghost-%d", random.Uint64())
	switch random.IntN(3) {
	case 0:
		return id, rdb.RPush(ctx, q.Pending(), id).Err()
	case 1:
		return id, rdb.RPush(ctx, q.Active(), id).Err()
	default:
		return id, rdb.ZAdd(ctx, q.Scheduled(), redis.Z{Score: 1, Member: id}).Err()
	}
}

// loseFence deletes the last token that was handed out: the clock must make up for it.
func loseFence(ctx context.Context, rdb redis.UniversalClient, q keys.Queue, _ *rand.Rand) (string, error) {
	return "fence", rdb.Del(ctx, q.Fence()).Err()
}
