package engine

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seri-queue/seri/internal/keys"
)

func fetcherOf(strict bool, weights map[string]int) *fetcher {
	e := &Engine{Config: Config{Queues: weights, Strict: strict}}
	for q := range weights {
		e.queues = append(e.queues, keys.Queue(q))
	}
	slices.Sort(e.queues)
	return &fetcher{engine: e}
}

func TestStrictOrderIsByWeight(t *testing.T) {
	t.Parallel()
	f := fetcherOf(true, map[string]int{"low": 1, "high": 9, "mid": 4, "mid2": 4})
	want := []keys.Queue{"high", "mid", "mid2", "low"}
	turned := []keys.Queue{"high", "mid2", "mid", "low"} // equals take turns
	times := 0
	const rounds = 10_000
	for range rounds {
		switch got := f.order(); {
		case slices.Equal(got, turned):
			times++
		case !slices.Equal(got, want):
			t.Fatalf("order %q, want %q or %q", got, want, turned)
		}
	}
	if times < 0.45*rounds || times > 0.55*rounds { // ten standard deviations
		t.Errorf("of two queues of one weight, the second comes first %d times in %d", times, rounds)
	}
}

func TestAQueueComesFirstAsOftenAsItsWeightSays(t *testing.T) {
	t.Parallel()
	const rounds = 100_000
	weights := map[string]int{"a": 6, "b": 3, "c": 1}
	f := fetcherOf(false, weights)
	first, second := map[keys.Queue]int{}, map[keys.Queue]int{}
	for range rounds {
		order := f.order()
		first[order[0]]++
		if order[0] == "a" {
			second[order[1]]++
		}
		if len(order) != 3 {
			t.Fatalf("order %q misses a queue", order)
		}
	}
	// The standard deviation of the shares is below 0.2 %; 1 % is never reached by chance.
	for q, weight := range weights {
		if share, want := float64(first[keys.Queue(q)])/rounds, float64(weight)/10; share < want-0.01 || share > want+0.01 {
			t.Errorf("queue %q comes first in %.3f of the rounds, want %.1f", q, share, want)
		}
	}
	if share := float64(second["b"]) / float64(second["b"]+second["c"]); share < 0.74 || share > 0.76 {
		t.Errorf("behind a, b comes before c in %.3f of the rounds, want 0.75", share)
	}
}

func TestOrderLeavesTheConfigurationAlone(t *testing.T) {
	t.Parallel()
	f := fetcherOf(false, map[string]int{"a": 1, "b": 1, "c": 1})
	before := slices.Clone(f.engine.queues)
	for range 100 {
		f.order()
	}
	if !slices.Equal(f.engine.queues, before) {
		t.Errorf("queues are %q now, were %q", f.engine.queues, before)
	}
}

func TestRoomIsSharedByWeight(t *testing.T) {
	t.Parallel()
	f := fetcherOf(false, map[string]int{"a": 6, "b": 3, "c": 1})
	for _, c := range []struct {
		room  int
		order []keys.Queue
		want  []int
	}{
		{100, []keys.Queue{"a", "b", "c"}, []int{60, 30, 10}},
		{100, []keys.Queue{"c", "b", "a"}, []int{10, 30, 60}},
		{100, []keys.Queue{"b", "c"}, []int{75, 25}},
		{10, []keys.Queue{"c"}, []int{10}},
		{2, []keys.Queue{"c", "b", "a"}, []int{1, 1}}, // none left for the last one
		{1, []keys.Queue{"a", "b", "c"}, []int{1}},
	} {
		if got := f.shares(c.room, c.order); !slices.Equal(got, c.want) {
			t.Errorf("room for %d is shared by %q as %v, want %v", c.room, c.order, got, c.want)
		}
	}
}

func TestQueuesThatWereDrainedAreNotAskedWhileOthersMayHaveMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		order := []keys.Queue{"a", "b", "c"}
		f := fetcherOf(false, map[string]int{"a": 1, "b": 1, "c": 1})
		f.drained = map[keys.Queue]time.Time{"a": time.Now(), "c": time.Now()}
		expect := func(when string, want ...keys.Queue) {
			t.Helper()
			if got := f.promising(order); !slices.Equal(got, want) {
				t.Errorf("%s: %q are asked, want %q", when, got, want)
			}
		}
		expect("two were drained", "b")
		f.resting = map[keys.Queue]rest{"b": {until: time.Now().Add(time.Hour)}}
		expect("the third is paused", "a", "c")
		f.engine.Strict = true
		delete(f.resting, "b")
		expect("the order is strict", "a", "b", "c")
		f.engine.Strict = false
		time.Sleep(drainedFor)
		expect("a while later", "a", "b", "c")
	})
}
