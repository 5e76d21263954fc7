package arch

import (
	"embed"
	"reflect"
	"strings"

	"ablate/strictyaml"
)

// The comments on the kinds and their fields also describe them to users.
//
//go:embed *.go
var source embed.FS

// ReadComments adds this package's comments on types and fields.
func ReadComments(c strictyaml.Comments) error {
	return c.ReadComments(reflect.TypeFor[Net]().PkgPath(), source)
}

// NetSchema returns the schema of a net; it refers to Definitions.
func NetSchema(c strictyaml.Comments) *strictyaml.Schema { return c.Describe(Net{Columns: 1}) }

// Definitions returns the definitions to which the schemas of nets and edits refer.
func Definitions(c strictyaml.Comments) map[string]*strictyaml.Schema {
	layer := &strictyaml.Schema{
		Description: "A layer: one kind, with its keys.",
		Type:        strictyaml.Types{"object"}, MinProperties: 1, MaxProperties: 1, Additional: false,
	}
	for _, k := range kinds() {
		spec := New(k.Kind())
		s := c.Describe(spec)
		s.Type = strictyaml.Types{"object", "null"}
		goName, text, _ := strings.Cut(s.Description, " ")
		if goName == reflect.TypeOf(spec).Elem().Name() {
			s.Description = k.Kind() + " " + text
		}
		stem := spec.stem()
		name := strictyaml.Property{Key: "name", Schema: &strictyaml.Schema{
			Description: "the layer's name in edits and tables; by default " + stem + "1, " + stem + "2 …",
			Type:        strictyaml.Types{"string"}, MaxLength: maxName, Examples: []any{stem + "1"},
		}}
		s.Properties = append(strictyaml.Properties{name}, s.Properties...)
		layer.Properties = append(layer.Properties, strictyaml.Property{Key: k.Kind(), Schema: s})
	}
	return map[string]*strictyaml.Schema{"layer": layer}
}

// Describe refers to the definition of a layer.
func (Layer) Describe(strictyaml.Comments) *strictyaml.Schema {
	return &strictyaml.Schema{Ref: "#/$defs/layer"}
}

// Describe returns the schema of one number, or of one for each side.
func (p Pad) Describe(c strictyaml.Comments) *strictyaml.Schema {
	all := c.Describe(p)
	one := *all.Properties[0].Schema
	one.Description, one.Unit, one.Examples, one.Default = "", "", nil, nil
	return &strictyaml.Schema{AnyOf: []*strictyaml.Schema{&one, all}}
}
