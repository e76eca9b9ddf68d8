package tables

import (
	"cmp"
	"slices"
	"strings"
)

// frequent finds the most frequent values of a stream with a fixed number of counters: the algorithm of Misra and Gries
// (1982), which when the counters run out lowers all of them and drops those that reach zero. Lowering by the median
// instead of by one makes room for half of them at once, so that an addition costs O(1) on average.
//
// A count is never too high, and too low by at most missed. Each time missed grows by m, at least half of limit+1 counters
// give up m each; they cannot give up more than the n values that came in, so missed ≤ 2n/limit.
//
// Source: Anderson, Bevan, Lang, Liberty, Rhodes, Thaler: "A High-Performance Algorithm for Identifying Frequent Items
// in Data Streams" (IMC 2017).
type frequent struct {
	limit  int
	missed int64
	items  []item
	at     map[uint64]int32 // hash → index in items
	counts []int64          // scratch
}

type item struct {
	hash  uint64
	count int64
	value string
}

func newFrequent(limit int) *frequent {
	return &frequent{limit: limit, at: make(map[uint64]int32)}
}

// add counts one value. It is false, and nothing has happened, if all counters are taken: then lower first.
//
// Values are told apart by their hash: among a billion of them, two share one with a probability of 3 %,
// and then share a counter. value is copied if it is kept.
func (f *frequent) add(hash uint64, value string) bool {
	if i, ok := f.at[hash]; ok {
		f.items[i].count++
		return true
	}
	if len(f.items) == f.limit {
		return false
	}
	f.at[hash] = int32(len(f.items))
	f.items = append(f.items, item{hash, 1, strings.Clone(shorten(value))})
	return true
}

// lower takes the median count off all counters, and drops those that have nothing left: half of them or more.
func (f *frequent) lower() {
	f.counts = f.counts[:0]
	for _, it := range f.items {
		f.counts = append(f.counts, it.count)
	}
	slices.Sort(f.counts)
	median := f.counts[len(f.counts)/2]

	f.missed += median
	f.items = slices.DeleteFunc(f.items, func(it item) bool { return it.count <= median })
	clear(f.at)
	for i := range f.items {
		f.items[i].count -= median
		f.at[f.items[i].hash] = int32(i)
	}
}

// top returns at most n values, the most frequent first, among equals in their own order. Values that are not more
// frequent than one that was dropped could be are left out.
func (f *frequent) top(n int) []Value {
	items := slices.DeleteFunc(slices.Clone(f.items), func(it item) bool { return it.count <= f.missed })
	slices.SortFunc(items, func(a, b item) int {
		return cmp.Or(cmp.Compare(b.count, a.count), cmp.Compare(a.value, b.value))
	})
	var values []Value
	for _, it := range items[:min(n, len(items))] {
		values = append(values, Value{Value: it.value, Count: it.count})
	}
	return values
}
