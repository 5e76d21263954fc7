package ablations

import (
	"embed"
	"reflect"

	"ablate/arch"
	"ablate/strictyaml"
)

// The comments on the keys also describe them to users.
//
//go:embed *.go
var source embed.FS

// ReadComments adds this package's comments on types and fields.
func ReadComments(c strictyaml.Comments) error {
	return c.ReadComments(reflect.TypeFor[Edit]().PkgPath(), source)
}

// Schema returns the schema of an ablation's file; it refers to Definitions.
func Schema(c strictyaml.Comments) *strictyaml.Schema { return c.Describe(Ablation{}) }

// Definitions returns the definitions to which the schemas of ablations and studies refer.
func Definitions(c strictyaml.Comments) map[string]*strictyaml.Schema {
	defs := arch.Definitions(c)
	defs["selector"] = selectorSchema()
	defs["edit"] = editSchema()
	return defs
}

// Describe refers to the definition of an edit.
func (Edit) Describe(strictyaml.Comments) *strictyaml.Schema {
	return &strictyaml.Schema{Ref: "#/$defs/edit"}
}

func editSchema() *strictyaml.Schema {
	selector := func(key, what string) strictyaml.Property {
		return property(key, what, &strictyaml.Schema{Ref: "#/$defs/selector"})
	}
	layer := func() *strictyaml.Schema { return &strictyaml.Schema{Ref: "#/$defs/layer"} }

	setLayers := keys("", []string{"select"},
		selector("select", "the layers to change; the other keys are keys of these layers, with new values or {times: 0.5}"))
	setLayers.Additional, setLayers.MinProperties = nil, 2
	setKey := keys("", []string{"key", "value"},
		property("key", "a key of data or train, with a dot", &strictyaml.Schema{
			Type: strictyaml.Types{"string"}, MinLength: 1, Examples: []any{"train.weight_decay"},
		}),
		property("value", "its new value, or {times: 0.5} to scale its present one", &strictyaml.Schema{}))
	set := &strictyaml.Schema{AnyOf: []*strictyaml.Schema{setLayers, setKey}}

	insert := keys("Inserts layers after, or before, every selected layer.", []string{"layers"},
		selector("after", "the layers to insert after"),
		selector("before", "the layers to insert before, instead of after"),
		property("layers", "the layers to insert, in order", &strictyaml.Schema{
			Type: strictyaml.Types{"array"}, Items: layer(), MinItems: 1,
		}))
	insert.MinProperties, insert.MaxProperties = 2, 2

	edit := keys("One change of a net or of another part of the recipe.", nil,
		strictyaml.Property{Key: "remove", Schema: keys("Removes layers.", []string{"select"},
			selector("select", "the layers to remove"))},
		property("set", "Changes keys of layers, or a key of data or train.", set),
		strictyaml.Property{Key: "replace", Schema: keys("Replaces layers by another layer.",
			[]string{"select", "with"},
			selector("select", "the layers to replace"),
			property("with", "the layer that takes their place; without a name it takes theirs", layer()))},
		strictyaml.Property{Key: "insert", Schema: insert})
	edit.MinProperties, edit.MaxProperties = 1, 1
	return edit
}

func selectorSchema() *strictyaml.Schema {
	kind := &strictyaml.Schema{Type: strictyaml.Types{"string"}}
	for _, k := range arch.Kinds() {
		kind.Enum = append(kind.Enum, k)
	}
	nth := &strictyaml.Schema{Examples: []any{"last"}, AnyOf: []*strictyaml.Schema{
		{Enum: []any{"first", "last"}}, {Type: strictyaml.Types{"integer"}, Minimum: new(1.0)},
	}}
	s := keys("Selects layers of a net by name, by kind, or by both.", nil,
		property("name", "name of a layer, or a list of them", oneOrMore(&strictyaml.Schema{Type: strictyaml.Types{"string"}},
			"conv1")),
		property("kind", "kind of the layers, or a list of kinds", oneOrMore(kind, "relu")),
		property("nth", "which of the selected layers: first, last, or a number from 1", nth))
	s.MinProperties = 1
	return s
}

// property is a key with its meaning.
func property(key, what string, s *strictyaml.Schema) strictyaml.Property {
	s.Description = what
	return strictyaml.Property{Key: key, Schema: s}
}

// keys is the schema of a mapping with exactly these keys.
func keys(what string, required []string, properties ...strictyaml.Property) *strictyaml.Schema {
	return &strictyaml.Schema{
		Description: what, Type: strictyaml.Types{"object"}, Required: required, Properties: properties, Additional: false,
	}
}

func oneOrMore(one *strictyaml.Schema, example string) *strictyaml.Schema {
	return &strictyaml.Schema{
		Examples: []any{example},
		AnyOf:    []*strictyaml.Schema{one, {Type: strictyaml.Types{"array"}, Items: one, MinItems: 1}},
	}
}
