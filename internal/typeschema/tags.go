package typeschema

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// refine adds what the tags of a field of type t say; the package comment lists them.
func (s *schema) refine(t reflect.Type, tag reflect.StructTag) error {
	var errs []error
	each := func(name string, apply func(value string) error) {
		value, ok := tag.Lookup(name)
		if !ok {
			return
		}
		if err := apply(value); err != nil {
			errs = append(errs, fmt.Errorf("tag %s:%q: %w", name, value, err))
		}
	}

	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	each("jsonschema", func(v string) error { s.Description = v; return nil })
	each("example", func(v string) error {
		example, err := literal(t, v)
		s.Examples = append(s.Examples, example)
		return err
	})
	each("default", func(v string) (err error) { s.Default, err = literal(t, v); return err })
	each("minItems", func(v string) (err error) {
		if s.MinItems, err = count(v); err == nil && *s.MinItems > 0 {
			s.Type = slices.DeleteFunc(s.Type, func(t string) bool { return t == "null" }) // which has none
		}
		return err
	})
	each("maxItems", func(v string) (err error) { s.MaxItems, err = count(v); return err })
	one, typ := s, t // what is said of one value is, on a slice, said of each of its elements
	if t.Kind() == reflect.Slice && s.Items != nil {
		one, typ = s.Items, t.Elem()
	}
	each("format", func(v string) error { one.Format = v; return nil })
	each("pattern", func(v string) error { one.Pattern = v; _, err := regexp.Compile(v); return err })
	each("minimum", func(v string) (err error) { one.Minimum, err = number(v); return err })
	each("maximum", func(v string) (err error) { one.Maximum, err = number(v); return err })
	each("minLength", func(v string) (err error) { one.MinLength, err = count(v); return err })
	each("maxLength", func(v string) (err error) { one.MaxLength, err = count(v); return err })
	each("enum", func(v string) error { return one.allow(typ, v) })
	return errors.Join(errs...)
}

// allow limits s to the values listed, and to null where s has allowed it before.
func (s *schema) allow(t reflect.Type, list string) error {
	for value := range strings.SplitSeq(list, ",") {
		encoded, err := literal(t, value)
		if err != nil {
			return err
		}
		s.Enum = append(s.Enum, encoded)
	}
	if len(s.Type) > 1 {
		s.Enum = append(s.Enum, json.RawMessage("null"))
	}
	return nil
}

// literal is a value of type t as it stands in a tag: text for strings, JSON for everything else.
func literal(t reflect.Type, text string) (json.RawMessage, error) {
	if t.Kind() == reflect.String || t == timeType || hasMethod(t, textMarshalerType) && !hasMethod(t, marshalerType) {
		return json.Marshal(text)
	}
	if !json.Valid([]byte(text)) {
		return nil, errors.New("is not JSON")
	}
	return json.RawMessage(text), nil
}

func number(text string) (json.Number, error) {
	if _, err := strconv.ParseFloat(text, 64); err != nil || !json.Valid([]byte(text)) {
		return "", errors.New("is not a number")
	}
	return json.Number(text), nil
}

func count(text string) (*int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return nil, errors.New("is not a count")
	}
	return &n, nil
}
