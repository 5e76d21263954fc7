package ablations

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"ablate/strictyaml"
)

// An Ablation is a named, documented list of edits.
type Ablation struct {
	Name       string            `yaml:"ablation"`
	Does       string            `yaml:"does"`       // one sentence
	References []string          `yaml:"references"` // where it is claimed or was tried
	Edits      []Edit            `yaml:"edits"`
	Nets       map[string][]Edit `yaml:"nets"` // other edits for nets of these names, where the same idea needs another form
}

// For are the edits of the ablation on a net.
func (a Ablation) For(net string) []Edit {
	if edits, ok := a.Nets[net]; ok {
		return edits
	}
	return a.Edits
}

//go:embed catalogue/*.yaml
var embedded embed.FS

// A Registry is a set of named ablations.
type Registry struct {
	byName map[string]Ablation
	text   map[string]string
}

// Catalogue holds the ablations that ship with ablate.
var Catalogue = mustLoad(embedded, "catalogue")

func mustLoad(files fs.FS, dir string) *Registry {
	r, err := load(files, dir)
	if err != nil {
		panic(err) // the files are part of the program; a test loads them
	}
	return r
}

func load(files fs.FS, dir string) (*Registry, error) {
	r := &Registry{byName: map[string]Ablation{}, text: map[string]string{}}
	entries, err := fs.ReadDir(files, dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		file := path.Join(dir, e.Name())
		text, err := fs.ReadFile(files, file)
		if err != nil {
			return nil, err
		}
		node, err := strictyaml.Parse(file, text)
		if err != nil {
			return nil, err
		}
		var a Ablation
		if err := node.Decode(&a); err != nil {
			return nil, err
		}
		if a.Name != strings.TrimSuffix(e.Name(), ".yaml") || a.Does == "" || len(a.References) == 0 || len(a.Edits) == 0 {
			return nil, node.Errorf("an ablation needs the file's name, does, references and edits")
		}
		r.byName[a.Name], r.text[a.Name] = a, string(text)
	}
	return r, nil
}

// Names are the ablations, sorted.
func (r *Registry) Names() []string {
	names := make([]string, 0, len(r.byName))
	for n := range r.byName {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// Get gives the ablation of a name.
func (r *Registry) Get(name string) (Ablation, error) {
	a, ok := r.byName[name]
	if ok {
		return a, nil
	}
	if near, ok := strictyaml.Nearest(name, r.Names()); ok {
		return a, fmt.Errorf("no ablation is called %s; did you mean %s?", name, near)
	}
	return a, fmt.Errorf("no ablation is called %s; known: %s", name, strings.Join(r.Names(), ", "))
}

// Text is an ablation's file, which says its edits better than words could.
func (r *Registry) Text(name string) string { return r.text[name] }
