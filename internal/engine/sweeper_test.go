package engine

import (
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/internal/store"
)

func TestOneOfTwoWorkersSweepsAQueueInAMinute(t *testing.T) {
	t.Parallel()
	redistest.EachWithEmbedded(t, func(t *testing.T, rdb redis.UniversalClient) {
		ctx, q := t.Context(), keys.Queue(redistest.Queue(t))
		worker := func(name string) (*sweeper, *journal) {
			log := &journal{}
			return &sweeper{store.New(rdb, store.Config{}), []keys.Queue{q}, name, leaseLength, log.logger()}, log
		}
		ghosts := func() int64 { return rdb.ZCard(ctx, q.Archived()).Val() }
		haunt := func() { // leaves what a sweep removes, and what a search for strays deletes
			rdb.ZAdd(ctx, q.Archived(), redis.Z{Score: 1, Member: "ghost"})
			rdb.HSet(ctx, q.Task("stray"), "result", "late")
		}
		strays := func() int64 { return rdb.Exists(ctx, q.Task("stray")).Val() }
		a, logA := worker("a")
		b, logB := worker("b")

		haunt()
		a.look(ctx, q)
		if ghosts() != 0 || strays() != 0 {
			t.Fatalf("after the first worker's turn there are %d ghosts and %d strays", ghosts(), strays())
		}
		haunt()
		b.look(ctx, q)
		a.look(ctx, q)
		if ghosts() != 1 || strays() != 1 || logB.has("repaired") {
			t.Errorf("within the minute the work is done again: %d ghosts, %d strays are left", ghosts(), strays())
		}
		rdb.Del(ctx, q.Turn()) // as the end of the minute does
		b.look(ctx, q)
		if ghosts() != 0 || strays() != 0 {
			t.Errorf("after the second worker's turn there are %d ghosts and %d strays", ghosts(), strays())
		}
		for _, log := range []*journal{logA, logB} {
			if !log.has("repaired the queue") || !log.has("put stray tasks back") {
				t.Error("a worker has repaired the queue, and its log does not tell")
			}
		}
	})
}
