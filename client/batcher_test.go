package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seri-queue/seri"
)

// calls notes which tasks went in which call, and lets each take a second.
type calls struct {
	mu    sync.Mutex
	calls [][]string
	err   error
	each  func(id string) error
}

func (c *calls) flush(_ context.Context, tasks []seri.Message) ([]error, error) {
	var ids []string
	errs := make([]error, len(tasks))
	for i, m := range tasks {
		ids = append(ids, m.ID)
		if c.each != nil {
			errs[i] = c.each(m.ID)
		}
	}
	c.mu.Lock()
	c.calls = append(c.calls, ids)
	c.mu.Unlock()
	time.Sleep(time.Second)
	return errs, c.err
}

// sent lists the tasks in the order in which they were sent.
func (c *calls) sent() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Concat(c.calls...)
}

func (c *calls) sizes() []int {
	var sizes []int
	for _, ids := range c.calls {
		sizes = append(sizes, len(ids))
	}
	return sizes
}

// idle reports whether the batcher counts on nobody.
func (b *batcher) idle() bool { return b.underWay == 0 && !b.called && len(b.waiting) == 0 }

func message(i int) seri.Message { return seri.Message{ID: fmt.Sprint(i)} }

func TestCallsShareARoundTrip(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		max, tasks int
		sizes      []int
		took       time.Duration
	}{
		"one goes at once, alone":                              {10, 1, []int{1}, time.Second},
		"few go at once, each alone":                           {10, 4, []int{1, 1, 1, 1}, time.Second},
		"what comes meanwhile goes together":                   {1000, 500, []int{1, 1, 1, 1, 496}, 2 * time.Second},
		"no more than the limit go together, the first first":  {10, 25, []int{1, 1, 1, 1, 10, 10, 1}, 4 * time.Second},
		"at the limit exactly nothing is left for another one": {10, 14, []int{1, 1, 1, 1, 10}, 2 * time.Second},
	}
	for sentence, c := range cases {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &calls{}
				b := &batcher{max: c.max, flush: s.flush}
				begun := time.Now()
				var all sync.WaitGroup
				for i := range c.tasks {
					all.Go(func() {
						if err := b.submit(t.Context(), message(i)); err != nil {
							t.Error(err)
						}
					})
					synctest.Wait() // in this order
				}
				all.Wait()

				if got := s.sizes(); !slices.Equal(got, c.sizes) {
					t.Errorf("calls of %v, want %v", got, c.sizes)
				}
				for i, id := range s.sent() {
					if id != fmt.Sprint(i) {
						t.Errorf("task %s was sent as number %d", id, i)
					}
				}
				if took := time.Since(begun); took != c.took {
					t.Errorf("took %v, want %v", took, c.took)
				}
				if !b.idle() {
					t.Error("the batcher still counts on somebody")
				}
			})
		})
	}
}

func TestEachCallerHearsAboutHisOwnTask(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &calls{each: func(id string) error {
			if id == "3" {
				return seri.ErrConflict
			}
			return nil
		}}
		b := &batcher{max: 10, flush: s.flush}
		var all sync.WaitGroup
		for i := range 6 {
			all.Go(func() {
				if err := b.submit(t.Context(), message(i)); (i == 3) != errors.Is(err, seri.ErrConflict) || i != 3 && err != nil {
					t.Errorf("task %d: %v", i, err)
				}
			})
		}
		all.Wait()
	})
}

func TestAnErrorReachesAllOfItsCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		down := errors.New("connection refused")
		b := &batcher{max: 4, flush: (&calls{err: down}).flush}
		var all sync.WaitGroup
		for i := range 10 {
			all.Go(func() {
				if err := b.submit(t.Context(), message(i)); !errors.Is(err, down) {
					t.Errorf("task %d: %v", i, err)
				}
			})
		}
		all.Wait()
	})
}

func TestACancelledCall(t *testing.T) {
	t.Parallel()
	gone := errors.New("the browser is gone")
	cases := map[string]struct {
		cancelAfter time.Duration // the batch before it ends after one second, its own after two
		took        time.Duration
		stored      bool
	}{
		"that waits is taken back at once":                {500 * time.Millisecond, 500 * time.Millisecond, false},
		"that is on its way is waited for":                {1500 * time.Millisecond, 2 * time.Second, true},
		"that is cancelled as it leaves is one or other":  {time.Second, 0, false},
		"that is cancelled when it is over has succeeded": {3 * time.Second, 2 * time.Second, true},
	}
	for sentence, c := range cases {
		for _, who := range []string{"as the one who makes the next call", "as one among others"} {
			t.Run(sentence+" "+who, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					s := &calls{}
					b := &batcher{max: 10, flush: s.flush}
					var all sync.WaitGroup
					submit := func(ctx context.Context, i int, check func(error)) {
						all.Go(func() { check(b.submit(ctx, message(i))) })
						synctest.Wait()
					}
					must := func(err error) {
						if err != nil {
							t.Errorf("another call suffers: %v", err)
						}
					}
					for i := range aloneUpTo {
						submit(t.Context(), 100+i, must)
					}
					if who == "as one among others" {
						submit(t.Context(), 1, must)
					}
					begun := time.Now()
					ctx, cancel := context.WithCancelCause(t.Context())
					time.AfterFunc(c.cancelAfter, func() { cancel(gone) })
					submit(ctx, 2, func(err error) {
						stored := slices.Contains(s.sent(), "2")
						if stored != (err == nil) || err != nil && !errors.Is(err, gone) {
							t.Errorf("the call said %v; it was stored: %v", err, stored)
						}
						if took := time.Since(begun); c.took != 0 && (took != c.took || stored != c.stored) {
							t.Errorf("it took %v, stored: %v; want %v, %v", took, stored, c.took, c.stored)
						}
					})
					submit(t.Context(), 3, must)
					submit(t.Context(), 4, must)
					all.Wait()

					if !b.idle() {
						t.Error("the batcher still counts on somebody")
					}
				})
			})
		}
	}
}

// Many callers, some of whom leave at any moment: nobody waits for ever, nobody is told a falsehood, nothing is sent twice.
func TestManyCallersWhoComeAndGo(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	for round := range uint64(20) {
		t.Run(fmt.Sprint("seed ", seed, " round ", round), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, round))
			var mu sync.Mutex
			sent := map[string]int{}
			down := errors.New("connection reset")
			var n atomic.Int64
			b := &batcher{max: 1 + random.IntN(50), flush: func(ctx context.Context, tasks []seri.Message) ([]error, error) {
				if ctx.Err() != nil {
					t.Error("a caller's end reached the call for all")
				}
				mu.Lock()
				defer mu.Unlock()
				if n.Add(1)%7 == 0 {
					return nil, down
				}
				for _, m := range tasks {
					sent[m.ID]++
				}
				return make([]error, len(tasks)), nil
			}}

			var all sync.WaitGroup
			for i := range 1000 {
				stay := random.IntN(3) > 0
				patience := time.Duration(random.IntN(300)) * time.Microsecond
				all.Go(func() {
					ctx := t.Context()
					if !stay {
						var cancel context.CancelFunc
						ctx, cancel = context.WithTimeout(ctx, patience)
						defer cancel()
					}
					err := b.submit(ctx, message(i))
					mu.Lock()
					defer mu.Unlock()
					times := sent[fmt.Sprint(i)]
					switch {
					case times > 1:
						t.Errorf("task %d was sent %d times", i, times)
					case err == nil && times != 1:
						t.Errorf("task %d is said to be stored, and is not", i)
					case err != nil && times != 0:
						t.Errorf("task %d is stored, and its caller told %v", i, err)
					case err != nil && !errors.Is(err, down) && (stay || !errors.Is(err, context.DeadlineExceeded)):
						t.Errorf("task %d: %v", i, err)
					}
				})
			}
			all.Wait()
			if !b.idle() {
				t.Error("the batcher still counts on somebody")
			}
		})
	}
}
