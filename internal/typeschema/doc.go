// Package typeschema turns Go types into JSON Schemas, and holds JSON against them.
//
// A worker calls [For] on the argument and result types of its handlers and publishes what comes out; the API calls
// [Validator.Check] on the payloads that it is given. The two agree with package encoding/json: a document that
// fits the schema of a type decodes into that type, so a payload that has been accepted does not fail in the
// worker for its shape. Three things are stricter than encoding/json, because callers of an API are better served
// by a refusal than by a guess: an unknown field is a fault, a field's name has one spelling, and null stands only
// for what is nil in Go (pointers, slices, maps, interfaces).
//
// A field is optional if its json tag says omitempty or omitzero. These struct tags refine a field's schema:
//
//	jsonschema        what the field means, in plain text
//	example, default  a value: text for strings, JSON for everything else
//	enum              the values allowed, separated by commas
//	format, pattern   of a string
//	minimum, maximum, minLength, maxLength
//	minItems, maxItems
//
// All but the last two are, on a slice, about each of its elements. The formats that are checked are those of JSON Schema,
// and http-url and http-or-file-url: an absolute URL of such a scheme.
//
// Not promised: the shape of types with a MarshalJSON of their own (anything is accepted for them), and rules
// that span fields.
package typeschema
