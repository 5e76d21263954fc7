package configs

import (
	"embed"
	"fmt"
	"reflect"

	"ablate/ablations"
	"ablate/arch"
	"ablate/recipe"
	"ablate/strictyaml"
)

// The comments on the keys also describe them to users.
//
//go:embed *.go
var source embed.FS

// Schemas lists the kinds of files that have a schema.
var Schemas = []string{"study", "net", "ablation"}

var what = map[string]string{
	"study":    "One question: a recipe, its variants, and the seeds to train them under.",
	"net":      "A network, layer by layer.",
	"ablation": "A named, documented list of edits.",
}

// Schema returns the JSON Schema of studies, nets or ablations. It is built from the Go types that
// read these files, their tags and their comments.
func Schema(of string) (*strictyaml.Schema, error) {
	c, err := comments()
	if err != nil {
		return nil, err
	}
	var s *strictyaml.Schema
	switch of {
	case "study":
		s = studySchema(c)
	case "net":
		s = arch.NetSchema(c)
	case "ablation":
		s = ablations.Schema(c)
	default:
		return nil, fmt.Errorf("no schema is called %s%s", strictyaml.Plain(of), strictyaml.Suggest(of, Schemas))
	}
	s.Dialect, s.Title, s.Description = strictyaml.Dialect, "ablate "+of, what[of]
	s.Defs = ablations.Definitions(c)
	return s, nil
}

// comments returns the comments of every type that a study contains.
func comments() (strictyaml.Comments, error) {
	c := strictyaml.Comments{}
	readers := []func(strictyaml.Comments) error{arch.ReadComments, recipe.ReadComments, ablations.ReadComments}
	for _, read := range readers {
		if err := read(c); err != nil {
			return nil, err
		}
	}
	return c, c.ReadComments(reflect.TypeFor[Study]().PkgPath(), source)
}

// studySchema returns the schema of a study. Required keys are only required of a study that
// extends no other.
func studySchema(c strictyaml.Comments) *strictyaml.Schema {
	defaults := recipe.Defaults()
	defaults.Train.Bias.Schedule = defaults.Train.Schedule
	s := c.Describe(file{Data: defaults.Data, Train: defaults.Train, Design: ablations.Each, Device: "auto"})
	net := s.Properties.Get("net")
	net.AnyOf = []*strictyaml.Schema{{Type: strictyaml.Types{"string"}}, arch.NetSchema(c)}
	whole := relaxed(s)
	s.Required = []string{"study"}
	s.If, s.Else = &strictyaml.Schema{AnyOf: []*strictyaml.Schema{
		{Required: []string{"extends"}}, {Required: []string{"trainer"}},
	}}, whole

	variants := s.Properties.Get("variants")
	variants.Type = strictyaml.Types{"object"}
	variants.PropertyNames = &strictyaml.Schema{Pattern: validName.String()}
	variants.MaxProperties = maxVariants
	one := c.Describe(variant{})
	one.Type = strictyaml.Types{"object", "null"}
	variants.Additional = one
	return s
}

// relaxed removes the requirements from the mappings in a schema, and returns them separately.
func relaxed(s *strictyaml.Schema) *strictyaml.Schema {
	required := &strictyaml.Schema{Required: s.Required}
	s.Required = nil
	for _, p := range s.Properties {
		if sub := relaxed(p.Schema); sub.Required != nil || sub.Properties != nil || sub.AnyOf != nil {
			required.Properties = append(required.Properties, strictyaml.Property{Key: p.Key, Schema: sub})
		}
	}
	if len(s.AnyOf) == 2 && len(s.AnyOf[0].Type) == 1 && s.AnyOf[0].Type[0] == "string" {
		required.AnyOf = []*strictyaml.Schema{s.AnyOf[0], relaxed(s.AnyOf[1])}
	}
	return required
}

// Describe returns the schema of a number of seeds or a list of them.
func (seeds) Describe(strictyaml.Comments) *strictyaml.Schema {
	most := float64(maxSeeds)
	one := &strictyaml.Schema{Type: strictyaml.Types{"integer"}, Minimum: new(0.0)}
	return &strictyaml.Schema{AnyOf: []*strictyaml.Schema{
		{Type: strictyaml.Types{"integer"}, Minimum: new(1.0), Maximum: &most},
		{Type: strictyaml.Types{"array"}, Items: one, MinItems: 1, MaxItems: maxSeeds, UniqueItems: true},
	}}
}

// Describe returns the schema of a list of ablations, or of a mapping that defines components.
func (components) Describe(c strictyaml.Comments) *strictyaml.Schema {
	one := c.Describe(component{})
	one.Type = strictyaml.Types{"object", "null"}
	return &strictyaml.Schema{AnyOf: []*strictyaml.Schema{
		{Type: strictyaml.Types{"array"}, Items: &strictyaml.Schema{Type: strictyaml.Types{"string"}}, UniqueItems: true},
		{Type: strictyaml.Types{"object"}, PropertyNames: &strictyaml.Schema{Pattern: validName.String()}, Additional: one},
	}}
}

// Describe returns the schema of the forms that ParseInterval reads.
func (Interval) Describe(strictyaml.Comments) *strictyaml.Schema {
	return &strictyaml.Schema{
		Type:    strictyaml.Types{"string"},
		Default: "10m",
		Pattern: `^(never|[1-9][0-9]* (epochs?|steps?)|([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+)$`,
	}
}
