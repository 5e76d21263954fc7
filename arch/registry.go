package arch

import (
	"embed"
	"fmt"
	"strings"

	"ablate/strictyaml"
)

//go:embed nets/*.yaml
var embedded embed.FS

// A Registry is a set of named nets.
type Registry struct{ *strictyaml.Registry }

// Nets are the nets that ship with ablate.
var Nets = Registry{strictyaml.NewRegistry(embedded, "nets", "net")}

// IsPath reports whether a word names a file rather than a registered thing: it has a separator, or
// ends in .yaml or .yml.
func IsPath(name string) bool {
	return strings.ContainsAny(name, `/\`) || strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml")
}

// Load returns the net registered under a name, or the one in a file.
func (r Registry) Load(name string) (*Net, error) {
	if IsPath(name) {
		text, err := strictyaml.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read net: %w", err)
		}
		return Parse(name, text)
	}
	node, err := r.Parse(name)
	if err != nil {
		return nil, err
	}
	n := new(Net)
	return n, node.Decode(n)
}
