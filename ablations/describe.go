package ablations

import (
	"embed"
	"reflect"

	"ablate/arch"
	"ablate/strictyaml"
)

// The comments on the keys describe them to users too.
//
//go:embed *.go
var source embed.FS

// ReadComments adds this package's comments on types and fields.
func ReadComments(c strictyaml.Comments) error {
	return c.ReadComments(reflect.TypeFor[Edit]().PkgPath(), source)
}

// Schema is the schema of an ablation's file; it refers to Definitions.
func Schema(c strictyaml.Comments) *strictyaml.Schema { return c.Describe(Ablation{}) }

// Definitions are what the schemas of ablations and studies refer to.
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
	selector := func(what string) *strictyaml.Schema {
		return &strictyaml.Schema{Ref: "#/$defs/selector", Description: what}
	}
	layer := &strictyaml.Schema{Ref: "#/$defs/layer", Description: "the layer that takes their place, and their name where it has none"}
	layers := &strictyaml.Schema{
		Description: "the layers to insert, in order", Type: strictyaml.Types{"array"}, Items: &strictyaml.Schema{Ref: "#/$defs/layer"}, MinItems: 1,
	}
	setKey := keys("", []string{"key", "value"}, strictyaml.Properties{
		{Key: "key", Schema: &strictyaml.Schema{
			Description: "a key of data or train, dotted", Type: strictyaml.Types{"string"}, MinLength: 1, Examples: []any{"train.weight_decay"},
		}},
		{Key: "value", Schema: &strictyaml.Schema{Description: "its new value, or {times: 0.5} to scale the number that is there"}},
	})
	setLayers := keys("", []string{"select"}, strictyaml.Properties{
		{Key: "select", Schema: selector("the layers to change; the other keys are theirs, with new values or {times: 0.5}")},
	})
	setLayers.Additional, setLayers.MinProperties = nil, 2
	insert := keys("Puts layers after, or before, every selected layer.", []string{"layers"}, strictyaml.Properties{
		{Key: "after", Schema: selector("the layers to insert after")},
		{Key: "before", Schema: selector("the layers to insert before, in place of after")},
		{Key: "layers", Schema: layers},
	})
	insert.MinProperties, insert.MaxProperties = 2, 2
	edit := keys("One change of a net or of another part of the recipe.", nil, strictyaml.Properties{
		{Key: "remove", Schema: keys("Takes layers out.", []string{"select"}, strictyaml.Properties{
			{Key: "select", Schema: selector("the layers to take out")},
		})},
		{Key: "set", Schema: &strictyaml.Schema{
			Description: "Changes keys of layers, or a key of data or train.", AnyOf: []*strictyaml.Schema{setLayers, setKey},
		}},
		{Key: "replace", Schema: keys("Puts another layer in the place of each.", []string{"select", "with"}, strictyaml.Properties{
			{Key: "select", Schema: selector("the layers to replace")},
			{Key: "with", Schema: layer},
		})},
		{Key: "insert", Schema: insert},
	})
	edit.MinProperties, edit.MaxProperties = 1, 1
	return edit
}

func selectorSchema() *strictyaml.Schema {
	kinds := &strictyaml.Schema{Type: strictyaml.Types{"string"}}
	for _, k := range arch.Kinds() {
		kinds.Enum = append(kinds.Enum, k)
	}
	s := keys("Picks layers of a net: those of a name, of a kind, or both.", nil, strictyaml.Properties{
		{Key: "name", Schema: oneOrMore("name of a layer, or a list of them", &strictyaml.Schema{Type: strictyaml.Types{"string"}}, "conv1")},
		{Key: "kind", Schema: oneOrMore("kind of the layers, or a list of kinds", kinds, "relu")},
		{Key: "nth", Schema: &strictyaml.Schema{
			Description: "one of those that are selected: first, last, or a number from 1",
			AnyOf:       []*strictyaml.Schema{{Enum: []any{"first", "last"}}, {Type: strictyaml.Types{"integer"}, Minimum: new(1.0)}}, Examples: []any{"last"},
		}},
	})
	s.MinProperties = 1
	return s
}

// keys is a mapping of these keys and no others.
func keys(what string, required []string, properties strictyaml.Properties) *strictyaml.Schema {
	return &strictyaml.Schema{
		Description: what, Type: strictyaml.Types{"object"}, Required: required, Properties: properties, Additional: false,
	}
}

func oneOrMore(what string, one *strictyaml.Schema, example string) *strictyaml.Schema {
	return &strictyaml.Schema{
		Description: what, Examples: []any{example},
		AnyOf: []*strictyaml.Schema{one, {Type: strictyaml.Types{"array"}, Items: one, MinItems: 1}},
	}
}
