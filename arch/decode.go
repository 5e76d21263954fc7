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

// UnmarshalStrict reads the YAML form of a net, a mapping.
func (n *Net) UnmarshalStrict(node *strictyaml.Node) error {
	if node.Kind != strictyaml.Mapping {
		return node.Errorf("a net is a mapping with the keys net, input and layers")
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
	if p, ok := l.Spec.(part); ok && node.File != stored {
		p.nested().At = node.Pos()
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

// unknownKind returns the error for a word that is no kind of layer, with the nearest kind or all
// kinds.
func unknownKind(at *strictyaml.Node, word string) error {
	if _, near := strictyaml.Nearest(word, Kinds()); near {
		return strictyaml.Unknown(at, "layer kind", word, Kinds())
	}
	return at.Errorf("unknown layer kind %s; a net has layers of these kinds: %s",
		strictyaml.Plain(word), strings.Join(Kinds(), ", "))
}

// Set changes one key of the layer, like an edit.
func (l *Layer) Set(key string, v *strictyaml.Node) error {
	if err := strictyaml.SetField(l.Spec, key, v); err != nil {
		return fmt.Errorf("%w (layer %s is a %s)", err, l.Name, l.Spec.Kind())
	}
	return l.check(v)
}

// check refuses values that no net can have; Infer checks shapes.
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

// MarshalJSON writes the net with the keys of its YAML form. It writes every default, and leaves
// out what does not change a result (title, source). JSON is YAML, so Parse can read it back.
func (n *Net) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]any{"net": n.Name, "input": n.Input, "columns": n.Columns, "layers": n.Layers})
}

// MarshalJSON writes a layer in the form that UnmarshalStrict reads.
func (l Layer) MarshalJSON() ([]byte, error) {
	body := plain(reflect.ValueOf(l.Spec), reflect.ValueOf(New(l.Spec.Kind()))).(map[string]any)
	body["name"] = l.Name
	return json.Marshal(map[string]any{l.Spec.Kind(): body})
}

// stored takes the place of a file name for nets from records.
const stored = "JSON"

// UnmarshalJSON reads the form that MarshalJSON writes.
func (n *Net) UnmarshalJSON(text []byte) error {
	p, err := Parse(stored, text)
	if err == nil {
		*n = *p
	}
	return err
}

// Values returns a layer's hyperparameters by their YAML keys, with dots below the first level:
// pad.top, init.std. The layers inside a part are not included.
func (l Layer) Values() map[string]any {
	flat := map[string]any{}
	flatten(flat, "", plain(reflect.ValueOf(l.Spec), reflect.ValueOf(New(l.Spec.Kind()))).(map[string]any))
	return flat
}

func flatten(to map[string]any, prefix string, from map[string]any) {
	for k, v := range from {
		switch v := v.(type) {
		case map[string]any:
			flatten(to, prefix+k+".", v)
		case []Layer, [][]Layer:
		default:
			to[prefix+k] = v
		}
	}
}

// plain turns structs into maps by their yaml tags. A field with omitempty in its json tag is left
// out if it has its default. A new key therefore changes neither nets that do not use it nor the
// identity of their runs.
func plain(v, fresh reflect.Value) any {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		if fresh.IsNil() {
			fresh = reflect.New(v.Type().Elem())
		}
		return plain(v.Elem(), fresh.Elem())
	case reflect.Struct:
		m := map[string]any{}
		was := map[string]reflect.Value{}
		for f, value := range strictyaml.Fields(fresh) {
			was[f.Tag.Get("yaml")] = value
		}
		for f, value := range strictyaml.Fields(v) {
			key := f.Tag.Get("yaml")
			if f.Tag.Get("json") != ",omitempty" || !value.Equal(was[key]) {
				m[key] = plain(value, was[key])
			}
		}
		return m
	default:
		return v.Interface()
	}
}
