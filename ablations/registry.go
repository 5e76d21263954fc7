package ablations

import (
	"embed"
	"slices"

	"ablate/strictyaml"
)

// An Ablation is a named, documented list of edits.
type Ablation struct {
	// its name, which is also the file's
	Name string `yaml:"ablation" required:"true" example:"no-lrn"`
	// what it does, in one sentence
	Does string `yaml:"does" example:"Removes every local response normalisation."`
	// where it was claimed or tried
	References []string `yaml:"references" example:"['Krizhevsky et al. 2012, section 3.3']"`
	// the changes, in order
	Edits []Edit `yaml:"edits" required:"true" example:"[{remove: {select: {kind: lrn}}}]"`
	// the edits for nets that need different ones
	Other []OtherEdits `yaml:"other" example:"[{nets: [caffenet], edits: [{remove: {select: {name: norm1}}}]}]"`
}

// OtherEdits replace an ablation's edits on some nets.
type OtherEdits struct {
	// names of the nets
	Nets []string `yaml:"nets" required:"true" example:"[alexnet, caffenet]"`
	// the changes, in order
	Edits []Edit `yaml:"edits" required:"true" example:"[{remove: {select: {name: norm1}}}]"`
}

// For returns the edits of the ablation for a net.
func (a Ablation) For(net string) []Edit {
	for _, o := range a.Other {
		if slices.Contains(o.Nets, net) {
			return o.Edits
		}
	}
	return a.Edits
}

//go:embed catalogue/*.yaml
var embedded embed.FS

// A Registry is a set of named ablations.
type Registry struct {
	*strictyaml.Registry
	byName map[string]Ablation
}

// Catalogue holds the ablations that ship with ablate.
var Catalogue = mustLoad(strictyaml.NewRegistry(embedded, "catalogue", "ablation"))

func mustLoad(files *strictyaml.Registry) *Registry {
	r := &Registry{files, map[string]Ablation{}}
	for _, name := range files.Names() {
		a, err := r.load(name)
		if err != nil {
			panic(err) // the files are part of the program; a test loads them
		}
		r.byName[name] = a
	}
	return r
}

func (r *Registry) load(name string) (Ablation, error) {
	var a Ablation
	node, err := r.Parse(name)
	if err != nil {
		return a, err
	}
	if err := node.Decode(&a); err != nil {
		return a, err
	}
	if a.Name != name || a.Does == "" || len(a.References) == 0 || len(a.Edits) == 0 {
		return a, node.Errorf("an ablation needs the file's name, does, references and edits")
	}
	return a, nil
}

// Parse reads an ablation of the user's own.
func Parse(file string, text []byte) (Ablation, error) {
	var a Ablation
	node, err := strictyaml.Parse(file, text)
	if err != nil {
		return a, err
	}
	if err := node.Decode(&a); err != nil {
		return a, err
	}
	if len(a.Edits) == 0 {
		return a, node.Errorf("an ablation needs edits, as in edits: [{set: {key: params.attention, value: false}}]")
	}
	return a, nil
}

// Get returns the ablation with a name.
func (r *Registry) Get(name string) (Ablation, error) {
	a, ok := r.byName[name]
	if !ok {
		_, err := r.Parse(name)
		return a, err
	}
	return a, nil
}
