package client

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/store"
)

// foreignOn returns the servers of stock asynq on a queue, or on its partitions.
func foreignOn(ctx context.Context, s *servers, queues ...string) []string {
	info := asked(queues)
	s.tell(ctx, &info)
	return info.Foreign
}

func asked(queues []string) QueueInfo {
	info := QueueInfo{Name: queues[0]}
	for _, name := range queues {
		if len(queues) > 1 {
			info.Partitions = append(info.Partitions, QueueInfo{Name: name})
		}
	}
	return info
}

func TestServersAreLookedForOnceInAWhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		live, looks := []store.Server{{Name: "a:1:x", Queues: []keys.Queue{"mail", "mail:1"}}}, 0
		f := newServers(func(context.Context) ([]store.Server, error) {
			looks++
			time.Sleep(serversWithin / 2)
			return live, nil
		})
		want := func(names ...string) {
			t.Helper()
			if got := foreignOn(t.Context(), f, "mail", "mail:1"); !slices.Equal(got, names) {
				t.Errorf("after %d looks they are %q, want %q", looks, got, names)
			}
		}

		var many sync.WaitGroup
		for range 100 {
			many.Go(func() { want("a:1:x") })
		}
		many.Wait()
		if got := foreignOn(t.Context(), f, "other"); got != nil || looks != 1 {
			t.Errorf("on another queue are %q; there were %d looks, want 1", got, looks)
		}
		live = nil
		time.Sleep(serversFor - time.Millisecond)
		want("a:1:x")
		time.Sleep(time.Millisecond)
		want()
		if looks != 2 {
			t.Errorf("there were %d looks, want 2", looks)
		}
	})
}

func TestServersThatCannotBeLookedForAreUnknown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fault, looks := errors.New("one node is away"), 0
		f := newServers(func(ctx context.Context) ([]store.Server, error) {
			if looks++; fault != nil {
				<-ctx.Done()
				return nil, fault
			}
			return []store.Server{{Name: "a:1:x", Queues: []keys.Queue{"mail"}}}, nil
		})
		begun := time.Now()

		for range 10 { // of which only the first one waits
			if got := foreignOn(t.Context(), f, "mail"); got != nil {
				t.Errorf("they are %q", got)
			}
		}

		if took := time.Since(begun); took != serversWithin || looks != 1 {
			t.Errorf("that took %v and %d looks, want %v and 1", took, looks, serversWithin)
		}
		fault = nil
		time.Sleep(serversFor)
		if got := foreignOn(t.Context(), f, "mail"); !slices.Equal(got, []string{"a:1:x"}) {
			t.Errorf("when the node is back they are %q", got)
		}
	})
}

func TestWhoeverHasNoTimeToLookForServersSpoilsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newServers(func(ctx context.Context) ([]store.Server, error) {
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(serversWithin / 2):
				return []store.Server{{Name: "a:1:x", Queues: []keys.Queue{"mail"}}}, nil
			}
		})
		hurried, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()

		if got := foreignOn(hurried, f, "mail"); got != nil {
			t.Errorf("in no time they are %q", got)
		}
		if got := foreignOn(t.Context(), f, "mail"); !slices.Equal(got, []string{"a:1:x"}) {
			t.Errorf("the next one finds %q", got)
		}
	})
}

func TestWhatNoLiveServerServesIsUnserved(t *testing.T) {
	t.Parallel()
	live := []store.Server{
		{Name: "a:1:x", Queues: []keys.Queue{"mail", "images", "images:2"}, Fenced: true},
		{Name: "b:2:y", Queues: []keys.Queue{"images", "images:2", "stock"}},
	}
	var fault error
	cases := map[string]struct {
		queues []string
		want   []bool // of the queue, and of each partition
	}{
		"a queue with a worker":             {[]string{"mail"}, []bool{false}},
		"one with a stock server":           {[]string{"stock"}, []bool{false}},
		"one with nobody":                   {[]string{"video"}, []bool{true}},
		"a partition that workers pass by":  {[]string{"images", "images:1", "images:2"}, []bool{true, false, true, false}},
		"a divided queue with all it needs": {[]string{"images", "images:2"}, []bool{false, false, false}},
	}
	for sentence, c := range cases {
		s := newServers(func(context.Context) ([]store.Server, error) { return live, fault })
		info := asked(c.queues)
		s.tell(t.Context(), &info)
		got := []bool{info.Unserved}
		for _, p := range info.Partitions {
			got = append(got, p.Unserved)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: unserved %v, want %v", sentence, got, c.want)
		}
	}

	fault = errors.New("one node is away")
	s := newServers(func(context.Context) ([]store.Server, error) { return nil, fault })
	info := QueueInfo{Name: "video"}
	if s.tell(t.Context(), &info); info.Unserved {
		t.Error("a queue of which nothing is known is called unserved")
	}
}
