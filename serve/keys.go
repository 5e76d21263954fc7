package serve

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"ablate/experiments"
)

// recipeKeys are a recipe as keys and values: train.lr, data.name, net.conv1.filters.
type recipeKeys struct {
	text   json.RawMessage
	values map[string]string
	epochs int
}

// maxKeys bounds how many keys of a recipe, which may come from anywhere, are kept.
const maxKeys = 4096

func newRecipeKeys(text json.RawMessage) *recipeKeys {
	k := &recipeKeys{text: text, values: map[string]string{}}
	flatten(k.values, "", decode(text))
	k.epochs, _ = strconv.Atoi(k.values["train.epochs"])
	return k
}

// decode reads JSON with its numbers as they are written.
func decode(text []byte) any {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return nil
	}
	return v
}

// flatten writes the leaves of a JSON value under dotted keys. A layer goes by its name instead of its place.
func flatten(to map[string]string, key string, v any) {
	if len(to) >= maxKeys {
		return
	}
	under := func(name string) string { return strings.TrimPrefix(key+"."+name, ".") }
	switch v := v.(type) {
	case nil:
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			flatten(to, under(name), v[name])
		}
	case []any:
		if !slices.ContainsFunc(v, func(e any) bool { _, ok := e.(map[string]any); return ok }) {
			words := make([]string, len(v))
			for i := range v {
				words[i] = fmt.Sprint(v[i])
			}
			to[key] = strings.Join(words, " ")
			return
		}
		for i, e := range v {
			name, value := named(e)
			if name == "" {
				name = strconv.Itoa(i)
			}
			if strings.HasSuffix(key, "layers") {
				flatten(to, strings.TrimPrefix(strings.TrimSuffix(key, "layers")+name, "."), value)
			} else {
				flatten(to, under(name), value)
			}
		}
	default:
		to[key] = fmt.Sprint(v)
	}
}

// named returns the name of a layer, {"conv": {"name": "conv1", …}}, and its values with its kind among them.
func named(e any) (string, any) {
	m, ok := e.(map[string]any)
	if !ok || len(m) != 1 {
		return "", e
	}
	for kind, v := range m {
		values, ok := v.(map[string]any)
		if !ok {
			return "", e
		}
		name, _ := values["name"].(string)
		all := maps.Clone(values)
		delete(all, "name")
		all["kind"] = kind
		return name, all
	}
	return "", e
}

// recordKeys are all of a run's record that can be compared: what differs between two runs is told by them.
func recordKeys(r experiments.Record) map[string]string {
	recipe := r.Recipe
	attempts := r.Attempts
	r.Recipe, r.Attempts, r.Changes = nil, nil, nil
	keys := map[string]string{}
	if text, err := json.Marshal(r); err == nil {
		flatten(keys, "", decode(text))
	}
	if n := len(attempts); n > 0 {
		a := attempts[n-1]
		keys["attempts"], keys["host"], keys["device"], keys["hardware"] = strconv.Itoa(n), a.Host, a.Device, a.Hardware
	}
	flatten(keys, "", decode(recipe))
	return keys
}
