package configs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"ablate/arch"
	"ablate/strictyaml"
)

// read parses a file and merges it over what it extends. chain holds the files that led here.
func read(name string, chain []string) (*strictyaml.Node, error) {
	label, text, err := open(name)
	if err != nil {
		return nil, err
	}
	if slices.Contains(chain, label) {
		return nil, fmt.Errorf("%s: extends forms a circle: %s → %s", label, strings.Join(chain, " → "), label)
	}
	if len(chain) == maxExtends {
		return nil, fmt.Errorf("%s: more than %d files extend each other", label, maxExtends)
	}
	chain = append(chain, label)
	node, err := strictyaml.Parse(label, text)
	if err != nil {
		return nil, err
	}
	if node.Kind != strictyaml.Mapping {
		return nil, node.Errorf("a study is a mapping with the keys study, net, data, train, seeds and variants")
	}
	extends := node.Get("extends")
	if extends == nil {
		return node, nil
	}
	var base string
	if err := extends.Decode(&base); err != nil {
		return nil, err
	}
	if arch.IsPath(base) && !filepath.IsAbs(base) {
		base = filepath.Join(filepath.Dir(label), base)
	}
	parent, err := read(base, chain)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrUnknown) {
			return nil, extends.Errorf("extends: %w", err)
		}
		return nil, err
	}
	// A name and a title are not inherited.
	return strictyaml.Merge(parent.Without("extends", "study", "title"), node), nil
}

// maxExtends is the longest chain of studies that extend each other.
const maxExtends = 32

// ErrUnknown reports that no study with this name ships.
var ErrUnknown = errors.New("no such study")

// open finds the text of a study: a file, or a study that ships.
func open(name string) (label string, text []byte, err error) {
	if arch.IsPath(name) {
		text, err = strictyaml.ReadFile(name)
		if err != nil {
			return name, nil, fmt.Errorf("read study: %w", err)
		}
		return filepath.Clean(name), text, nil
	}
	text, err = embedded.ReadFile(path.Clean(name) + ".yaml")
	if err == nil {
		return "configs/" + name + ".yaml", text, nil
	}
	if info, statErr := os.Stat(name); statErr == nil {
		kind := "a file"
		switch {
		case info.IsDir():
			kind = "a folder"
		case !info.Mode().IsRegular():
			kind = "no regular file"
		}
		return name, nil, fmt.Errorf("%w: %s, which is %s here; a study's file ends in .yaml or .yml", ErrUnknown,
			strictyaml.Plain(name), kind)
	}
	return name, nil, fmt.Errorf("%w: %s%s", ErrUnknown, strictyaml.Plain(name), strictyaml.Suggest(name, Names()))
}
