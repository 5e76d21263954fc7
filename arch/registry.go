package arch

import (
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"ablate/strictyaml"
)

//go:embed nets/*.yaml
var embedded embed.FS

// A Registry is a set of named nets.
type Registry struct {
	files map[string]string // name → YAML
}

// Nets are the nets that ship with ablate.
var Nets = newRegistry(embedded, "nets")

func newRegistry(files fs.FS, dir string) *Registry {
	r := &Registry{files: map[string]string{}}
	entries, err := fs.ReadDir(files, dir)
	if err != nil {
		panic(err) // the files are part of the program
	}
	for _, e := range entries {
		text, err := fs.ReadFile(files, path.Join(dir, e.Name()))
		if err != nil {
			panic(err)
		}
		r.files[strings.TrimSuffix(e.Name(), ".yaml")] = string(text)
	}
	return r
}

// Names are the registered nets, sorted.
func (r *Registry) Names() []string {
	var names []string
	for n := range r.files {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// IsPath says that a word names a file and not a registered thing: it has a separator or ends in .yaml or .yml.
func IsPath(name string) bool {
	return strings.ContainsAny(name, `/\`) || strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml")
}

// Load gives the net registered under a name, or the one in a file.
func (r *Registry) Load(name string) (*Net, error) {
	if IsPath(name) {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read net: %w", err)
		}
		return Parse(name, text)
	}
	text, ok := r.files[name]
	if !ok {
		if near, ok := strictyaml.Nearest(name, r.Names()); ok {
			return nil, fmt.Errorf("no net is called %s; did you mean %s?", name, near)
		}
		return nil, fmt.Errorf("no net is called %s; known: %s", name, strings.Join(r.Names(), ", "))
	}
	return Parse("nets/"+name+".yaml", []byte(text))
}
