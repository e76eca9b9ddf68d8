package tables

import (
	"cmp"
	"strings"
	"time"

	"github.com/axiomhq/hyperloglog"
	"github.com/cespare/xxhash/v2"
)

// column gathers what there is to know of one column, in memory that does not grow with the number of rows.
type column struct {
	name     string
	nulls    int64
	values   int64
	kinds    kinds // those that every value so far fits
	frequent *frequent
	distinct *hyperloglog.Sketch // nil while frequent holds every value, and so knows how many there are

	mean    float64
	numbers bounds[float64]
	moments bounds[time.Time]
	layout  layout
	texts   bounds[none]
}

func newColumn(name string, tracked int) *column {
	return &column{name: name, kinds: allKinds, frequent: newFrequent(tracked)}
}

// add takes one field into account. It does not keep it: the memory is the reader's.
func (c *column) add(field string) {
	value := strings.TrimSpace(field)
	if isNull(value) {
		c.nulls++
		return
	}
	c.values++

	c.count(value)
	if c.kinds.any(number) {
		c.addNumber(value)
	}
	if c.kinds.any(timestamp) {
		c.addMoment(value)
	}
	if c.kinds.any(boolean) && !isBoolean(value) {
		c.kinds &^= boolean
	}
	c.texts.widen(none{}, value[:min(len(value), maxTextBytes+1)], func(_ none, a string, _ none, b []byte) int {
		switch { // not strings.Compare: in these two, the conversions copy nothing
		case a < string(b):
			return -1
		case a > string(b):
			return 1
		}
		return 0
	})
}

// count tells value from those before, and counts it.
func (c *column) count(value string) {
	hash := xxhash.Sum64String(value) // one for both, without a seed: the same file gives the same profile
	if !c.frequent.add(hash, value) {
		if c.distinct == nil {
			// The sketch begins where exact knowledge ends. It starts in its dense form (16 KiB): its sparse one is
			// for few values, of which there are too many by now, and took a third of the time of a profile.
			c.distinct = hyperloglog.NewNoSparse()
			for _, it := range c.frequent.items {
				c.distinct.InsertHash(it.hash)
			}
		}
		c.frequent.lower()
		c.frequent.add(hash, value)
	}
	if c.distinct != nil {
		c.distinct.InsertHash(hash)
	}
}

func (c *column) addNumber(value string) {
	n, whole, ok := parseNumber(value)
	if !ok {
		c.kinds &^= integer | number
		return
	}
	if !whole {
		c.kinds &^= integer
	}
	// Dividing before subtracting cannot overflow, not even between the largest and the smallest number.
	c.mean += n/float64(c.values) - c.mean/float64(c.values)
	c.numbers.widen(n, value, func(a float64, aText string, b float64, bText []byte) int {
		if order := cmp.Compare(a, b); order != 0 {
			return order
		}
		return compareIntegers(aText, string(bText)) // beyond 2⁵³, different integers are one float64
	})
}

func (c *column) addMoment(value string) {
	at, day, ok := c.layout.parse(value)
	if !ok {
		c.kinds &^= date | timestamp
		return
	}
	if !day {
		c.kinds &^= date
	}
	c.moments.widen(at, value, func(a time.Time, _ string, b time.Time, _ []byte) int { return a.Compare(b) })
}

// describe returns what was found, with at most top frequent values.
func (c *column) describe(top int) Column {
	d := Column{
		Name: c.name, Type: c.kinds.name(), Nulls: c.nulls,
		Distinct: int64(len(c.frequent.items)),
		Top:      c.frequent.top(top),
		TopError: c.frequent.missed,
	}
	if c.distinct != nil {
		d.Distinct = min(int64(c.distinct.Estimate()), c.values) // it may go beyond what is possible
	}
	if c.values == 0 {
		d.Type = "empty"
		return d
	}
	switch d.Type {
	case "integer", "number":
		d.Min, d.Max = c.numbers.texts()
		d.Mean = new(c.mean)
	case "date", "timestamp":
		d.Min, d.Max = c.moments.texts()
	default:
		d.Min, d.Max = c.texts.texts()
	}
	return d
}

// none is the value of a text, which is its own.
type none = struct{}

// bounds are the smallest and the largest of the values seen, each with its text.
type bounds[T any] struct {
	seen             bool
	min, max         T
	minText, maxText []byte // copies, in memory that is used again
}

// widen takes a value into account. compare orders a value and its text relative to one that is kept.
func (b *bounds[T]) widen(value T, text string, compare func(T, string, T, []byte) int) {
	if !b.seen || compare(value, text, b.min, b.minText) < 0 {
		b.min, b.minText = value, append(b.minText[:0], text...)
	}
	if !b.seen || compare(value, text, b.max, b.maxText) > 0 {
		b.max, b.maxText = value, append(b.maxText[:0], text...)
	}
	b.seen = true
}

func (b *bounds[T]) texts() (minimum, maximum string) {
	return shorten(string(b.minText)), shorten(string(b.maxText))
}
