package crowd

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestQuantilesAreRightToAThirtySecond(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	var h Histogram
	values := make([]time.Duration, 10_000)
	for i := range values {
		values[i] = time.Duration(random.ExpFloat64() * float64(20*time.Millisecond))
		h.Add(values[i])
	}
	slices.Sort(values)

	for _, share := range []float64{0.01, 0.5, 0.9, 0.99, 0.999, 1} {
		got, want := h.Quantile(share), values[int(share*float64(len(values)))-1]
		if got < want || got > want+want/32+time.Microsecond {
			t.Errorf("%g: got %v, want %v or up to a thirty-second more", share, got, want)
		}
	}
	if h.Max() != values[len(values)-1] || h.Count() != uint64(len(values)) {
		t.Errorf("got %d, the longest %v", h.Count(), h.Max())
	}
}

func TestHistogramsMergeAndTravel(t *testing.T) {
	t.Parallel()
	var a, b, both Histogram
	for i := range 1000 {
		d := time.Duration(i*i) * time.Microsecond
		both.Add(d)
		if i%3 == 0 {
			a.Add(d)
		} else {
			b.Add(d)
		}
	}

	text, err := json.Marshal(b)
	var read Histogram
	if err == nil {
		err = json.Unmarshal(text, &read)
	}
	if err != nil {
		t.Fatal(err)
	}
	a.Merge(&read)

	if a != both {
		t.Errorf("merged: %d, the longest %v; want %d, %v", a.Count(), a.Max(), both.Count(), both.Max())
	}
}

func TestAHistogramTakesAnything(t *testing.T) {
	t.Parallel()
	var h Histogram
	h.Add(-time.Second)
	h.Add(0)
	h.Add(100 * time.Hour)
	if h.Count() != 3 || h.Quantile(0.5) > time.Microsecond || h.Max() != 100*time.Hour {
		t.Errorf("%d, median %v, longest %v", h.Count(), h.Quantile(0.5), h.Max())
	}
	var empty Histogram
	if empty.Quantile(0.99) != 0 {
		t.Errorf("an empty one: %v", empty.Quantile(0.99))
	}
}
