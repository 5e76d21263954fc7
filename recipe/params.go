package recipe

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"ablate/strictyaml"
)

// Params are the parameters of a user's program: any mapping that JSON can express, with numbers as
// json.Number.
type Params map[string]any

// UnmarshalStrict reads any mapping.
func (p *Params) UnmarshalStrict(n *strictyaml.Node) error {
	*p = Params{}
	if n.Kind == strictyaml.Null {
		return nil
	}
	v, err := n.JSON()
	if err != nil {
		return err
	}
	m, ok := v.(map[string]any)
	if !ok {
		return n.Errorf("params is a mapping, as in {lr: 0.1, depth: 12}")
	}
	*p = m
	return nil
}

// UnmarshalJSON keeps numbers as they are written.
func (p *Params) UnmarshalJSON(text []byte) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var m map[string]any
	if err := d.Decode(&m); err != nil {
		return err
	}
	*p = m
	return nil
}

// Describe returns the schema of any mapping.
func (Params) Describe(strictyaml.Comments) *strictyaml.Schema {
	return &strictyaml.Schema{Type: strictyaml.Types{"object"}}
}

// clone returns a deep copy.
func (p Params) clone() Params {
	if p == nil {
		return nil
	}
	return cloneValue(map[string]any(p)).(map[string]any)
}

func cloneValue(v any) any {
	switch v := v.(type) {
	case map[string]any:
		c := make(map[string]any, len(v))
		for k, inner := range v {
			c[k] = cloneValue(inner)
		}
		return c
	case []any:
		c := make([]any, len(v))
		for i, inner := range v {
			c[i] = cloneValue(inner)
		}
		return c
	}
	return v
}

// paths returns the dotted names of all params, including mappings, after a prefix.
func (p Params) paths(prefix string) []string {
	var all []string
	for _, k := range slices.Sorted(maps.Keys(p)) {
		all = append(all, prefix+k)
		if inner, ok := p[k].(map[string]any); ok {
			all = append(all, Params(inner).paths(prefix+k+".")...)
		}
	}
	return all
}

// find returns the mapping that holds the parameter at a dotted path, and its name there.
func (p Params) find(path string) (Params, string, bool) {
	for {
		first, rest, deeper := strings.Cut(path, ".")
		v, ok := p[first]
		if !ok || !deeper {
			return p, first, ok
		}
		inner, ok := v.(map[string]any)
		if !ok {
			return p, path, false
		}
		p, path = inner, rest
	}
}

// word formats a parameter for a command: a string unchanged, anything else as JSON.
func (p Params) word(path string) (string, bool) {
	in, name, ok := p.find(path)
	if !ok {
		return "", false
	}
	if s, isString := in[name].(string); isString {
		return s, true
	}
	text, err := json.Marshal(in[name])
	return string(text), err == nil
}

// at finds a parameter for an edit. If there is none, the error names the nearest.
func (p Params) at(key string, n *strictyaml.Node) (Params, string, error) {
	in, name, ok := p.find(strings.TrimPrefix(key, "params."))
	if !ok {
		return nil, "", n.Errorf("the study's params have no %s%s", strictyaml.Plain(strings.TrimPrefix(key, "params.")),
			strictyaml.Suggest(key, p.paths("params.")))
	}
	return in, name, nil
}

// Set changes the parameter of a dotted key, as in params.lr. {times: 0.5} scales a number.
func (p Params) Set(key string, n *strictyaml.Node) error {
	in, name, err := p.at(key, n)
	if err != nil {
		return err
	}
	if times := n.Get("times"); times != nil && len(n.Keys()) == 1 {
		in[name], err = scaled(in[name], key, times)
		return err
	}
	v, err := n.JSON()
	in[name] = v
	return err
}

// scaled multiplies a number by another. A whole number must stay whole.
func scaled(v any, key string, times *strictyaml.Node) (any, error) {
	var factor float64
	if err := times.Decode(&factor); err != nil {
		return nil, err
	}
	number, ok := v.(json.Number)
	if !ok {
		return nil, times.Errorf("%s is not a number and cannot be scaled", key)
	}
	x, err := number.Float64()
	if err != nil {
		return nil, times.Errorf("%s: %w", key, err)
	}
	x *= factor
	if _, err := number.Int64(); err != nil {
		return strictyaml.Float(x), nil
	}
	if x != float64(int64(x)) {
		return nil, times.Errorf("%s is %s; %v times that is not a whole number", key, number, factor)
	}
	return json.Number(fmt.Sprint(int64(x))), nil
}

// Remove removes the parameter of a dotted key.
func (p Params) Remove(key string, n *strictyaml.Node) error {
	in, name, err := p.at(key, n)
	if err == nil {
		delete(in, name)
	}
	return err
}
