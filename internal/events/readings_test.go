package events

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seri-queue/seri"
)

// library is read in a second, however much is asked for.
type library struct {
	reads, most atomic.Int64
	refuses     string // a task
}

var errTorn = errors.New("a page is torn")

func (l *library) read(ctx context.Context, filters []Filter) ([]Snapshot, error) {
	l.reads.Add(1)
	l.most.Store(max(l.most.Load(), int64(len(filters))))
	select {
	case <-time.After(time.Second):
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	shown := make([]Snapshot, len(filters))
	for i, f := range filters {
		if f.Task == l.refuses {
			return nil, errTorn
		}
		shown[i].Tasks = []seri.Info{{ID: f.Task}}
	}
	return shown, nil
}

// ask asks for two tasks, and reports how long it took.
func (l *library) ask(t *testing.T, r *readings, i int) (took time.Duration, err error) {
	t.Helper()
	begun := time.Now()
	filters := []Filter{{Task: fmt.Sprint("a", i)}, {Task: fmt.Sprint("b", i)}}
	queue, ok := shareable(filters)
	if !ok {
		t.Errorf("%v cannot be shared", filters)
	}
	shown, err := r.share(t.Context(), queue, filters, l.read)
	for n := range shown {
		if len(shown) != len(filters) || shown[n].Tasks[0].ID != filters[n].Task {
			t.Errorf("asked for %v, shown %v", filters, shown)
		}
	}
	return time.Since(begun), err
}

func TestThoseWhoComeTogetherShareAReading(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var r readings
		var l library
		var all sync.WaitGroup
		const askers = 320 // of two tasks each: ten full reads, by twos
		for i := range readsAtOnce {
			all.Go(func() { l.ask(t, &r, -i) })
			synctest.Wait()
		}
		for i := range askers {
			all.Go(func() {
				if took, err := l.ask(t, &r, i); err != nil || took < 2*time.Second || took > 6*time.Second {
					t.Errorf("%v after %v", err, took)
				}
			})
		}
		all.Wait()
		synctest.Wait()

		if n := l.reads.Load(); n != readsAtOnce+10 || l.most.Load() != tasksAtOnce {
			t.Errorf("%d reads, of %d at most", n, l.most.Load())
		}
		if len(r.queues) != 0 {
			t.Errorf("%d queues are kept", len(r.queues))
		}
	})
}

func TestWhatOneAsksForDoesNotFailOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var r readings
		l := library{refuses: "b3"}
		var all sync.WaitGroup
		for i := range readsAtOnce {
			all.Go(func() { l.ask(t, &r, -i) })
			synctest.Wait()
		}
		for i := range 10 {
			all.Go(func() {
				if _, err := l.ask(t, &r, i); (i == 3) != errors.Is(err, errTorn) || i != 3 && err != nil {
					t.Errorf("%d: %v", i, err)
				}
			})
		}
		all.Wait()
	})
}

func TestWhoGoesAwayTakesNoReadingWithHim(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var r readings
		var l library
		ctx, leave := context.WithTimeoutCause(t.Context(), time.Millisecond, errTorn)
		defer leave()
		var all sync.WaitGroup
		for range readsAtOnce + 1 { // who reads, and who waits
			all.Go(func() {
				if _, err := r.share(ctx, "", []Filter{{Task: "z"}}, l.read); !errors.Is(err, errTorn) {
					t.Errorf("who has left got %v", err)
				}
			})
			synctest.Wait()
		}
		all.Go(func() {
			if _, err := l.ask(t, &r, 1); err != nil {
				t.Error(err)
			}
		})
		all.Wait()
		if n := l.reads.Load(); n != readsAtOnce+1 {
			t.Errorf("%d reads", n)
		}
	})
}

func TestReadingsAreBoundedThoughTheirAskersLeave(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var r readings
		var l library
		for range 100 {
			ctx, leave := context.WithTimeout(t.Context(), time.Millisecond)
			if _, err := r.share(ctx, "", []Filter{{Task: "z"}}, l.read); err == nil {
				t.Error("who has left is shown something")
			}
			leave()
		}
		if n := l.reads.Load(); n != readsAtOnce {
			t.Errorf("%d reads are on their way at once", n)
		}
		time.Sleep(time.Minute)
	})
}

func TestWhereRedisIsAwayNobodyReadsAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var r readings
		var reads atomic.Int64
		var all sync.WaitGroup
		for range 200 {
			all.Go(func() {
				_, err := r.share(t.Context(), "", []Filter{{Task: "z"}}, func(context.Context, []Filter) ([]Snapshot, error) {
					reads.Add(1)
					time.Sleep(time.Second)
					return nil, seri.ErrUnavailable
				})
				if !errors.Is(err, seri.ErrUnavailable) {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if n := reads.Load(); n > readsAtOnce+200/tasksAtOnce+1 {
			t.Errorf("%d reads for 200 who came together", n)
		}
	})
}

func TestListsAreNotSharedReadings(t *testing.T) {
	t.Parallel()
	for name, filters := range map[string][]Filter{
		"of an owner":       {{Owner: "o"}},
		"beside a task":     {{Task: "a"}, {Queue: ""}},
		"of two queues":     {{Task: "a", Queue: "q"}, {Task: "b", Queue: "r"}},
		"of too many":       make([]Filter, tasksAtOnce+1),
		"of nothing at all": nil,
	} {
		if _, ok := shareable(filters); ok {
			t.Errorf("a list %s is shared", name)
		}
	}
}
