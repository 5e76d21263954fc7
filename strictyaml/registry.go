package strictyaml

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// A Registry holds the files of one folder under their names without .yaml: the nets, ablations and
// studies that ship.
type Registry struct {
	what  string // what a file holds, for messages: net, ablation
	dir   string
	files map[string]string
	names []string
}

// NewRegistry reads a folder of embedded files; what is the word for the content of a file.
func NewRegistry(files fs.FS, dir, what string) *Registry {
	r := &Registry{what: what, dir: dir, files: map[string]string{}}
	paths, err := fs.Glob(files, path.Join(dir, "*.yaml"))
	if err != nil {
		panic(err) // the pattern is constant
	}
	for _, p := range paths {
		text, err := fs.ReadFile(files, p)
		if err != nil {
			panic(err) // the files are part of the program
		}
		name := strings.TrimSuffix(path.Base(p), ".yaml")
		r.names = append(r.names, name)
		r.files[name] = string(text)
	}
	slices.Sort(r.names)
	return r
}

// Names returns the registered names, sorted.
func (r *Registry) Names() []string { return slices.Clone(r.names) }

// Text returns the file with a name, and "" if there is none.
func (r *Registry) Text(name string) string { return r.files[name] }

// Parse reads the file with a name.
func (r *Registry) Parse(name string) (*Node, error) {
	text, ok := r.files[name]
	if !ok {
		return nil, fmt.Errorf("no %s is called %s%s", r.what, Plain(name), Suggest(name, r.names))
	}
	return Parse(path.Join(r.dir, name+".yaml"), []byte(text))
}
