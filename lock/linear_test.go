package lock_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/lock"
)

// operation is one call and what came of it.
type operation struct {
	release bool
	token   uint64 // taken or released; 0: the lock was held
}

// state is a lock as a single thread would see it.
type state struct {
	holder uint64 // 0: free
	last   uint64 // the highest token so far
}

// model says which answers a lock may give in which state. Leases do not end within the test.
var model = porcupine.Model{
	Init: func() any { return state{} },
	Step: func(was, _, output any) (bool, any) {
		s, o := was.(state), output.(operation)
		switch {
		case o.release:
			return s.holder == o.token, state{0, s.last}
		case o.token == 0:
			return s.holder != 0, s
		default:
			return s.holder == 0 && o.token > s.last, state{o.token, o.token}
		}
	},
	DescribeOperation: func(_, output any) string { return fmt.Sprintf("%+v", output) },
}

// Five clients take and release one lock as fast as they can, while every seventh reply is lost. There must be one order
// of all calls, within the times in which each was made, that a lock could have answered so.
func TestHistoriesAreLinearizable(t *testing.T) {
	t.Parallel()
	redistest.EachWithEmbedded(t, func(t *testing.T, rdb redis.UniversalClient) {
		for what, take := range map[string]func(context.Context, *lock.Locks, string) (*lock.Lock, error){
			"Try": func(ctx context.Context, s *lock.Locks, name string) (*lock.Lock, error) {
				return s.Try(ctx, name, time.Hour)
			},
			"Acquire": func(ctx context.Context, s *lock.Locks, name string) (*lock.Lock, error) {
				return s.Acquire(ctx, name, time.Hour)
			},
		} {
			name := redistest.Queue(t)
			history := record(t, rdb, name, take)

			verdict := porcupine.CheckOperationsTimeout(model, history, 20*time.Second)

			if verdict != porcupine.Ok {
				t.Errorf("%s: a history of %d calls is %s", what, len(history), verdict)
			}
			if broken := spoil(history); porcupine.CheckOperationsTimeout(model, broken, 20*time.Second) != porcupine.Illegal {
				t.Errorf("%s: a history with two holders passes as well", what)
			}
		}
	})
}

func record(t *testing.T, rdb redis.UniversalClient, name string, take func(context.Context, *lock.Locks, string) (*lock.Lock, error)) []porcupine.Operation {
	const clients, calls = 5, 20
	var mu sync.Mutex
	var history []porcupine.Operation
	begun := time.Now()
	note := func(client int, called time.Duration, o operation) {
		mu.Lock()
		defer mu.Unlock()
		history = append(history, porcupine.Operation{
			ClientId: client, Output: o, Call: int64(called), Return: int64(time.Since(begun)),
		})
	}
	var all sync.WaitGroup
	for client := range clients {
		d := &dropper{}
		lossy := another(t, rdb)
		lossy.AddHook(d)
		locks := lock.New(lossy)
		all.Go(func() {
			for i := range calls {
				if i%7 == 0 {
					d.next.Store(1)
				}
				called := time.Since(begun)
				l, err := take(t.Context(), locks, name)
				if errors.Is(err, lock.ErrHeld) {
					note(client, called, operation{})
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				note(client, called, operation{token: l.Token()})
				called = time.Since(begun)
				if err := l.Release(t.Context()); err != nil {
					t.Error(err)
				}
				note(client, called, operation{release: true, token: l.Token()})
			}
		})
	}
	all.Wait()
	return history
}

// spoil returns the history with one grant twice: a second holder while there was one.
func spoil(history []porcupine.Operation) []porcupine.Operation {
	granted := slices.IndexFunc(history, func(op porcupine.Operation) bool {
		o := op.Output.(operation)
		return o.token != 0 && !o.release
	})
	again := history[granted]
	again.ClientId = 99
	return append(slices.Clone(history), again)
}
