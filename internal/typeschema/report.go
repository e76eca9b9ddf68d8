package typeschema

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// maxFaults bounds an answer about a document that is wrong throughout.
const maxFaults = 50

// report turns the library's tree of errors into a flat list in plain words.
type report struct {
	document any
	schema   any
	faults   []Fault
}

func (r *report) add(e *jsonschema.ValidationError) {
	path := e.InstanceLocation
	value := lookUp(r.document, path)
	switch k := e.ErrorKind.(type) {
	case *kind.Required:
		for _, name := range k.Missing {
			r.fault(append(slices.Clip(path), name), nil, "is missing")
		}
	case *kind.AdditionalProperties:
		known := r.knownProperties(e.SchemaURL)
		for _, name := range slices.Sorted(slices.Values(k.Properties)) {
			at := append(slices.Clip(path), name)
			r.fault(at, lookUp(r.document, at), "is not a known field; "+known)
		}
	case *kind.Type:
		r.fault(path, value, fmt.Sprintf("is %s, must be %s", article(k.Got), wanted(k.Want)))
	case *kind.PropertyNames:
		r.fault(append(slices.Clip(path), k.Property), nil, "is not a key that is allowed here: "+cause(e))
	case *kind.AnyOf, *kind.OneOf:
		r.alternatives(e)
	case *kind.Enum, *kind.Const:
		r.fault(path, value, lower(e.ErrorKind))
	case *kind.Format:
		// The library's words quote the value, which stands beside the message anyway.
		r.fault(path, value, fmt.Sprintf("is not a valid %s: %v", k.Want, k.Err))
	case *kind.Pattern:
		r.fault(path, value, "does not match the pattern "+k.Want)
	case *kind.ContentEncoding:
		r.fault(path, value, "is not "+k.Want)
	case *kind.MinLength:
		r.fault(path, value, fmt.Sprintf("has %d characters, must have %d or more", k.Got, k.Want))
	case *kind.MaxLength:
		r.fault(path, value, fmt.Sprintf("has %d characters, must have %d or fewer", k.Got, k.Want))
	case *kind.MinItems:
		r.fault(path, nil, fmt.Sprintf("has %d elements, must have %d or more", k.Got, k.Want))
	case *kind.MaxItems:
		r.fault(path, nil, fmt.Sprintf("has %d elements, must have %d or fewer", k.Got, k.Want))
	case *kind.Minimum:
		r.fault(path, value, "must be "+k.Want.RatString()+" or more")
	case *kind.Maximum:
		r.fault(path, value, "must be "+k.Want.RatString()+" or less")
	default:
		if len(e.Causes) == 0 {
			r.fault(path, value, lower(e.ErrorKind))
			return
		}
		for _, cause := range e.Causes {
			r.add(cause)
		}
	}
}

// alternatives reports a failed anyOf. "A pointer to something, or null" is one: then only what is wrong with the
// something is worth telling, unless the value is of another type altogether.
func (r *report) alternatives(e *jsonschema.ValidationError) {
	var substantial []*jsonschema.ValidationError
	for _, cause := range e.Causes {
		if k, ok := cause.ErrorKind.(*kind.Type); ok && slices.Equal(k.Want, []string{"null"}) {
			continue
		}
		substantial = append(substantial, cause)
	}
	if len(substantial) == 1 {
		r.add(substantial[0])
		return
	}
	r.fault(e.InstanceLocation, lookUp(r.document, e.InstanceLocation), "fits none of the forms allowed here")
}

// cause digs out why a property's name is wrong.
func cause(e *jsonschema.ValidationError) string {
	for len(e.Causes) > 0 {
		e = e.Causes[0]
	}
	if k, ok := e.ErrorKind.(*kind.Format); ok {
		return k.Err.Error()
	}
	return lower(e.ErrorKind)
}

func (r *report) fault(path []string, value any, message string) {
	if len(r.faults) < maxFaults {
		r.faults = append(r.faults, Fault{Path: r.spell(path), Message: message, Value: value})
	}
}

// spell writes a path the way people do: "sizes[0].width". Only the document knows whether "0" is an index.
func (r *report) spell(path []string) string {
	var b strings.Builder
	at := r.document
	for _, step := range path {
		if _, ok := at.([]any); ok {
			b.WriteString("[" + step + "]")
		} else {
			if b.Len() > 0 {
				b.WriteByte('.')
			}
			b.WriteString(step)
		}
		at = lookUp(at, []string{step})
	}
	return b.String()
}

// knownProperties says what the schema at a URL allows. The URL ends in a JSON pointer (RFC 6901).
func (r *report) knownProperties(at string) string {
	_, pointer, _ := strings.Cut(at, "#")
	if plain, err := url.PathUnescape(pointer); err == nil {
		pointer = plain
	}
	var path []string
	for step := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		if step != "" {
			path = append(path, strings.NewReplacer("~1", "/", "~0", "~").Replace(step))
		}
	}
	properties, _ := lookUp(r.schema, append(path, "properties")).(map[string]any)
	if len(properties) == 0 {
		return "there must be none"
	}
	return "known are " + strings.Join(slices.Sorted(maps.Keys(properties)), ", ")
}

func lookUp(v any, path []string) any {
	for _, step := range path {
		switch container := v.(type) {
		case map[string]any:
			v = container[step]
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i < 0 || i >= len(container) {
				return nil
			}
			v = container[i]
		default:
			return nil
		}
	}
	return v
}

func article(jsonType string) string {
	switch jsonType {
	case "null":
		return "null"
	case "array", "object", "integer":
		return "an " + jsonType
	}
	return "a " + jsonType
}

func wanted(types []string) string {
	words := make([]string, len(types))
	for i, t := range types {
		words[i] = article(t)
	}
	return strings.Join(words, " or ")
}

// lower gives the library's own words, for the keywords that [For] never writes.
func lower(k jsonschema.ErrorKind) string {
	return k.LocalizedString(message.NewPrinter(language.English))
}
