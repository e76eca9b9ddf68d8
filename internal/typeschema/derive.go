package typeschema

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// For returns the JSON Schema (2020-12) of the JSON that encoding/json reads into a value of type t.
// A nil type means any JSON: its schema is nil. The error names the field that has no form in JSON
// (a channel, a function, a complex number) or whose tags do not make sense.
//
// Own code, because the published derivers do not follow encoding/json closely enough to refuse a payload by:
// google/jsonschema-go refuses recursive types and takes []byte, json.RawMessage and other marshalers for what
// they are made of; invopop/jsonschema forbids the null that a nil slice becomes.
func For(t reflect.Type) (json.RawMessage, error) {
	if t == nil {
		return nil, nil
	}
	d := deriver{open: map[reflect.Type]bool{}, names: map[reflect.Type]string{}, defs: map[string]*schema{}}
	root, err := d.derive(t)
	if err != nil {
		return nil, fmt.Errorf("schema of %s: %w", t, err)
	}
	root.Dialect = dialect
	root.Defs = d.defs
	encoded, err := json.Marshal(root)
	if err != nil {
		return nil, fmt.Errorf("schema of %s: %w", t, err)
	}
	return encoded, nil
}

// deriver walks one type. Named types are written where they are used, and go to $defs only if they contain themselves.
type deriver struct {
	open  map[reflect.Type]bool   // being derived: meeting one again closes a circle
	names map[reflect.Type]string // in $defs, of the recursive types
	defs  map[string]*schema
}

var (
	timeType           = reflect.TypeFor[time.Time]()
	numberType         = reflect.TypeFor[json.Number]()
	marshalerType      = reflect.TypeFor[json.Marshaler]()
	unmarshalerType    = reflect.TypeFor[json.Unmarshaler]()
	textMarshalerType  = reflect.TypeFor[encoding.TextMarshaler]()
	textUnmarshalerTyp = reflect.TypeFor[encoding.TextUnmarshaler]()
)

func (d *deriver) derive(t reflect.Type) (*schema, error) {
	if t.Kind() == reflect.Pointer {
		s, err := d.derive(t.Elem())
		if err != nil {
			return nil, err
		}
		return s.nullable(), nil
	}
	switch {
	case t == timeType:
		return &schema{Type: oneOrMore{"string"}, Format: "date-time"}, nil
	case t == numberType:
		return &schema{Type: oneOrMore{"number"}}, nil
	case hasMethod(t, marshalerType) || hasMethod(t, unmarshalerType):
		return &schema{}, nil // json.RawMessage, and types whose form only their code knows
	case hasMethod(t, textMarshalerType) || hasMethod(t, textUnmarshalerTyp):
		return &schema{Type: oneOrMore{"string"}}, nil
	}
	switch t.Kind() {
	case reflect.Struct, reflect.Map, reflect.Slice, reflect.Array:
		return d.composite(t)
	}
	return scalar(t)
}

func scalar(t reflect.Type) (*schema, error) {
	switch t.Kind() {
	case reflect.Bool:
		return &schema{Type: oneOrMore{"boolean"}}, nil
	case reflect.String:
		return &schema{Type: oneOrMore{"string"}}, nil
	case reflect.Interface:
		return &schema{}, nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return &schema{Type: oneOrMore{"integer"}, Format: "int" + strconv.Itoa(t.Bits())}, nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return &schema{Type: oneOrMore{"integer"}, Format: "uint" + strconv.Itoa(t.Bits()), Minimum: "0"}, nil
	case reflect.Float32:
		return &schema{Type: oneOrMore{"number"}, Format: "float"}, nil
	case reflect.Float64:
		return &schema{Type: oneOrMore{"number"}, Format: "double"}, nil
	}
	return nil, fmt.Errorf("a %s has no form in JSON", t.Kind())
}

// composite derives what can contain itself.
func (d *deriver) composite(t reflect.Type) (*schema, error) {
	if t.Name() == "" {
		return d.contents(t)
	}
	if d.open[t] {
		if d.names[t] == "" {
			d.names[t] = d.freeName(t)
		}
		return d.ref(t), nil
	}
	if d.names[t] != "" {
		return d.ref(t), nil
	}

	d.open[t] = true
	s, err := d.contents(t)
	delete(d.open, t)
	if err != nil {
		return nil, err
	}
	if name := d.names[t]; name != "" {
		d.defs[name] = s
		return d.ref(t), nil
	}
	return s, nil
}

func (d *deriver) contents(t reflect.Type) (*schema, error) {
	switch t.Kind() {
	case reflect.Struct:
		return d.object(t)
	case reflect.Map:
		return d.mapping(t)
	case reflect.Slice:
		if e := t.Elem(); e.Kind() == reflect.Uint8 && !hasMethod(e, marshalerType) && !hasMethod(e, textMarshalerType) {
			return (&schema{Type: oneOrMore{"string"}, ContentEncoding: "base64"}).nullable(), nil
		}
		items, err := d.derive(t.Elem())
		if err != nil {
			return nil, fmt.Errorf("element: %w", err)
		}
		return (&schema{Type: oneOrMore{"array"}, Items: items}).nullable(), nil
	default: // an array
		items, err := d.derive(t.Elem())
		if err != nil {
			return nil, fmt.Errorf("element: %w", err)
		}
		return &schema{Type: oneOrMore{"array"}, Items: items, MinItems: new(t.Len()), MaxItems: new(t.Len())}, nil
	}
}

func (d *deriver) mapping(t reflect.Type) (*schema, error) {
	s := &schema{Type: oneOrMore{"object"}}
	key := t.Key()
	switch kind := key.Kind(); {
	case kind == reflect.String, hasMethod(key, textUnmarshalerTyp):
	case reflect.Int <= kind && kind <= reflect.Uintptr:
		number, err := scalar(key)
		if err != nil {
			return nil, err
		}
		s.PropertyNames = &schema{Format: quotedPrefix + number.Format}
	default:
		return nil, fmt.Errorf("a map's key of type %s has no form in JSON", key)
	}
	values, err := d.derive(t.Elem())
	if err != nil {
		return nil, fmt.Errorf("value: %w", err)
	}
	s.AdditionalProperties = values
	return s.nullable(), nil
}

func (d *deriver) object(t reflect.Type) (*schema, error) {
	s := &schema{Type: oneOrMore{"object"}, AdditionalProperties: false}
	for _, f := range fieldsOf(t) {
		field, err := d.field(f)
		if err != nil {
			return nil, fmt.Errorf("field %s: %w", f.Name, err)
		}
		s.Properties = append(s.Properties, property{f.json, field})
		if !f.optional {
			s.Required = append(s.Required, f.json)
		}
	}
	return s, nil
}

func (d *deriver) field(f field) (*schema, error) {
	s, err := d.derive(f.Type)
	if err != nil {
		return nil, err
	}
	if f.quoted {
		s = s.inQuotes()
	}
	if err := s.refine(f.Type, f.Tag); err != nil {
		return nil, err
	}
	return s, nil
}

func (d *deriver) ref(t reflect.Type) *schema { return &schema{Ref: "#/$defs/" + d.names[t]} }

// freeName returns a name for t in $defs that needs no escaping and that no other type has.
func (d *deriver) freeName(t reflect.Type) string {
	base := strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' {
			return r
		}
		return '_' // brackets, dots and slashes of a generic type's arguments
	}, t.Name())
	taken := map[string]bool{}
	for _, name := range d.names {
		taken[name] = true
	}
	name := base
	for n := 2; taken[name]; n++ {
		name = base + strconv.Itoa(n)
	}
	return name
}

func hasMethod(t, method reflect.Type) bool {
	return t.Kind() != reflect.Interface && (t.Implements(method) || reflect.PointerTo(t).Implements(method))
}
