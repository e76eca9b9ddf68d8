package typeschema_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/seri-queue/seri/internal/typeschema"
)

type (
	thumbnail struct {
		Source string `json:"source" jsonschema:"Where the picture is." format:"uri" example:"https://example.com/a.jpeg"`
		Sizes  []int  `json:"sizes" minItems:"1" maxItems:"3"`
		Format string `json:"format,omitempty" enum:"jpeg,png"`
	}
	tree struct {
		Name     string           `json:"name"`
		Left     *tree            `json:"left,omitempty"`
		Children []tree           `json:"children,omitempty"`
		ByName   map[string]*tree `json:"by_name,omitempty"`
	}
	nested map[string]nested

	base struct {
		ID    int64  `json:"id"`
		Shade string `json:"shade"`
	}
	optionalBase struct {
		Extra string `json:"extra"`
	}
	embedding struct {
		base
		*optionalBase
		Shade int `json:"shade"` // hides the embedded one
	}
	left     struct{ Both int }
	right    struct{ Both int }
	ambigous struct {
		left
		right
	}
	page[T any] struct {
		Items []T      `json:"items"`
		Next  *page[T] `json:"next,omitempty"`
	}
	everything struct {
		Bool     bool              `json:"bool"`
		Int8     int8              `json:"int8"`
		Uint     uint              `json:"uint"`
		Float    float32           `json:"float"`
		Any      any               `json:"any"`
		Raw      json.RawMessage   `json:"raw"`
		Bytes    []byte            `json:"bytes"`
		Pair     [2]string         `json:"pair"`
		When     time.Time         `json:"when"`
		Maybe    *time.Time        `json:"maybe"`
		Labels   map[string]string `json:"labels"`
		ByNumber map[int]bool      `json:"by_number"`
		Quoted   int64             `json:"quoted,string"`
		Skipped  string            `json:"-"`
		hidden   string
		Plain    string
	}
)

func TestSchemas(t *testing.T) {
	t.Parallel()
	const head = `{"$schema":"https://json-schema.org/draft/2020-12/schema",`
	for name, c := range map[string]struct {
		of   reflect.Type
		want string
	}{
		"no type means any JSON": {nil, ``},
		"a struct names, orders and refines its fields": {reflect.TypeFor[thumbnail](), head +
			`"type":"object","properties":{` +
			`"source":{"description":"Where the picture is.","examples":["https://example.com/a.jpeg"],"type":"string","format":"uri"},` +
			`"sizes":{"type":"array","items":{"type":"integer","format":"int64"},"minItems":1,"maxItems":3},` +
			`"format":{"type":"string","enum":["jpeg","png"]}},` +
			`"required":["source","sizes"],"additionalProperties":false}`},
		"an empty struct has no fields": {reflect.TypeFor[struct{}](), head + `"type":"object","additionalProperties":false}`},
		"a recursive type refers to itself": {reflect.TypeFor[nested](), head +
			`"$ref":"#/$defs/nested","$defs":{"nested":{"type":["object","null"],"additionalProperties":{"$ref":"#/$defs/nested"}}}}`},
		"promoted fields obey encoding/json": {reflect.TypeFor[embedding](), head +
			`"type":"object","properties":{"id":{"type":"integer","format":"int64"},"extra":{"type":"string"},"shade":{"type":"integer","format":"int64"}},` +
			`"required":["id","shade"],"additionalProperties":false}`},
		"fields that hide each other are not there": {reflect.TypeFor[ambigous](), head + `"type":"object","additionalProperties":false}`},
		"a recursive generic type has a plain name": {reflect.TypeFor[page[int]](), head +
			`"$ref":"#/$defs/page_int_","$defs":{"page_int_":{"type":"object","properties":{` +
			`"items":{"type":["array","null"],"items":{"type":"integer","format":"int64"}},` +
			`"next":{"anyOf":[{"$ref":"#/$defs/page_int_"},{"type":"null"}]}},"required":["items"],"additionalProperties":false}}}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			got, err := typeschema.For(c.of)

			if err != nil {
				t.Fatal(err)
			}
			if string(got) != c.want {
				t.Errorf("schema\n got %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestTypesWithoutAFormInJSONAreRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		of   reflect.Type
		want string
	}{
		"a channel":               {reflect.TypeFor[struct{ C chan int }](), "field C: a chan has no form in JSON"},
		"a function in a slice":   {reflect.TypeFor[[]func()](), "element: a func has no form in JSON"},
		"a map with complex keys": {reflect.TypeFor[map[complex64]int](), "a map's key of type complex64 has no form in JSON"},
		"a limit that is no number": {reflect.TypeFor[struct {
			N []int `minItems:"few"`
		}](), `field N: tag minItems:"few": is not a count`},
		"an example that is no JSON": {reflect.TypeFor[struct {
			N int `example:"one"`
		}](), `field N: tag example:"one": is not JSON`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			_, err := typeschema.For(c.of)

			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v, want one with %q", err, c.want)
			}
		})
	}
}

// What a Go program sends must fit, whatever it has left empty.
func TestWhatGoEncodesFits(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for name, v := range map[string]any{
		"empty values":        everything{},
		"full values":         everything{Bool: true, Int8: -128, Uint: 1 << 63, Float: 1.5, Any: map[string]any{"a": 1}, Raw: json.RawMessage(`[1]`), Bytes: []byte{1, 2}, When: now, Maybe: &now, Labels: map[string]string{"a": "b"}, ByNumber: map[int]bool{-3: true}, Quoted: 7, Plain: "p", hidden: "h"},
		"a tree":              tree{Name: "a", Left: &tree{Name: "b"}, Children: []tree{{Name: "c"}}, ByName: map[string]*tree{"d": nil}},
		"an embedded nil":     embedding{},
		"a recursive map":     nested{"a": {"b": nil}},
		"a nil recursive map": nested(nil),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			schema, err := typeschema.For(reflect.TypeOf(v))
			if err != nil {
				t.Fatal(err)
			}
			document, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}

			faults, err := new(typeschema.Validator).Check(schema, document)

			if err != nil || len(faults) > 0 {
				t.Errorf("%s\ndoes not fit %s: %v, %v", document, schema, faults, err)
			}
		})
	}
}

// The promise of the package: what has been checked decodes.
func FuzzWhatFitsDecodes(f *testing.F) {
	schema, err := typeschema.For(reflect.TypeFor[everything]())
	if err != nil {
		f.Fatal(err)
	}
	for _, v := range []everything{{}, {Bool: true, Bytes: []byte("x"), When: time.Unix(0, 0), Labels: map[string]string{"a": "b"}, ByNumber: map[int]bool{1: true}}} {
		seed, err := json.Marshal(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(seed)
		f.Add(bytes.ReplaceAll(seed, []byte("0"), []byte("1e2")))
		f.Add(bytes.ReplaceAll(seed, []byte(`"0"`), []byte(`"x"`)))
		f.Add(bytes.ReplaceAll(seed, []byte(`"1"`), []byte(`"99999999999999999999"`)))
	}
	var validator typeschema.Validator
	f.Fuzz(func(t *testing.T, document []byte) {
		faults, err := validator.Check(schema, document)
		if err != nil {
			t.Fatal(err)
		}
		if len(faults) > 0 {
			return
		}
		var v everything
		if err := json.Unmarshal(document, &v); err != nil {
			t.Errorf("fits, but does not decode: %v\n%s", err, document)
		}
	})
}
