package recipe

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sort"
	"strings"

	"ablate/arch"
)

// Changes describes how two recipes differ, in a few words. It names only changed layers and keys,
// and puts layers with the same change together. It compares the recipes and does not know the
// edits that made them.
//
//	− norm1, norm2 · pool1, pool2: kernel 3→2 · train.weight_decay 0.0005→0
func Changes(from, to Recipe) []string {
	if from.Net == nil || to.Net == nil {
		return keyChanges("", from.programKeys(), to.programKeys())
	}
	var out []string
	changed := grouped{}
	before, after := layersByName(from.Net), layersByName(to.Net)
	removed, added := missing(from.Net.Layers, after), missing(to.Net.Layers, before)
	for l := range to.Net.All() {
		old, ok := before[l.Name]
		switch {
		case !ok:
		case old.Spec.Kind() != l.Spec.Kind():
			changed.add(old.Spec.Kind()+" → "+l.Spec.Kind()+sizeOf(*l), l.Name)
		default:
			for _, what := range layerChanges(old, *l) {
				changed.add(what, l.Name)
			}
		}
	}
	if len(removed) > 0 {
		out = append(out, "− "+listed(removed))
	}
	if len(added) > 0 {
		const few = 3 // of more layers only the names
		for i, name := range added {
			if len(added) <= few {
				added[i] += sizeOf(after[name])
			}
		}
		out = append(out, "+ "+listed(added))
	}
	out = append(out, changed.text()...)
	if from.Net.Columns != to.Net.Columns {
		out = append(out, fmt.Sprintf("columns %d→%d", from.Net.Columns, to.Net.Columns))
	}
	if from.Net.Input != to.Net.Input {
		out = append(out, fmt.Sprintf("input %v→%v", from.Net.Input, to.Net.Input))
	}
	return append(out, keyChanges("", asMap(struct {
		Data  Data  `json:"data"`
		Train Train `json:"train"`
	}{from.Data, from.Train}), asMap(struct {
		Data  Data  `json:"data"`
		Train Train `json:"train"`
	}{to.Data, to.Train}))...)
}

// programKeys returns the params of a program, and the keys that identify the program.
func (r Recipe) programKeys() map[string]any {
	keys := map[string]any{}
	for k, v := range r.Params {
		keys[k] = v
	}
	if r.Trainer != nil {
		keys["trainer"] = asMap(struct {
			Command []string          `json:"command"`
			Env     map[string]string `json:"env,omitempty"`
		}{r.Trainer.Command, r.Trainer.Env})
		if offset := r.Trainer.SeedOffset; offset != 0 {
			keys["trainer"].(map[string]any)["seed_offset"] = offset
		}
	}
	return keys
}

// sizeOf formats the size of a new layer, such as " {filters 16, kernel 5}". A layer that replaces
// another may have a different size, which its kind and name do not show.
func sizeOf(l arch.Layer) string {
	var words []string
	values := l.Values()
	for _, key := range []string{"filters", "outputs", "kernel"} {
		if v, ok := values[key]; ok && (key != "kernel" || len(words) > 0) {
			words = append(words, key+" "+value(v))
		}
	}
	if len(words) == 0 {
		return ""
	}
	return " {" + strings.Join(words, ", ") + "}"
}

func layersByName(n *arch.Net) map[string]arch.Layer {
	m := map[string]arch.Layer{}
	for l := range n.All() {
		m[l.Name] = *l
	}
	return m
}

// missing names the layers that the other net does not have, except those that went together with
// the part around them.
func missing(layers []arch.Layer, there map[string]arch.Layer) (names []string) {
	for _, l := range layers {
		if _, ok := there[l.Name]; !ok {
			names = append(names, l.Name)
			continue
		}
		for _, inner := range l.Lists() {
			names = append(names, missing(*inner, there)...)
		}
	}
	return names
}

// listed names layers, or only the first and the last of very many.
func listed(names []string) string {
	const most = 12
	if len(names) > most {
		return fmt.Sprintf("%s … %s (%d)", names[0], names[len(names)-1], len(names))
	}
	return strings.Join(names, ", ")
}

// layerChanges lists the changed keys of a layer, such as "kernel 3→2".
func layerChanges(from, to arch.Layer) []string {
	if reflect.DeepEqual(from.Spec, to.Spec) {
		return nil
	}
	return keyChanges("", from.Values(), to.Values())
}

// keyChanges lists the changed keys of nested maps in order.
func keyChanges(prefix string, a, b map[string]any) []string {
	keys := map[string]bool{}
	for k := range a {
		keys[k] = true
	}
	for k := range b {
		keys[k] = true
	}
	sorted := make([]string, 0, len(keys))
	for k := range keys {
		sorted = append(sorted, k)
	}
	sort.Strings(sorted)
	var out []string
	for _, k := range sorted {
		x, xm := a[k].(map[string]any)
		y, ym := b[k].(map[string]any)
		if xm && (ym || b[k] == nil) || ym && a[k] == nil { // a missing mapping counts as one without keys
			out = append(out, keyChanges(prefix+k+".", x, y)...)
			continue
		}
		if !reflect.DeepEqual(a[k], b[k]) {
			out = append(out, fmt.Sprintf("%s%s %s→%s", prefix, k, value(a[k]), value(b[k])))
		}
	}
	return out
}

func value(v any) string {
	switch v := v.(type) {
	case nil:
		return "–"
	case map[string]any:
		return "{" + strings.Join(pairs(v), ", ") + "}"
	case []any:
		words := make([]string, len(v))
		for i := range v {
			words[i] = value(v[i])
		}
		return "[" + strings.Join(words, " ") + "]"
	}
	return fmt.Sprint(v)
}

// pairs returns the keys and values of a mapping, in order.
func pairs(m map[string]any) []string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, k+" "+value(m[k]))
	}
	return out
}

func asMap(v any) map[string]any {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // plain structs of numbers and words
	}
	m := map[string]any{}
	if err := json.Unmarshal(text, &m); err != nil {
		panic(err)
	}
	return m
}

// grouped puts together the layers with the same change, and the changes of the same layers.
type grouped struct{ what, layers []string }

func (g *grouped) add(what, layer string) {
	if i := slices.Index(g.what, what); i >= 0 {
		g.layers[i] += ", " + layer
		return
	}
	g.what, g.layers = append(g.what, what), append(g.layers, layer)
}

func (g *grouped) text() []string {
	var out, seen []string
	for i, layers := range g.layers {
		if slices.Contains(seen, layers) {
			continue
		}
		seen = append(seen, layers)
		var all []string
		for j := i; j < len(g.what); j++ {
			if g.layers[j] == layers {
				all = append(all, g.what[j])
			}
		}
		if n := strings.Count(layers, ",") + 1; n > 3 {
			first, _, _ := strings.Cut(layers, ",")
			last := layers[strings.LastIndex(layers, " ")+1:]
			layers = fmt.Sprintf("%s … %s (%d)", first, last, n)
		}
		out = append(out, layers+": "+strings.Join(all, ", "))
	}
	return out
}
