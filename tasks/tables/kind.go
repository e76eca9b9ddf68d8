package tables

import (
	"strconv"
	"strings"
	"time"
)

// kinds is a set of types that a column may have.
type kinds uint8

const (
	integer   kinds = 1 << iota
	number          // integers are numbers
	boolean         //
	date            //
	timestamp       // dates are timestamps
	allKinds  = integer | number | boolean | date | timestamp
)

func (k kinds) any(of kinds) bool { return k&of != 0 }

// name returns the narrowest type of the set.
func (k kinds) name() string {
	switch {
	case k.any(integer):
		return "integer"
	case k.any(number):
		return "number"
	case k.any(boolean):
		return "boolean"
	case k.any(date):
		return "date"
	case k.any(timestamp):
		return "timestamp"
	}
	return "string"
}

func isNull(value string) bool {
	switch value {
	case "", "NULL", "null", `\N`:
		return true
	}
	return false
}

func isBoolean(value string) bool {
	return strings.EqualFold(value, "true") || strings.EqualFold(value, "false")
}

// parseNumber reads a decimal number such as -12, 0.5, .5 or 6.02e23; whole if it is written as an integer.
// It is stricter than [strconv.ParseFloat], which also takes "inf" and hexadecimals, and refuses leading zeros.
func parseNumber(s string) (n float64, whole, ok bool) {
	rest := s
	if rest != "" && (rest[0] == '-' || rest[0] == '+') {
		rest = rest[1:]
	}
	digits := countDigits(rest)
	if digits > 1 && rest[0] == '0' {
		return 0, false, false
	}
	rest = rest[digits:]
	whole = digits > 0 && rest == ""
	if fraction, found := strings.CutPrefix(rest, "."); found {
		n := countDigits(fraction)
		if n == 0 {
			return 0, false, false
		}
		digits, rest = digits+n, fraction[n:]
	}
	if digits == 0 {
		return 0, false, false
	}
	if rest != "" && (rest[0] == 'e' || rest[0] == 'E') {
		exponent := rest[1:]
		if exponent != "" && (exponent[0] == '-' || exponent[0] == '+') {
			exponent = exponent[1:]
		}
		if exponent == "" || countDigits(exponent) != len(exponent) {
			return 0, false, false
		}
		rest = ""
	}
	if rest != "" {
		return 0, false, false
	}
	n, err := strconv.ParseFloat(s, 64)
	return n, whole, err == nil // the only error left is a number beyond what JSON readers could take
}

func countDigits(s string) int {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return i
		}
	}
	return len(s)
}

// compareIntegers orders two integers of any size by their text; 0 if one of them is not an integer in text.
func compareIntegers(a, b string) int {
	aDigits, aSign := unsigned(a)
	bDigits, bSign := unsigned(b)
	switch {
	case countDigits(aDigits) != len(aDigits) || countDigits(bDigits) != len(bDigits) || aSign != bSign:
		return 0 // called for equals only: different signs mean zero
	case len(aDigits) != len(bDigits):
		return aSign * (len(aDigits) - len(bDigits))
	}
	return aSign * strings.Compare(aDigits, bDigits)
}

func unsigned(s string) (digits string, sign int) {
	if digits, ok := strings.CutPrefix(s, "-"); ok {
		return digits, -1
	}
	return strings.TrimPrefix(s, "+"), 1
}

// layouts are those of a timestamp. A fraction of a second is taken behind any of them that has seconds.
var layouts = []string{
	"2006-01-02T15:04:05Z07:00", "2006-01-02 15:04:05Z07:00",
	"2006-01-02 15:04:05", "2006-01-02T15:04:05",
	"2006-01-02 15:04", "2006-01-02T15:04", "2006-01-02T15:04Z07:00",
}

// layout is the one that was found last, by its index in layouts: a column mostly keeps to one,
// and the errors of time.Parse for the others are dear.
type layout int

// parse reads a timestamp or a date; day if it is the latter.
func (l *layout) parse(s string) (at time.Time, day, ok bool) {
	if len(s) < len(time.DateOnly) || len(s) > len("2006-01-02T15:04:05.999999999+07:00") || s[4] != '-' || s[7] != '-' {
		return time.Time{}, false, false
	}
	if len(s) == len(time.DateOnly) {
		at, err := time.Parse(time.DateOnly, s)
		return at, true, err == nil
	}
	for i := range layouts {
		i = (i + int(*l)) % len(layouts)
		if at, err := time.Parse(layouts[i], s); err == nil {
			*l = layout(i)
			return at, false, true
		}
	}
	return time.Time{}, false, false
}
