package strictyaml

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A Schema is a JSON Schema (draft 2020-12), as far as our files need it.
type Schema struct {
	Dialect     string `json:"$schema,omitempty"`
	Title       string `json:"title,omitempty"`
	Description string `json:"description,omitempty"`
	Ref         string `json:"$ref,omitempty"`
	Type        Types  `json:"type,omitempty"`
	Unit        string `json:"x-unit,omitempty"`

	Enum             []any    `json:"enum,omitempty"`
	Pattern          string   `json:"pattern,omitempty"`
	MinLength        int      `json:"minLength,omitempty"`
	MaxLength        int      `json:"maxLength,omitempty"`
	Minimum          *float64 `json:"minimum,omitempty"`
	ExclusiveMinimum *float64 `json:"exclusiveMinimum,omitempty"`
	Maximum          *float64 `json:"maximum,omitempty"`
	ExclusiveMaximum *float64 `json:"exclusiveMaximum,omitempty"`

	Items         *Schema    `json:"items,omitempty"`
	MinItems      int        `json:"minItems,omitempty"`
	MaxItems      int        `json:"maxItems,omitempty"`
	UniqueItems   bool       `json:"uniqueItems,omitempty"`
	Properties    Properties `json:"properties,omitempty"`
	PropertyNames *Schema    `json:"propertyNames,omitempty"`
	Additional    any        `json:"additionalProperties,omitempty"` // false or a *Schema
	Required      []string   `json:"required,omitempty"`
	MinProperties int        `json:"minProperties,omitempty"`
	MaxProperties int        `json:"maxProperties,omitempty"`
	AnyOf         []*Schema  `json:"anyOf,omitempty"`
	If            *Schema    `json:"if,omitempty"`
	Then          *Schema    `json:"then,omitempty"`
	Else          *Schema    `json:"else,omitempty"`

	Default  any                `json:"default,omitempty"`
	Examples []any              `json:"examples,omitempty"`
	Defs     map[string]*Schema `json:"$defs,omitempty"`
}

// Types are the types that a value may have.
type Types []string

// MarshalJSON writes a single type as a string.
func (t Types) MarshalJSON() ([]byte, error) {
	if len(t) == 1 {
		return json.Marshal(t[0])
	}
	return json.Marshal([]string(t))
}

// Properties are the keys of a mapping in the order of their documentation.
type Properties []Property

// A Property is one key.
type Property struct {
	Key string
	*Schema
}

// MarshalJSON keeps the order.
func (ps Properties) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, p := range ps {
		if i > 0 {
			b.WriteByte(',')
		}
		key, err := json.Marshal(p.Key)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(p.Schema)
		if err != nil {
			return nil, err
		}
		b.Write(key)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// Get returns the schema of a key, and nil if there is none.
func (ps Properties) Get(key string) *Schema {
	for _, p := range ps {
		if p.Key == key {
			return p.Schema
		}
	}
	return nil
}

// Dialect is the draft of our schemas.
const Dialect = "https://json-schema.org/draft/2020-12/schema"

// Describer is implemented by types whose YAML form differs from their Go type.
type Describer interface {
	Describe(c Comments) *Schema
}

// Describe makes the schema of a struct from its fields, their tags and their comments. The
// struct's values are the defaults of the keys.
func (c Comments) Describe(of any) *Schema { return c.mapping(reflect.Indirect(reflect.ValueOf(of))) }

func (c Comments) describe(v reflect.Value, tag reflect.StructTag) *Schema {
	if d, ok := v.Interface().(Describer); ok && v.Kind() != reflect.Pointer {
		return d.Describe(c)
	}
	b := BoundsOf(tag)
	switch v.Kind() {
	case reflect.Pointer:
		if v.Type() == reflect.TypeFor[*Node]() {
			return &Schema{}
		}
		return c.describe(reflect.New(v.Type().Elem()).Elem(), tag)
	case reflect.Struct:
		return c.mapping(v)
	case reflect.Slice:
		item := reflect.New(v.Type().Elem()).Elem()
		return &Schema{Type: Types{"array"}, Items: c.describe(item, tag), MaxItems: b.Items}
	case reflect.Map:
		one := reflect.New(v.Type().Elem()).Elem()
		return &Schema{Type: Types{"object"}, Additional: c.describe(one, tag)}
	case reflect.Bool:
		return &Schema{Type: Types{"boolean"}}
	case reflect.Int, reflect.Uint64:
		s := &Schema{Type: Types{"integer"}}
		s.bound(b)
		return s
	case reflect.Float64:
		s := &Schema{Type: Types{"number"}}
		s.bound(b)
		return s
	default:
		s := &Schema{Type: Types{"string"}}
		for _, word := range b.OneOf {
			s.Enum = append(s.Enum, word)
		}
		return s
	}
}

func (s *Schema) bound(b Bounds) {
	if !math.IsInf(b.Min, 0) {
		if b.Above {
			s.ExclusiveMinimum = &b.Min
		} else {
			s.Minimum = &b.Min
		}
	}
	if !math.IsInf(b.Max, 0) {
		if b.Below {
			s.ExclusiveMaximum = &b.Max
		} else {
			s.Maximum = &b.Max
		}
	}
}

// mapping returns the schema of a struct. A key is required if its tag says so, or if its default
// lies outside its bounds.
func (c Comments) mapping(v reflect.Value) *Schema {
	s := &Schema{Type: Types{"object"}, Description: c.Of(v.Type()), Additional: false}
	c.properties(s, v)
	return s
}

func (c Comments) properties(s *Schema, v reflect.Value) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		key := f.Tag.Get("yaml")
		switch {
		case key != "":
			p := c.describe(v.Field(i), f.Tag)
			if text := c[typeName(v.Type())+"."+f.Name]; text != "" {
				p.Description = text
			}
			p.Unit = f.Tag.Get("unit")
			if example := f.Tag.Get("example"); example != "" {
				p.Examples = []any{exampleOf(example)}
			}
			unset := f.Type.Kind() != reflect.String && checkValue(v.Field(i), key, BoundsOf(f.Tag)) != nil
			if unset || f.Tag.Get("required") == "true" {
				s.Required = append(s.Required, key)
			} else if p.Default == nil {
				p.Default = defaultOf(v.Field(i), f.Tag)
			}
			s.Properties = append(s.Properties, Property{Key: key, Schema: p})
		case f.Anonymous && f.Type.Kind() == reflect.Struct:
			c.properties(s, v.Field(i))
		}
	}
}

// Of returns the comment on a type.
func (c Comments) Of(t reflect.Type) string { return strings.TrimSpace(c[typeName(t)]) }

func typeName(t reflect.Type) string { return t.PkgPath() + "." + t.Name() }

// defaultOf returns the default of a key, and nil if it has none.
func defaultOf(v reflect.Value, tag reflect.StructTag) any {
	switch v.Kind() {
	case reflect.Struct, reflect.Pointer:
		return nil
	case reflect.Slice, reflect.Map:
		if v.Len() == 0 {
			return nil
		}
	case reflect.Int64: // a time of 0 is no default
		if v.IsZero() {
			return nil
		}
	case reflect.String:
		if v.String() != "" {
			return v.String()
		}
		if zero := BoundsOf(tag).Zero; zero != "" {
			return zero
		}
		return nil
	}
	return v.Interface()
}

// exampleOf returns the YAML in an example tag.
func exampleOf(text string) any {
	var v any
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		panic(fmt.Sprintf("example %s: %v", text, err)) // a test reads every tag
	}
	return v
}
