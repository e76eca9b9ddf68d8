package lock_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/devstore"
	"github.com/seri-queue/seri/internal/redisurl"
	"github.com/seri-queue/seri/lock"
)

// One process at a time rebuilds an index; the others wait for their turn.
func ExampleLocks_Do() {
	rdb, closeRedis := openRedis()
	defer closeRedis()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // to wait and to work
	defer cancel()
	locks := lock.New(rdb)

	err := locks.Do(ctx, "rebuild-index", 15*time.Second, func(ctx context.Context, token uint64) error {
		for page := range 3 {
			if err := ctx.Err(); err != nil {
				return context.Cause(ctx) // lock.ErrLost, if that is why
			}
			fmt.Println("page", page) // write it with the token
		}
		return nil
	})
	switch {
	case errors.Is(err, lock.ErrTimeout):
		fmt.Println("another was at it all the time")
	case errors.Is(err, lock.ErrLost):
		fmt.Println("another may be at it by now")
	case err != nil:
		fmt.Println(err)
	}
	// Output:
	// page 0
	// page 1
	// page 2
}

// What need not be done twice is left to whoever does it already.
func ExampleLocks_Try() {
	rdb, closeRedis := openRedis()
	defer closeRedis()
	ctx := context.Background()
	locks := lock.New(rdb)

	held, err := locks.Try(ctx, "warm-cache", time.Minute)
	if err != nil {
		panic(err)
	}
	if _, err := locks.Try(ctx, "warm-cache", time.Minute); errors.Is(err, lock.ErrHeld) {
		fmt.Println("somebody else does it")
	}
	if err := held.Release(ctx); err != nil {
		panic(err)
	}
	// Output: somebody else does it
}

// A holder that has slept through its lease finds that it cannot write any more.
func ExampleGuard() {
	rdb, closeRedis := openRedis()
	defer closeRedis()
	ctx := context.Background()
	locks := lock.New(rdb)
	leader, err := lock.NewGuard(rdb, "leader") // guards what belongs to the lock of the same name
	if err != nil {
		panic(err)
	}

	zombie, err := locks.Try(ctx, "leader", 10*time.Millisecond)
	if err != nil {
		panic(err)
	}
	err = locks.Do(ctx, "leader", time.Minute, func(ctx context.Context, token uint64) error {
		return leader.Set(ctx, token, []byte("10.0.0.2")) // once the zombie's lease is over
	})
	if err != nil {
		panic(err)
	}

	err = leader.Set(ctx, zombie.Token(), []byte("10.0.0.1"))
	if _, ok := errors.AsType[*seri.FencedError](err); ok {
		fmt.Println("refused")
	}
	address, _, err := leader.Get(ctx)
	fmt.Println(string(address), err)
	// Output:
	// refused
	// 10.0.0.2 <nil>
}

// openRedis returns a store inside this process; a program connects to its Redis.
func openRedis() (rdb redis.UniversalClient, closeRedis func()) {
	store, err := devstore.Embedded()
	if err != nil {
		panic(err)
	}
	redisurl.RouteLog(slog.New(slog.NewTextHandler(os.Stderr, nil)))
	rdb, err = redisurl.Open(store.URL())
	if err != nil {
		panic(err)
	}
	return rdb, func() {
		_ = rdb.Close()
		_ = store.Close()
	}
}
