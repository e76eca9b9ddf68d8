package events

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redistest"
)

func TestBehindIsTheAgeOfWhatIsNotPassedOnYet(t *testing.T) {
	redistest.EachWithEmbedded(t, func(t *testing.T, rdb redis.UniversalClient) {
		queue := keys.Queue(redistest.Queue(t))
		begun, err := rdb.Time(t.Context()).Result()
		if err != nil {
			t.Fatal(err)
		}
		ages := []time.Duration{3 * time.Hour, 2 * time.Hour, 2 * time.Hour} // the last two differ in their sequence
		ids := make([]EntryID, len(ages))
		for i, age := range ages {
			ids[i] = EntryID{Ms: uint64(begun.Add(-age).UnixMilli()), Seq: uint64(i + 1)}
			if err := rdb.XAdd(t.Context(), &redis.XAddArgs{Stream: queue.Events(), ID: ids[i].String(), Values: []string{"e", "[]"}}).Err(); err != nil {
				t.Fatal(err)
			}
		}
		if err := rdb.SAdd(t.Context(), keys.Queues, string(queue)).Err(); err != nil {
			t.Fatal(err)
		}
		for name, c := range map[string]struct {
			mark Mark
			want time.Duration
		}{
			"nothing was passed on": {Mark{}, ages[0]},
			"one was":               {MarkOf(ids[0]), ages[1]},
			"all but one were":      {MarkOf(ids[1]), ages[2]},
			"all were":              {MarkOf(ids[2]), 0},
		} {
			oldest, err := Behind(t.Context(), rdb, func(q string) Mark {
				if q != string(queue) { // a cluster is shared with other tests
					return MarkOf(EntryID{Ms: 1 << 62})
				}
				return c.mark
			})
			if err != nil || oldest < c.want || oldest > c.want+min(c.want, time.Minute) { // the test takes a while, too
				t.Errorf("%s: %v, %v; want %v", name, oldest, err, c.want)
			}
		}
	})
}

func TestBehindEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Behind(ctx, redistest.New(t), func(string) Mark { return Mark{} }); err == nil {
		t.Error("who could not ask says that nothing waits")
	}
}
