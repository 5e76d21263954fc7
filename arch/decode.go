package arch

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"ablate/strictyaml"
)

// Parse reads a net file.
func Parse(file string, text []byte) (*Net, error) {
	node, err := strictyaml.Parse(file, text)
	if err != nil {
		return nil, err
	}
	n := new(Net)
	return n, node.Decode(n)
}

// UnmarshalStrict reads the mapping form of a net: name, input, columns and layers.
func (n *Net) UnmarshalStrict(node *strictyaml.Node) error {
	if node.Kind != strictyaml.Mapping {
		return node.Errorf("a net is a mapping of net, input and layers")
	}
	type plain Net
	p := plain{Columns: 1}
	if err := node.Decode(&p); err != nil {
		return err
	}
	*n = Net(p)
	if n.Name == "" {
		return node.Errorf("the net has no name: write net: NAME")
	}
	if err := checkName(n.Name); err != nil {
		return node.Errorf("the net's name %w", err)
	}
	if err := n.Complete(); err != nil {
		return node.Errorf("net %s: %w", n.Name, err)
	}
	return nil
}

// UnmarshalStrict reads the form `conv: {name: conv1, …}`.
func (l *Layer) UnmarshalStrict(node *strictyaml.Node) error {
	word, body, err := node.One("a layer")
	if err != nil {
		return err
	}
	if l.Spec = New(word); l.Spec == nil {
		return unknownKind(node, word)
	}
	if name := body.Get("name"); name != nil {
		if err := name.Decode(&l.Name); err != nil {
			return err
		}
		body = body.Without("name")
	}
	if err := body.Decode(l.Spec); err != nil {
		return err
	}
	return l.check(body)
}

// unknownKind says what a net can be, beside the nearest kind where there is one.
func unknownKind(at *strictyaml.Node, word string) error {
	if _, near := strictyaml.Nearest(word, Kinds()); near {
		return strictyaml.Unknown(at, "layer kind", word, Kinds())
	}
	return at.Errorf("unknown layer kind %s; a net is a chain of layers of these kinds: %s",
		strictyaml.Plain(word), strings.Join(Kinds(), ", "))
}

// Set changes one key of the layer, as an edit does.
func (l *Layer) Set(key string, v *strictyaml.Node) error {
	if err := strictyaml.SetField(l.Spec, key, v); err != nil {
		return fmt.Errorf("%w (layer %s is a %s)", err, l.Name, l.Spec.Kind())
	}
	return l.check(v)
}

// check refuses values that no net can have; shapes are Infer's business.
func (l *Layer) check(at *strictyaml.Node) error {
	err := l.Spec.check()
	if err == nil {
		err = strictyaml.CheckBounds(l.Spec, "")
	}
	if err == nil {
		return nil
	}
	name := l.Spec.Kind()
	if l.Name != "" {
		name += " " + strictyaml.Plain(l.Name)
	}
	return at.Errorf("%s: %w", name, err)
}

// MarshalJSON writes the net in the keys of its YAML form, every default
// written out and what does not change a result (title, source) left out.
// JSON is YAML, so Parse reads it back.
func (n *Net) MarshalJSON() ([]byte, error) {
	layers := make([]any, len(n.Layers))
	for i, l := range n.Layers {
		body := plain(reflect.ValueOf(l.Spec)).(map[string]any)
		body["name"] = l.Name
		layers[i] = map[string]any{l.Spec.Kind(): body}
	}
	return json.Marshal(map[string]any{"net": n.Name, "input": n.Input, "columns": n.Columns, "layers": layers})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (n *Net) UnmarshalJSON(text []byte) error {
	p, err := Parse("JSON", text)
	if err == nil {
		*n = *p
	}
	return err
}

// Values are a layer's hyperparameters by their YAML keys, dotted below the first level: pad.top, init.std.
func (l Layer) Values() map[string]any {
	flat := map[string]any{}
	flatten(flat, "", plain(reflect.ValueOf(l.Spec)).(map[string]any))
	return flat
}

func flatten(to map[string]any, prefix string, from map[string]any) {
	for k, v := range from {
		if m, ok := v.(map[string]any); ok {
			flatten(to, prefix+k+".", m)
			continue
		}
		to[prefix+k] = v
	}
}

// plain turns structs into maps by their yaml tags. Fields that say omitempty
// for JSON are left out where they are zero, so that a key which is new changes
// no net that does not use it, nor the identity of its runs.
func plain(v reflect.Value) any {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return plain(v.Elem())
	case reflect.Struct:
		m := map[string]any{}
		for f, value := range strictyaml.Fields(v) {
			if f.Tag.Get("json") != ",omitempty" || !value.IsZero() {
				m[f.Tag.Get("yaml")] = plain(value)
			}
		}
		return m
	default:
		return v.Interface()
	}
}
