package typeschema

import (
	"bytes"
	"cmp"
	"encoding/json"
)

// dialect is the JSON Schema version in which schemas are written.
const dialect = "https://json-schema.org/draft/2020-12/schema"

// schema is the part of JSON Schema 2020-12 that Go types need. The zero value accepts anything.
type schema struct {
	Dialect string `json:"$schema,omitempty"`
	Ref     string `json:"$ref,omitempty"`

	Description string            `json:"description,omitempty"`
	Examples    []json.RawMessage `json:"examples,omitempty"`
	Default     json.RawMessage   `json:"default,omitempty"`

	Type  oneOrMore         `json:"type,omitempty"`
	AnyOf []*schema         `json:"anyOf,omitempty"`
	Enum  []json.RawMessage `json:"enum,omitempty"`

	Format          string      `json:"format,omitempty"`
	ContentEncoding string      `json:"contentEncoding,omitempty"`
	Pattern         string      `json:"pattern,omitempty"`
	MinLength       *int        `json:"minLength,omitempty"`
	MaxLength       *int        `json:"maxLength,omitempty"`
	Minimum         json.Number `json:"minimum,omitempty"`
	Maximum         json.Number `json:"maximum,omitempty"`

	Items    *schema `json:"items,omitempty"`
	MinItems *int    `json:"minItems,omitempty"`
	MaxItems *int    `json:"maxItems,omitempty"`

	Properties    properties `json:"properties,omitempty"`
	Required      []string   `json:"required,omitempty"`
	PropertyNames *schema    `json:"propertyNames,omitempty"`
	// AdditionalProperties is false for structs and the *schema of the values for maps.
	AdditionalProperties any `json:"additionalProperties,omitempty"`

	Defs map[string]*schema `json:"$defs,omitempty"`
}

// nullable returns the schema that accepts null as well.
func (s *schema) nullable() *schema {
	switch {
	case len(s.Type) > 0 && s.Type[len(s.Type)-1] != "null":
		s.Type = append(s.Type, "null")
		return s
	case s.Ref != "":
		return &schema{AnyOf: []*schema{s, {Type: oneOrMore{"null"}}}}
	}
	return s // accepts null already
}

// inQuotes returns the schema of a scalar's literal inside a string.
func (s *schema) inQuotes() *schema {
	quoted := &schema{Type: oneOrMore{"string"}, Format: quotedPrefix + cmp.Or(s.Format, s.Type[0])}
	if len(s.Type) > 1 {
		return quoted.nullable()
	}
	return quoted
}

// oneOrMore is written as a string where it has one element.
type oneOrMore []string

func (t oneOrMore) MarshalJSON() ([]byte, error) {
	if len(t) == 1 {
		return json.Marshal(t[0])
	}
	return json.Marshal([]string(t))
}

// properties keep the order of a struct's fields, so that a form made from the schema reads like the type.
type properties []property

type property struct {
	name   string
	schema *schema
}

func (p properties) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, property := range p {
		if i > 0 {
			b.WriteByte(',')
		}
		name, err := json.Marshal(property.name)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(property.schema)
		if err != nil {
			return nil, err
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}
