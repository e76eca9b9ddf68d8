package partition_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/partition"
)

func table(t *testing.T, counts map[string]int) *partition.Table {
	t.Helper()
	divided, err := partition.New(counts)
	if err != nil {
		t.Fatal(err)
	}
	return divided
}

// Producers in other languages compute the same: zlib.crc32(b"user:42") % 8 in Python, crc32("user:42") % 8 in PHP. What
// stands here must never change.
func TestPlacementIsStable(t *testing.T) {
	t.Parallel()
	eight := table(t, map[string]int{"images": 8})
	for name, c := range map[string]struct {
		task seri.Message
		want keys.Queue
	}{
		"a key":               {seri.Message{ID: "a", PartitionKey: "user:42"}, "images:6"},
		"a key in UTF-8":      {seri.Message{ID: "a", PartitionKey: "Grüße"}, "images:1"},
		"an ID":               {seri.Message{ID: "R4ZFQ2M5KXW7TJ3NB6VYAH2CLE"}, "images:5"},
		"type and payload":    {seri.Message{ID: "a", Type: "image.thumbnail", Payload: []byte(`{"url":"x"}`), UniqueFor: time.Minute}, "images:1"},
		"the first partition": {seri.Message{ID: "t4"}, "images"},
	} {
		c.task.Queue = "images"
		if got := eight.Place(&c.task); got != c.want {
			t.Errorf("%s: placed in %q, want %q", name, got, c.want)
		}
	}
}

func TestPlacementGoesByKeyThenByUniquenessThenByID(t *testing.T) {
	t.Parallel()
	eight := table(t, map[string]int{"images": 8})
	places := func(of func(i int) seri.Message) int {
		seen := make(map[keys.Queue]bool)
		for i := range 1000 {
			m := of(i)
			m.ID, m.Queue = fmt.Sprintf("task-%d", i), "images"
			seen[eight.Place(&m)] = true
		}
		return len(seen)
	}

	if n := places(func(int) seri.Message { return seri.Message{} }); n != 8 {
		t.Errorf("tasks without a key are placed in %d of 8 partitions", n)
	}
	if n := places(func(i int) seri.Message {
		return seri.Message{PartitionKey: "k", UniqueFor: time.Minute, Payload: fmt.Append(nil, i)}
	}); n != 1 {
		t.Errorf("tasks of one key are placed in %d partitions", n)
	}
	if n := places(func(int) seri.Message { return seri.Message{Type: "t", UniqueFor: time.Minute} }); n != 1 {
		t.Errorf("equal tasks are placed in %d partitions, so that they do not exclude each other", n)
	}
	if n := places(func(i int) seri.Message {
		return seri.Message{UniqueFor: time.Minute, Payload: fmt.Append(nil, i)}
	}); n != 8 {
		t.Errorf("unique tasks with different payloads are placed in %d of 8 partitions", n)
	}
}

func TestKeysSpreadEvenly(t *testing.T) {
	t.Parallel()
	for _, pattern := range []string{"user:%d", "%d", "tenant-%05d", "cus_%x"} {
		for _, n := range []int{2, 3, 5, 8, 13, 16, 32, partition.Max} {
			divided := table(t, map[string]int{"q": n})
			count := make(map[keys.Queue]int)
			const tasks = 10_000
			for i := range tasks {
				count[divided.Place(&seri.Message{Queue: "q", PartitionKey: fmt.Sprintf(pattern, i)})]++
			}
			most, least := slices.Max(slices.Collect(maps.Values(count))), slices.Min(slices.Collect(maps.Values(count)))
			if mean := float64(tasks) / float64(n); len(count) != n || float64(most) > 1.2*mean || float64(least) < 0.8*mean {
				t.Errorf("keys %s over %d partitions: %d to %d tasks in %d of them", pattern, n, least, most, len(count))
			}
		}
	}
}

func TestAQueueThatIsNotDividedStaysAsItIs(t *testing.T) {
	t.Parallel()
	for name, divided := range map[string]*partition.Table{
		"no table": nil, "another queue": table(t, map[string]int{"images": 8}), "one partition": table(t, map[string]int{"mail": 1}),
	} {
		m := seri.Message{ID: "a", Queue: "mail", PartitionKey: "k"}
		if got := divided.Place(&m); got != "mail" {
			t.Errorf("%s: placed in %q", name, got)
		}
		if got := divided.Of("mail"); !slices.Equal(got, []keys.Queue{"mail"}) {
			t.Errorf("%s: its partitions are %q", name, got)
		}
		if got := divided.Find("mail"); got != (partition.Place{Queue: "mail"}) {
			t.Errorf("%s: found as %+v", name, got)
		}
		weights := map[string]int{"mail": 3, "default": 1}
		if got := divided.Weights(weights, false); !maps.Equal(got, weights) {
			t.Errorf("%s: weights %v", name, got)
		}
	}
}

func TestPartitionsAreQueuesThatAreFoundAgain(t *testing.T) {
	t.Parallel()
	divided := table(t, map[string]int{"images": 3})
	if got := divided.Of("images"); !slices.Equal(got, []keys.Queue{"images", "images:1", "images:2"}) {
		t.Errorf("partitions %q", got)
	}
	for q, want := range map[keys.Queue]partition.Place{
		"images": {"images", 0}, "images:1": {"images", 1}, "images:2": {"images", 2}, "images:3": {"images:3", 0}, "other": {"other", 0},
	} {
		if got := divided.Find(q); got != want {
			t.Errorf("%q is found as %+v, want %+v", q, got, want)
		}
	}
}

func TestPartitionsShareTheWeightOfTheirQueue(t *testing.T) {
	t.Parallel()
	divided := table(t, map[string]int{"images": 4, "video": 2, "idle": 3})
	queues := map[string]int{"images": 3, "video": 1, "default": 2}

	if got, want := divided.Weights(queues, false), (map[string]int{
		"images": 3, "images:1": 3, "images:2": 3, "images:3": 3, "video": 2, "video:1": 2, "default": 8,
	}); !maps.Equal(got, want) {
		t.Errorf("weights %v, want %v", got, want)
	}
	if got, want := divided.Weights(queues, true), (map[string]int{
		"images": 3, "images:1": 3, "images:2": 3, "images:3": 3, "video": 1, "video:1": 1, "default": 2,
	}); !maps.Equal(got, want) {
		t.Errorf("strict weights %v, want %v", got, want)
	}
}

func TestNewListsEveryFault(t *testing.T) {
	t.Parallel()
	_, err := partition.New(map[string]int{"a": 0, "b": partition.Max + 1, "c{": 2, "": 2, "d": 3, "d:2": 2})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, part := range []string{`"a" has 0`, `"b" has 65`, `"c{"`, "queue is empty", `"d:2" is also a partition of "d"`} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %s", err, part)
		}
	}
}
