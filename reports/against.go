package reports

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// byVariantName shares another study's outcomes out to their variants.
func byVariantName(records []outcome) map[string][]outcome {
	groups := map[string][]outcome{}
	for _, r := range records {
		groups[r.Variant] = append(groups[r.Variant], r)
	}
	return groups
}

// describeAgainst has each row say what its recipe changes of its rival's in the other study.
func (c *Comparison) describeAgainst(groups [][]outcome, against map[string][]outcome) {
	for i := range c.Rows {
		row := &c.Rows[i]
		row.Changes = nil
		other := against[row.Variant]
		if len(other) == 0 {
			row.Notes = append(row.Notes, Sanitize(c.Against)+" has no variant of this name")
			continue
		}
		if len(groups[i]) > 0 {
			row.Changes = recipeChanges(other[0].Recipe, groups[i][0].Recipe)
		}
	}
	var only []string
	for _, name := range slices.Sorted(maps.Keys(against)) {
		if !slices.ContainsFunc(c.Rows, func(r Row) bool { return r.Variant == name }) {
			only = append(only, Sanitize(name))
		}
	}
	if len(only) > 0 {
		c.Notes = append(c.Notes, fmt.Sprintf("only %s has %s", Sanitize(c.Against), strings.Join(only, ", ")))
	}
}

// recipeChanges lists the keys that differ between two recorded recipes, "train.epochs 4→10". Where
// the data lay changes no result and is left out.
func recipeChanges(from, to json.RawMessage) []string {
	return jsonChanges("", decoded(from), decoded(to))
}

// decoded is JSON as values, numbers as they are written. Text that is no JSON differs from all other text.
func decoded(text json.RawMessage) any {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return string(text)
	}
	return v
}

// maxValue is the most characters of a value that are written out.
const maxValue = 24

func jsonChanges(path string, a, b any) []string {
	x, xm := a.(map[string]any)
	y, ym := b.(map[string]any)
	if !xm || !ym {
		from, to := jsonText(a), jsonText(b)
		switch {
		case from == to:
			return nil
		case len(from) > maxValue || len(to) > maxValue:
			return []string{path + " differs"}
		}
		return []string{path + " " + from + "→" + to}
	}
	keys := maps.Clone(x)
	maps.Copy(keys, y)
	var out []string
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		at := strings.TrimPrefix(path+"."+k, ".")
		if at != "data.root" {
			out = append(out, jsonChanges(at, x[k], y[k])...)
		}
	}
	return out
}

// jsonText writes a value in one line, – for none. Keys come sorted.
func jsonText(v any) string {
	if v == nil {
		return none
	}
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return strings.Trim(string(text), `"`)
}
