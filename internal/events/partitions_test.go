package events

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/partition"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/internal/wire"
)

// awaitFrames returns the next n frames.
func awaitFrames(t *testing.T, s *Subscription, n int) (frames []Frame) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for len(frames) < n {
		next, err := s.Next(ctx, patience)
		if err != nil {
			t.Fatalf("after %d of %d frames: %v", len(frames), n, err)
		}
		frames = append(frames, slices.Clone(next)...)
	}
	return frames
}

func TestADividedQueueIsWatchedAsOne(t *testing.T) {
	t.Parallel()
	redistest.EachWithEmbedded(t, func(t *testing.T, rdb redis.UniversalClient) {
		q := redistest.Queue(t)
		table, err := partition.New(map[string]int{q: 3})
		if err != nil {
			t.Fatal(err)
		}
		first, second, third, other := q, string(keys.Queue(q).Partition(1)), string(keys.Queue(q).Partition(2)), redistest.Queue(t)
		declare(t, rdb, first, second, other) // the third partition comes into being later
		xadd(t, rdb, second, progress("before", 1))
		h := runHub(t, rdb, nothing, Config{Partitions: table})
		live, all := subscribe(t, h, Filter{Queue: q}), subscribe(t, h, Filter{Owner: q}) // that of all queues
		expect(t, await(t, live, 1), "snapshot()")
		expect(t, await(t, all, 1), "snapshot()")

		// One after the other: events of different partitions have no order.
		var frames []Frame
		for i, stream := range []string{first, second, third, second} {
			if stream == third {
				declare(t, rdb, third)
			}
			elsewhere, here := progress("other", uint64(i+1)), progress("task", uint64(i+1))
			elsewhere.Owner, here.Owner = q, q
			xadd(t, rdb, other, elsewhere)
			xadd(t, rdb, stream, here)
			frames = append(frames, awaitFrames(t, live, 1)...)
		}

		seen := make(map[string]bool)
		for i, f := range frames {
			var event wire.CloudEvent
			var data wire.TaskEvent
			if err := errors.Join(json.Unmarshal(f.JSON, &event), json.Unmarshal(event.Data, &data)); err != nil {
				t.Fatal(err)
			}
			if want := []int{0, 1, 2, 1}[i]; data.Queue != q || data.Partition != want || data.Seq != uint64(i+1) || event.Source != "/v1/queues/"+q || seen[event.ID] {
				t.Errorf("frame %d is %s", i, f.JSON)
			}
			seen[event.ID] = true
		}
		var told []string
		for len(told) < 8 { // the shared cluster has queues of other tests, of which it is told that events are missing
			told = append(told, slices.DeleteFunc(await(t, all, 1), func(f string) bool { return strings.HasSuffix(f, ")") })...)
		}
		expect(t, slices.Sorted(slices.Values(told)), "other:1", "other:2", "other:3", "other:4", "task:1", "task:2", "task:3", "task:4")

		// The cursor of any frame resumes all partitions.
		later := await(t, resume(t, h, Filter{Queue: q}, frames[1].Cursor), 2)
		expect(t, slices.Sorted(slices.Values(later)), "task:3", "task:4")
		// So does the cursor of the queue from before it was divided.
		late := resume(t, h, Filter{Queue: q}, "0-0:0")
		expect(t, slices.Sorted(slices.Values(await(t, late, 5))), "before:1", "task:1", "task:2", "task:3", "task:4")
	})
}

func TestAPartitionIsNotWatchedByItself(t *testing.T) {
	t.Parallel()
	q := redistest.Queue(t)
	table, err := partition.New(map[string]int{q: 3})
	if err != nil {
		t.Fatal(err)
	}
	h := runHub(t, redistest.New(t), nothing, Config{Partitions: table})
	if _, err := h.Subscribe(t.Context(), Filter{Queue: string(keys.Queue(q).Partition(2))}); !errors.Is(err, ErrPartition) {
		t.Errorf("a partition: %v", err)
	}
}
