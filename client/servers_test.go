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

func TestForeignServersAreLookedForOnceInAWhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		live, looks := []store.ForeignServer{{Name: "a:1:x", Queues: []keys.Queue{"mail:1"}}}, 0
		f := newForeign(func(context.Context) ([]store.ForeignServer, error) {
			looks++
			time.Sleep(foreignWithin / 2)
			return live, nil
		})
		want := func(names ...string) {
			t.Helper()
			if got := f.on(t.Context(), []keys.Queue{"mail", "mail:1"}); !slices.Equal(got, names) {
				t.Errorf("after %d looks they are %q, want %q", looks, got, names)
			}
		}

		var many sync.WaitGroup
		for range 100 {
			many.Go(func() { want("a:1:x") })
		}
		many.Wait()
		if got := f.on(t.Context(), []keys.Queue{"other"}); got != nil || looks != 1 {
			t.Errorf("on another queue are %q; there were %d looks, want 1", got, looks)
		}
		live = nil
		time.Sleep(foreignFor - time.Millisecond)
		want("a:1:x")
		time.Sleep(time.Millisecond)
		want()
		if looks != 2 {
			t.Errorf("there were %d looks, want 2", looks)
		}
	})
}

func TestForeignServersThatCannotBeLookedForAreNone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fault, looks := errors.New("one node is away"), 0
		f := newForeign(func(ctx context.Context) ([]store.ForeignServer, error) {
			if looks++; fault != nil {
				<-ctx.Done()
				return nil, fault
			}
			return []store.ForeignServer{{Name: "a:1:x", Queues: []keys.Queue{"mail"}}}, nil
		})
		mail := []keys.Queue{"mail"}
		begun := time.Now()

		for range 10 { // of which only the first one waits
			if got := f.on(t.Context(), mail); got != nil {
				t.Errorf("they are %q", got)
			}
		}

		if took := time.Since(begun); took != foreignWithin || looks != 1 {
			t.Errorf("that took %v and %d looks, want %v and 1", took, looks, foreignWithin)
		}
		fault = nil
		time.Sleep(foreignFor)
		if got := f.on(t.Context(), mail); !slices.Equal(got, []string{"a:1:x"}) {
			t.Errorf("when the node is back they are %q", got)
		}
	})
}

func TestWhoeverHasNoTimeToLookForForeignServersSpoilsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newForeign(func(ctx context.Context) ([]store.ForeignServer, error) {
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(foreignWithin / 2):
				return []store.ForeignServer{{Name: "a:1:x", Queues: []keys.Queue{"mail"}}}, nil
			}
		})
		hurried, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()

		if got := f.on(hurried, []keys.Queue{"mail"}); got != nil {
			t.Errorf("in no time they are %q", got)
		}
		if got := f.on(t.Context(), []keys.Queue{"mail"}); !slices.Equal(got, []string{"a:1:x"}) {
			t.Errorf("the next one finds %q", got)
		}
	})
}
