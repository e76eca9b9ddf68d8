package api

import (
	"cmp"
	"slices"
	"strings"
)

// nearest returns up to three of the known words that word may have been meant to be, the likeliest first.
func nearest(word string, known []string) []string {
	type candidate struct {
		word     string
		distance int
	}
	const longest = 256 // the cost is the product of two lengths
	if len(word) > longest {
		return nil
	}
	var candidates []candidate
	for _, k := range known {
		if len(k) > longest {
			continue
		}
		d := distance(strings.ToLower(word), strings.ToLower(k))
		switch {
		case d <= max(1, min(len(word), len(k))/3): // a slip of the finger
		case len(word) >= 3 && (strings.HasSuffix(k, "."+word) || strings.HasPrefix(k, word) || strings.HasPrefix(word, k+".")): // half of the name
		default:
			continue
		}
		candidates = append(candidates, candidate{k, d})
	}
	slices.SortFunc(candidates, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.distance, b.distance), cmp.Compare(a.word, b.word))
	})
	var words []string
	for _, c := range candidates[:min(3, len(candidates))] {
		words = append(words, c.word)
	}
	return words
}

// distance is the number of bytes to insert, delete or replace between a and b (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substitute := diagonal
			if a[i] != b[j] {
				substitute++
			}
			diagonal = row[j+1]
			row[j+1] = min(substitute, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
