package configs

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"ablate/ablations"
	"ablate/arch"
)

// compiled is a schema as an editor uses it.
func compiled(t *testing.T, of string) *jsonschema.Schema {
	t.Helper()
	s, err := Schema(of)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(of+".json", doc); err != nil {
		t.Fatal(err)
	}
	compiled, err := c.Compile(of + ".json")
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}

// check reads YAML as an editor does, and checks it.
func check(s *jsonschema.Schema, text string) error {
	var v any
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		return err
	}
	return s.Validate(v)
}

// Every file that ships is valid.
func TestSchemasOfShippedFiles(t *testing.T) {
	study, net, ablation := compiled(t, "study"), compiled(t, "net"), compiled(t, "ablation")
	for _, name := range Names() {
		text, err := embedded.ReadFile(name + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		if err := check(study, string(text)); err != nil {
			t.Errorf("study %s: %v", name, err)
		}
	}
	for _, name := range arch.Nets.Names() {
		if err := check(net, arch.Nets.Text(name)); err != nil {
			t.Errorf("net %s: %v", name, err)
		}
	}
	for _, name := range ablations.Catalogue.Names() {
		if err := check(ablation, ablations.Catalogue.Text(name)); err != nil {
			t.Errorf("ablation %s: %v", name, err)
		}
	}
}

// beyondSchema are the bad studies that only a program can find: what names refer
// to, whether shapes fit, what one key says of another.
var beyondSchema = []string{
	"no variants", "zero variants", "same recipe twice", "same devices twice", "variant of nothing", "unknown ablation",
	"unknown net",
	"edit that does nothing", "edit that selects nothing", "edit of an unknown layer", "edit of an unknown key",
	"net that no longer fits",
	"unset variable", "unknown parent", "components without design", "columns and chunks", "chunks of an odd batch",
	"three chunks",
	"key that is never read", "device's name", "own name", "report's name", "index's name", "trailing dot", "long name",
	"nth",
	"negative factor", "insert that multiplies",
}

// A schema refuses every malformed study that a schema can.
func TestSchemaRefusesBadStudies(t *testing.T) {
	study := compiled(t, "study")
	for name, c := range badStudies {
		if err := check(study, c.yaml); err == nil && !slices.Contains(beyondSchema, name) {
			t.Errorf("%s: valid by the schema", name)
		}
	}
	for text, of := range map[string]string{
		"net: x\ninput: {height: 8, width: 8, channels: 3}\nlayers: [{convv: {filters: 4}}]":                     "net",
		"net: x\ninput: {height: 8, width: 8, channels: 3}\nlayers: [{conv: {filter: 4}}]":                       "net",
		"net: x\ninput: {height: 8, width: 8, channels: 3}\nlayers: [{conv: {filters: 4, kernel: three}}]":       "net",
		"net: x\ninput: {height: 8, width: 8, channels: 3}\nlayers: [{lrn: {size: 5, alpha: 1, beta: 1, k: 2}}]": "net",
		"net: x\ninput: {height: 8, width: 8, channels: 3}\nlayers: [{dropout: {rate: 1}}]":                      "net",
		"net: x\ninput: {height: 8, width: 8}\nlayers: [{relu: {}}]":                                             "net",
		"input: {height: 8, width: 8, channels: 3}\nlayers: [{relu: {}}]":                                        "net",
		"ablation: a\ndoes: x\nreferences: [x]\nedits: [{delete: {select: {kind: lrn}}}]":                        "ablation",
		"ablation: a\ndoes: x\nreferences: [x]\nedits: [{remove: {}}]":                                           "ablation",
		"ablation: a\ndoes: x\nreferences: [x]\nedits: [{remove: {select: {kin: lrn}}}]":                         "ablation",
		"ablation: a\ndoes: x\nreferences: [x]\nedits: [{remove: {select: {kind: lnr}}}]":                        "ablation",
		"ablation: a\ndoes: x\nreferences: [x]\nedits: [{set: {select: {kind: lrn}}}]":                           "ablation",
		"ablation: a\ndoes: x\nreferences: [x]\nedits: [{set: {key: train.lr}}]":                                 "ablation",
		"ablation: a\ndoes: x\nreferences: [x]\nedits: [{set: {key: '', value: 1}}]":                             "ablation",
		"ablation: a\ndoes: x\nreferences: [x]\nedits: [{insert: {after: {kind: lrn}}}]":                         "ablation",
		"ablation: a\ndoes: x\nreferences: [x]":                                                                  "ablation",
	} {
		if err := check(compiled(t, of), text); err == nil {
			t.Errorf("%s:\n%s\nis valid by the schema", of, text)
		}
	}
}

// Every key has a description and an example, which is valid.
func TestSchemaIsWhole(t *testing.T) {
	for _, of := range Schemas {
		s, err := Schema(of)
		if err != nil {
			t.Fatal(err)
		}
		eachKey(of, s, func(key string, s *schema) {
			if s.Description == "" || len(s.Examples) == 0 && s.Properties == nil && s.Ref == "" && s.AnyOf == nil {
				t.Errorf("%s: description %q, examples %v", key, s.Description, s.Examples)
			}
		})
		for name, def := range s.Defs {
			eachKey(name, def, func(key string, s *schema) {
				if s.Description == "" {
					t.Errorf("%s has no description", key)
				}
			})
		}
	}
}
