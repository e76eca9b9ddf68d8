package typeschema

import (
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// formats are the formats that decide whether encoding/json can decode a value. JSON Schema alone cannot say it:
// its "integer" includes 1.0 and 1e3, and its "date-time" includes leap seconds.
func formats() []*jsonschema.Format {
	parsers := map[string]func(string) error{
		"float": float(32), "double": float(64), "boolean": boolean, "string": text,
	}
	for _, bits := range []int{8, 16, 32, 64} {
		parsers["int"+strconv.Itoa(bits)] = signed(bits)
		parsers["uint"+strconv.Itoa(bits)] = unsigned(bits)
	}
	all := []*jsonschema.Format{
		{Name: "date-time", Validate: dateTime},
		{Name: "http-url", Validate: absolute("http", "https")},
		{Name: "http-or-file-url", Validate: absolute("http", "https", "file")},
	}
	for name, parse := range parsers {
		all = append(all,
			&jsonschema.Format{Name: name, Validate: numbers(parse)},
			&jsonschema.Format{Name: quotedPrefix + name, Validate: quoted(parse)},
		)
	}
	return all
}

// quotedPrefix precedes the format of a literal that stands inside a string: of a field with the ",string" option, and of
// the key of a map with numbers for keys.
const quotedPrefix = "quoted-"

func dateTime(v any) error {
	text, ok := v.(string)
	if !ok {
		return nil // that it is not a string is the fault of "type"
	}
	// Through UnmarshalJSON, which is stricter than time.Parse.
	if err := new(time.Time).UnmarshalJSON([]byte(strconv.Quote(text))); err != nil {
		return errors.New("want RFC 3339, such as 2026-01-31T13:45:00Z")
	}
	return nil
}

// absolute checks a URL of one of these schemes, as net/url reads it.
func absolute(schemes ...string) func(any) error {
	return func(v any) error {
		text, ok := v.(string)
		if !ok {
			return nil
		}
		u, err := url.Parse(text)
		if err == nil && slices.Contains(schemes, u.Scheme) && (u.Scheme == "file" || u.Host != "") {
			return nil
		}
		if slices.Contains(schemes, "file") {
			return errors.New("want an http, https or file URL, such as https://example.com/a or file:a.csv")
		}
		return errors.New("want an http or https URL, such as https://example.com/a")
	}
}

// numbers checks a number's literal, or, for what is quoted, the one inside a string.
func numbers(parse func(string) error) func(any) error {
	return func(v any) error {
		n, ok := v.(json.Number)
		if !ok {
			return nil
		}
		return explain(string(n), parse(string(n)))
	}
}

func quoted(parse func(string) error) func(any) error {
	return func(v any) error {
		text, ok := v.(string)
		if !ok {
			return nil
		}
		if !json.Valid([]byte(text)) { // "+1", "007", "0x1": read by strconv, not by encoding/json
			return errors.New("want a literal in quotes, such as \"12\"")
		}
		return explain(text, parse(text))
	}
}

// explain says why encoding/json would not decode a literal.
func explain(literal string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, strconv.ErrSyntax) && strings.ContainsAny(literal, ".eE"):
		return errors.New("write it without a point or an exponent")
	case errors.Is(err, strconv.ErrSyntax) && !strings.HasPrefix(literal, "-"):
		return errors.New("want a literal in quotes, such as \"12\"")
	default: // too large, or a minus sign before something unsigned
		return errors.New("out of range")
	}
}

func signed(bits int) func(string) error {
	return func(s string) error { _, err := strconv.ParseInt(s, 10, bits); return err }
}

func unsigned(bits int) func(string) error {
	return func(s string) error { _, err := strconv.ParseUint(s, 10, bits); return err }
}

func float(bits int) func(string) error {
	return func(s string) error { _, err := strconv.ParseFloat(s, bits); return err }
}

func boolean(s string) error { _, err := strconv.ParseBool(s); return err }

func text(s string) error { return json.Unmarshal([]byte(s), new(string)) }
