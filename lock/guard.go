package lock

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redisfault"
)

// maxToken is the highest number that Redis' Lua keeps exactly. No token is higher until the year 2255.
const maxToken = 1<<53 - 1

// Guard is a value in Redis that belongs to the newest holder of a lock: it refuses the write of a lower token.
//
// A guard with the name of a lock refuses a former holder from the moment at which the lock is granted anew, even if the
// new holder has written nothing yet: both are in the same slot, and one script compares. A guard whose name no lock has
// works for other tokens, such as those of a task ([seri.TokenFrom]), and refuses what is lower than the highest that has
// written. Do not mix tokens of several locks or queues in one guard: they cannot be compared.
//
// The value has no TTL, as it has to outlive every former holder.
type Guard struct {
	rdb  redis.UniversalClient
	name string
}

// NewGuard returns the guard of a name, which has 1 to 256 bytes and no braces.
func NewGuard(rdb redis.UniversalClient, name string) (*Guard, error) {
	if err := checkName(name); err != nil {
		return nil, fmt.Errorf("guard of %w", err)
	}
	return &Guard{rdb: rdb, name: name}, nil
}

// Set writes the value. It returns a [*seri.FencedError] with the highest token known if token is lower; nothing has
// changed then. The same token may write any number of times.
func (g *Guard) Set(ctx context.Context, token uint64, value []byte) error {
	if token == 0 || token > maxToken {
		return fmt.Errorf("guard %s: token is %d, must be one that was handed out: 1 to %d", g.name, token, uint64(maxToken))
	}
	a, err := ask(ctx, g.rdb, guard, []string{keys.LockGuard(g.name), keys.LockFence(g.name)}, strconv.FormatUint(token, 10), value)
	switch {
	case err != nil:
		return fmt.Errorf("guard %s: %w", g.name, err)
	case a.verdict == 0:
		return &seri.FencedError{Resource: "guard " + g.name, Held: token, Seen: a.number}
	}
	return nil
}

// Get returns the value and the token that wrote it; nil and 0 if there is none yet.
func (g *Guard) Get(ctx context.Context) (value []byte, token uint64, err error) {
	var record struct {
		Token uint64 `redis:"token"`
		Value []byte `redis:"value"`
	}
	err = g.rdb.HMGet(ctx, keys.LockGuard(g.name), "token", "value").Scan(&record)
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, 0, fmt.Errorf("guard %s: %w", g.name, redisfault.Mark(err))
	}
	return record.Value, record.Token, nil
}
