package schedule

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/seri-queue/seri"
)

// MaxPayloadDepth limits how deep lists and mappings may be nested in a payload, as in the HTTP API.
const MaxPayloadDepth = 32

// payload returns a YAML value as JSON. Mappings keep their order, numbers that JSON could spell alike keep every digit,
// and a date is the text that it is written as.
func (l *loader) payload(n *yaml.Node) []byte {
	e := jsonEncoder{loader: l}
	e.value(n, 0)
	return e.out.Bytes()
}

// jsonEncoder writes a tree of nodes as JSON. Aliases are written out; one that contains itself, or that multiplies,
// meets the limit of depth or of bytes.
type jsonEncoder struct {
	*loader
	out     bytes.Buffer
	tooDeep bool // has been told
	tooLong bool
}

func (e *jsonEncoder) value(n *yaml.Node, depth int) {
	n = dealiased(n)
	switch {
	case e.tooLong:
		return
	case e.out.Len() > seri.MaxPayloadBytes:
		e.tooLong = true
		e.fault(n, "payload has more than %d bytes here; store large data elsewhere and pass a reference", seri.MaxPayloadBytes)
		return
	case depth > MaxPayloadDepth:
		if !e.tooDeep {
			e.tooDeep = true
			e.fault(n, "payload is nested more than %d levels deep", MaxPayloadDepth)
		}
		e.out.WriteString("null") // counts, so that a tree of aliases ends
		return
	}
	switch n.Kind {
	case yaml.MappingNode:
		e.mapping(n, depth)
	case yaml.SequenceNode:
		e.out.WriteByte('[')
		for i, item := range n.Content {
			if i > 0 {
				e.out.WriteByte(',')
			}
			e.value(item, depth+1)
		}
		e.out.WriteByte(']')
	default:
		text, err := scalarJSON(n)
		if err != nil {
			e.fault(n, "payload: %w", err)
		}
		e.out.Write(text)
	}
}

func (e *jsonEncoder) mapping(n *yaml.Node, depth int) {
	e.out.WriteByte('{')
	seen := make(map[string]int, len(n.Content)/2)
	for pair := range slices.Chunk(n.Content, 2) {
		key := dealiased(pair[0])
		if e.tooLong || !e.isKey(key) {
			continue
		}
		if line, taken := seen[key.Value]; taken {
			e.fault(pair[0], "payload: %s is set on line %d already", key.Value, line)
			continue
		}
		if len(seen) > 0 {
			e.out.WriteByte(',')
		}
		seen[key.Value] = pair[0].Line
		e.out.Write(jsonText(key.Value))
		e.out.WriteByte(':')
		e.value(pair[1], depth+1)
	}
	e.out.WriteByte('}')
}

func scalarJSON(n *yaml.Node) ([]byte, error) {
	switch tag := n.ShortTag(); tag {
	case "!!str", "!!timestamp":
		return jsonText(n.Value), nil
	case "!!null":
		return []byte("null"), nil
	case "!!bool", "!!int", "!!float":
		if n.Style&yaml.TaggedStyle == 0 && json.Valid([]byte(n.Value)) {
			return []byte(n.Value), nil
		}
	default:
		return nil, fmt.Errorf("%s is of the type %s, which JSON does not have", n.Value, tag)
	}
	// A number, or a truth, that YAML spells in its own way.
	digits := strings.TrimLeft(n.Value, "+-")
	if len(digits) > 1 && digits[0] == '0' && strings.Trim(digits, "0123456789_") == "" {
		return nil, fmt.Errorf("%s is a number with a leading zero, which some read as octal: put it in quotes, or drop the zero", n.Value)
	}
	var v any
	if err := n.Decode(&v); err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if f, ok := v.(float64); ok && (math.IsNaN(f) || math.IsInf(f, 0)) {
		return nil, fmt.Errorf("%s has no form in JSON; write null or text", n.Value)
	}
	return json.Marshal(v)
}

// jsonText is a string in JSON, with <, > and & left readable: payloads are shown to people.
func jsonText(s string) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string always has a form, and a buffer takes it
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
