// Package report turns what was measured into what is read: medians, ratios, a table, a plot.
package report

import (
	"math"
	"slices"
	"time"
)

// Figure is a median over the rounds of a run, with what it varied by.
type Figure struct {
	Median, Min, Max float64
}

// Summarize returns the figure of values; all NaN if there are none. Of an even number the mean of the middle two counts.
func Summarize(values []float64) Figure {
	if len(values) == 0 {
		return Figure{math.NaN(), math.NaN(), math.NaN()}
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	median := sorted[middle]
	if len(sorted)%2 == 0 {
		median = (sorted[middle-1] + sorted[middle]) / 2
	}
	return Figure{median, sorted[0], sorted[len(sorted)-1]}
}

// Percentile returns the value that a share p of sorted does not exceed (nearest rank); 0 if there are none.
func Percentile(sorted []time.Duration, p float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(math.Ceil(p * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// Gain says by how much ours is better than theirs: 2 is twice as good, whether much or little is wanted.
// NaN where a ratio says nothing, as of a time that is zero or negative.
func Gain(ours, theirs float64, lowerIsBetter bool) float64 {
	if lowerIsBetter {
		ours, theirs = theirs, ours
	}
	if !(ours > 0 && theirs > 0) || math.IsInf(ours, 0) || math.IsInf(theirs, 0) {
		return math.NaN()
	}
	return ours / theirs
}
