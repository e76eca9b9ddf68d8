package report_test

import (
	"math"
	"testing"
	"time"

	"github.com/seri-queue/seri/bench/report"
)

func TestSummarizeTakesTheMiddle(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		values []float64
		want   report.Figure
	}{
		"one value is all three":                {[]float64{5}, report.Figure{Median: 5, Min: 5, Max: 5}},
		"of three the middle one":               {[]float64{9, 1, 4}, report.Figure{Median: 4, Min: 1, Max: 9}},
		"of four the mean of the middle two":    {[]float64{8, 2, 4, 100}, report.Figure{Median: 6, Min: 2, Max: 100}},
		"an outlier does not move the median":   {[]float64{10, 11, 12, 13, 1e9}, report.Figure{Median: 12, Min: 10, Max: 1e9}},
		"negative values, as of an early start": {[]float64{-3, 2, -1}, report.Figure{Median: -1, Min: -3, Max: 2}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := report.Summarize(c.values); got != c.want {
				t.Errorf("Summarize(%v) = %v, want %v", c.values, got, c.want)
			}
		})
	}
	if got := report.Summarize(nil); !math.IsNaN(got.Median) || !math.IsNaN(got.Min) || !math.IsNaN(got.Max) {
		t.Errorf("Summarize(nil) = %v, want nothing but NaN", got)
	}
}

func TestSummarizeLeavesTheRoundsInTheirOrder(t *testing.T) {
	t.Parallel()
	rounds := []float64{3, 1, 2}
	report.Summarize(rounds)
	if rounds[0] != 3 || rounds[1] != 1 || rounds[2] != 2 {
		t.Errorf("the rounds are now %v", rounds)
	}
}

func TestPercentileIsAValueThatOccurred(t *testing.T) {
	t.Parallel()
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(i + 1)
	}
	cases := map[string]struct {
		sorted []time.Duration
		p      float64
		want   time.Duration
	}{
		"median of 1 to 100":          {hundred, 0.5, 50},
		"99th percentile of 1 to 100": {hundred, 0.99, 99},
		"the whole":                   {hundred, 1, 100},
		"nothing of it":               {hundred, 0, 1},
		"of one":                      {hundred[6:7], 0.99, 7},
		"of none":                     {nil, 0.5, 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := report.Percentile(c.sorted, c.p); got != c.want {
				t.Errorf("got %d, want %d", got, c.want)
			}
		})
	}
}

func TestGainIsAboveOneWhereOursIsBetter(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		ours, theirs float64
		lower        bool
		want         float64 // NaN: says nothing
	}{
		"twice the throughput":    {200, 100, false, 2},
		"half the throughput":     {100, 200, false, 0.5},
		"half the time":           {1, 2, true, 2},
		"twice the time":          {2, 1, true, 0.5},
		"a peer that was early":   {5, -3, true, math.NaN()},
		"a peer not measured":     {5, math.NaN(), false, math.NaN()},
		"nothing against nothing": {0, 0, true, math.NaN()},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := report.Gain(c.ours, c.theirs, c.lower)
			if got != c.want && !(math.IsNaN(got) && math.IsNaN(c.want)) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}
