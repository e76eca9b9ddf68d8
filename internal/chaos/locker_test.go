package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/client"
	"github.com/seri-queue/seri/lock"
)

// round is how long all lockers use the same names: histories of one name stay short enough to be checked.
const round = 2 * time.Second

// uniqueQueue is a queue that no worker serves, so that uniqueness locks stay until their time is over.
const uniqueQueue = "unique"

// lock plays a program that takes named locks and enqueues unique tasks, and notes every call and its answer. Leases are
// longer than the run, so that nobody loses one: what is left of a lock's history then has to be that of a mutex.
func (p part) lock(ctx context.Context, on *stage) error {
	l := &locker{notes: on.notes, locks: lock.New(on.rdb), queue: client.New(on.rdb, client.Config{})}
	var working sync.WaitGroup
	for n := range 3 {
		working.Go(func() {
			random := rand.New(rand.NewPCG(uint64(os.Getpid()), uint64(n)))
			for ctx.Err() == nil {
				at := strconv.FormatInt(trueNow()/round.Microseconds(), 10)
				switch {
				case on.resting.Load():
				case random.IntN(2) == 0:
					l.takeLock("lock-"+at, random)
				default:
					l.enqueueUnique("unique-" + at + "-" + strconv.Itoa(random.IntN(10)))
				}
				rest(ctx, between(random, 10*time.Millisecond, 40*time.Millisecond))
			}
		})
	}
	working.Wait()
	return nil
}

type locker struct {
	notes *ledger
	locks *lock.Locks
	queue *client.Client

	mu   sync.Mutex
	last uint64 // number of an operation of this process
}

// operation notes a call and what came of it. Numbers are unique in a process.
func (l *locker) operation(key, what string, run func(ctx context.Context) (answer string, token uint64)) {
	l.mu.Lock()
	l.last++
	number := l.last
	l.mu.Unlock()
	l.notes.note(noteCall, key, number, what)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	answer, token := run(ctx)
	l.notes.note(noteReturn, key, number, fmt.Sprintf("%s %d", answer, token))
}

func (l *locker) takeLock(name string, random *rand.Rand) {
	var held *lock.Lock
	l.operation(name, "try", func(ctx context.Context) (string, uint64) {
		var err error
		held, err = l.locks.Try(ctx, name, time.Hour)
		switch {
		case err == nil:
			return "ok", held.Token()
		case errors.Is(err, lock.ErrHeld):
			return "held", 0
		}
		return "unknown", 0
	})
	if held == nil {
		return
	}
	<-time.After(between(random, 0, 10*time.Millisecond))
	l.operation(name, "release "+strconv.FormatUint(held.Token(), 10), func(ctx context.Context) (string, uint64) {
		switch err := held.Release(ctx); {
		case err == nil:
			return "ok", held.Token()
		case errors.Is(err, lock.ErrLost):
			return "lost", held.Token()
		}
		return "unknown", held.Token()
	})
}

func (l *locker) enqueueUnique(key string) {
	l.operation(key, "enqueue", func(ctx context.Context) (string, uint64) {
		m, err := seri.NewMessage("unique", []byte(strconv.Quote(key)), seri.Queue(uniqueQueue), seri.UniqueFor(time.Hour))
		if err != nil {
			return "unknown", 0
		}
		switch err := l.queue.Enqueue(ctx, m); {
		case err == nil:
			return "ok", 0
		case errors.Is(err, seri.ErrDuplicate):
			return "duplicate", 0
		}
		return "unknown", 0
	})
}
