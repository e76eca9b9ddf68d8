package typeschema

import (
	"cmp"
	"reflect"
	"slices"
	"strings"
)

// field is a struct field as encoding/json sees it.
type field struct {
	reflect.StructField
	json     string // its name in JSON
	tagged   bool   // the name comes from the tag
	optional bool
	quoted   bool // the ",string" option
	index    []int
}

// fieldsOf returns the fields that encoding/json reads and writes, in the order of the declaration. Fields of embedded
// structs are promoted; of several with one name the shallowest wins, then the tagged one, and if that does
// not decide, none (as documented at [encoding/json.Marshal]).
func fieldsOf(t reflect.Type) []field {
	var candidates []field
	collect(t, nil, false, map[reflect.Type]bool{}, &candidates)

	byName := map[string][]field{}
	for _, f := range candidates {
		byName[f.json] = append(byName[f.json], f)
	}
	var fields []field
	for _, same := range byName {
		slices.SortStableFunc(same, func(a, b field) int {
			if n := cmp.Compare(len(a.index), len(b.index)); n != 0 {
				return n
			}
			switch {
			case a.tagged && !b.tagged:
				return -1
			case b.tagged && !a.tagged:
				return 1
			}
			return 0
		})
		if len(same) > 1 && len(same[0].index) == len(same[1].index) && same[0].tagged == same[1].tagged {
			continue
		}
		fields = append(fields, same[0])
	}
	slices.SortFunc(fields, func(a, b field) int { return slices.Compare(a.index, b.index) })
	return fields
}

// collect appends the fields of t, which sits at index below the outermost struct. optional: it sits behind a pointer,
// so its fields may be missing altogether. open guards against a struct that embeds a pointer to itself.
func collect(t reflect.Type, index []int, optional bool, open map[reflect.Type]bool, into *[]field) {
	if open[t] {
		return
	}
	open[t] = true
	defer delete(open, t)

	for i := range t.NumField() {
		f := t.Field(i)
		tag, _ := f.Tag.Lookup("json")
		if tag == "-" {
			continue
		}
		name, options, _ := strings.Cut(tag, ",")
		has := func(option string) bool { return slices.Contains(strings.Split(options, ","), option) }
		at := append(slices.Clone(index), i)

		inner, pointer := f.Type, false
		if inner.Kind() == reflect.Pointer {
			inner, pointer = inner.Elem(), true
		}
		if f.Anonymous && name == "" && inner.Kind() == reflect.Struct {
			collect(inner, at, optional || pointer, open, into)
			continue
		}
		if !f.IsExported() {
			continue
		}
		*into = append(*into, field{
			StructField: f,
			json:        cmp.Or(name, f.Name),
			tagged:      name != "",
			optional:    optional || has("omitempty") || has("omitzero"),
			quoted:      has("string") && quotable(inner.Kind()),
			index:       at,
		})
	}
}

// quotable reports whether the ",string" option has an effect on a kind.
func quotable(k reflect.Kind) bool {
	return k == reflect.Bool || k == reflect.String || reflect.Int <= k && k <= reflect.Float64
}
