package typeschema_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/seri-queue/seri/internal/typeschema"
)

func TestFaultsNameTheFieldAndWhatWouldBeRight(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		of       reflect.Type
		document string
		want     []string
	}{
		"it fits": {reflect.TypeFor[thumbnail](), `{"source":"https://a","sizes":[1],"format":"png"}`, nil},
		"a field is missing": {reflect.TypeFor[thumbnail](), `{"sizes":[1]}`, []string{
			`source: is missing`}},
		"a field is misspelt": {reflect.TypeFor[thumbnail](), `{"source":"https://a","size":[1],"sizes":[1]}`, []string{
			`size: is not a known field; known are format, sizes, source`}},
		"an element has the wrong type": {reflect.TypeFor[thumbnail](), `{"source":"https://a","sizes":[1,"2"]}`, []string{
			`sizes[1]: is a string, must be an integer`}},
		"a fraction where an integer must be": {reflect.TypeFor[thumbnail](), `{"source":"https://a","sizes":[1.5]}`, []string{
			`sizes[0]: is a number, must be an integer`}},
		"an integer that Go would not decode": {reflect.TypeFor[thumbnail](), `{"source":"https://a","sizes":[1e2]}`, []string{
			`sizes[0]: is not a valid int64: write it without a point or an exponent`}},
		"an integer that is too large": {reflect.TypeFor[thumbnail](), `{"source":"https://a","sizes":[9223372036854775808]}`, []string{
			`sizes[0]: is not a valid int64: out of range`}},
		"too few elements": {reflect.TypeFor[thumbnail](), `{"source":"https://a","sizes":[]}`, []string{
			`sizes: has 0 elements, must have 1 or more`}},
		"a value that is not in the list": {reflect.TypeFor[thumbnail](), `{"source":"https://a","sizes":[1],"format":"bmp"}`, []string{
			`format: value must be one of 'jpeg', 'png'`}},
		"several faults are told at once": {reflect.TypeFor[thumbnail](), `{"sizes":7,"Format":"png"}`, []string{
			`Format: is not a known field; known are format, sizes, source`, `sizes: is a number, must be an array`, `source: is missing`}},
		"the document has the wrong type": {reflect.TypeFor[thumbnail](), `[]`, []string{`: is an array, must be an object`}},
		"a fault deep in a recursive type": {reflect.TypeFor[tree](), `{"name":"a","children":[{"name":"b","left":{"nam":"c","name":""}}]}`, []string{
			`children[0].left.nam: is not a known field; known are by_name, children, left, name`}},
		"a time that Go would not decode": {reflect.TypeFor[struct {
			At string `json:"at" format:"date-time"`
		}](), `{"at":"2026-06-30T23:59:60Z"}`, []string{`at: is not a valid date-time: want RFC 3339, such as 2026-01-31T13:45:00Z`}},
		"elements out of bounds": {reflect.TypeFor[struct {
			Sizes []int `json:"sizes" minimum:"1" maximum:"9"`
		}](), `{"sizes":[0,5,10]}`, []string{`sizes[0]: must be 1 or more`, `sizes[2]: must be 9 or less`}},
		"null where an element must be": {reflect.TypeFor[thumbnail](), `{"source":"https://a","sizes":null}`, []string{
			`sizes: is null, must be an array`}},
		"a text of another form": {reflect.TypeFor[struct {
			Code string `json:"code" pattern:"^[A-Z]+$"`
		}](), `{"code":"a"}`, []string{`code: does not match the pattern ^[A-Z]+$`}},
		"a URL of another scheme": {reflect.TypeFor[struct {
			A string `json:"a" format:"http-url"`
			B string `json:"b" format:"http-url"`
			C string `json:"c" format:"http-or-file-url"`
			D string `json:"d" format:"http-or-file-url"`
		}](), `{"a":"HTTP://x","b":"file:x","c":"file:x","d":"x"}`, []string{
			`b: is not a valid http-url: want an http or https URL, such as https://example.com/a`,
			`d: is not a valid http-or-file-url: want an http, https or file URL, such as https://example.com/a or file:a.csv`}},
		"bytes that are not base64": {reflect.TypeFor[struct {
			B []byte `json:"b"`
		}](), `{"b":"?"}`, []string{`b: is not base64`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			schema, err := typeschema.For(c.of)
			if err != nil {
				t.Fatal(err)
			}

			faults, err := new(typeschema.Validator).Check(schema, []byte(c.document))

			if err != nil {
				t.Fatal(err)
			}
			got := map[string]bool{}
			for _, f := range faults {
				got[f.Path+": "+f.Message] = true
			}
			want := map[string]bool{}
			for _, w := range c.want {
				want[w] = true
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("faults\n got %v\nwant %v", got, want)
			}
		})
	}
}

func TestSchemasThatDoNotServeAreErrorsNotFaults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ schema, want string }{
		"not JSON":              {`{`, "compile schema"},
		"not a schema":          {`{"type":7}`, "compile schema"},
		"reads a file":          {`{"$ref":"file:///etc/passwd"}`, "must stand alone"},
		"reads from the net":    {`{"$ref":"http://169.254.169.254/"}`, "must stand alone"},
		"too large":             {`{"description":"` + strings.Repeat("x", 300<<10) + `"}`, "the limit is"},
		"a pattern out of hand": {`{"pattern":"(?<name"}`, "compile schema"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			_, err := new(typeschema.Validator).Check(json.RawMessage(c.schema), []byte(`{}`))

			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v, want one with %q", err, c.want)
			}
		})
	}
}

func TestASchemaThatRefersToItselfAloneEnds(t *testing.T) {
	t.Parallel()

	faults, err := new(typeschema.Validator).Check(json.RawMessage(`{"$ref":"#"}`), []byte(`{}`))

	if err == nil && len(faults) == 0 {
		t.Error("a schema without a bottom accepted a document")
	}
}

func TestFaultsAreBounded(t *testing.T) {
	t.Parallel()
	schema, err := typeschema.For(reflect.TypeFor[[]int]())
	if err != nil {
		t.Fatal(err)
	}

	faults, err := new(typeschema.Validator).Check(schema, []byte("["+strings.Repeat(`"x",`, 1000)+`"x"]`))

	if err != nil || len(faults) != 50 {
		t.Errorf("%d faults, error %v; want 50", len(faults), err)
	}
}

func BenchmarkCheck(b *testing.B) {
	schema, err := typeschema.For(reflect.TypeFor[thumbnail]())
	if err != nil {
		b.Fatal(err)
	}
	document := fmt.Appendf(nil, `{"source":%q,"sizes":[64,256,1024]}`, "https://example.com/photo.jpeg")
	var validator typeschema.Validator
	for b.Loop() {
		if faults, err := validator.Check(schema, document); err != nil || len(faults) > 0 {
			b.Fatal(faults, err)
		}
	}
}
