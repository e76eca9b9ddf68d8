package typeschema

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

const (
	maxCompiled    = 512       // schemas kept; a fleet has as many as it has types and versions of them
	maxSchemaBytes = 256 << 10 // a schema comes from Redis, where anybody with access may have written it
)

// Validator holds documents against schemas and keeps every schema compiled. The zero value is ready to use,
// by many goroutines at once.
type Validator struct {
	mu       sync.Mutex
	compiled map[[sha256.Size]byte]compiled
}

type compiled struct {
	schema *jsonschema.Schema
	source any // the schema as JSON, to look up what it allows
	err    error
}

// Fault is one reason why a document does not fit.
type Fault struct {
	// Path says where, from the document's root: "sizes[0].width"; empty for the root itself.
	Path    string
	Message string // what is wrong, and what would be right
	Value   any    // what stands there; nil where something is missing
}

// Check returns every fault of the document, or none if it fits. A nil or empty schema fits everything.
// The error is about the schema: it is not one, or refers to something outside itself.
func (v *Validator) Check(schema json.RawMessage, document []byte) ([]Fault, error) {
	if len(schema) == 0 {
		return nil, nil
	}
	c := v.compile(schema)
	if c.err != nil {
		return nil, fmt.Errorf("compile schema: %w", c.err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
	if err != nil {
		return []Fault{{Message: "is not JSON: " + err.Error()}}, nil
	}
	err = c.schema.Validate(value)
	if err == nil {
		return nil, nil
	}
	invalid, ok := errors.AsType[*jsonschema.ValidationError](err)
	if !ok {
		return nil, fmt.Errorf("validate: %w", err)
	}
	r := report{document: value, schema: c.source}
	r.add(invalid)
	return r.faults, nil
}

func (v *Validator) compile(schema json.RawMessage) compiled {
	key := sha256.Sum256(schema)
	v.mu.Lock()
	defer v.mu.Unlock()
	c, ok := v.compiled[key]
	if ok {
		return c
	}
	c = compile(schema)
	if v.compiled == nil || len(v.compiled) >= maxCompiled {
		v.compiled = make(map[[sha256.Size]byte]compiled) // simpler than an LRU, and as good for what never fills
	}
	v.compiled[key] = c
	return c
}

// location is the name under which a schema is compiled; nothing is ever loaded from it.
const location = "seri:schema"

func compile(schema json.RawMessage) (c compiled) {
	if len(schema) > maxSchemaBytes {
		return compiled{err: fmt.Errorf("it has %d bytes, the limit is %d", len(schema), maxSchemaBytes)}
	}
	if c.source, c.err = jsonschema.UnmarshalJSON(bytes.NewReader(schema)); c.err != nil {
		return c
	}
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(noLoader{})
	compiler.AssertFormat()
	compiler.AssertContent()
	for _, f := range formats() {
		compiler.RegisterFormat(f)
	}
	if c.err = compiler.AddResource(location, c.source); c.err != nil {
		return c
	}
	c.schema, c.err = compiler.Compile(location)
	return c
}

// noLoader keeps a schema from reading files, which the library would do for it.
type noLoader struct{}

func (noLoader) Load(url string) (any, error) {
	return nil, fmt.Errorf("it refers to %q; a schema must stand alone", url)
}
