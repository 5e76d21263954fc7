package reports

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"ablate/recipe"
)

// byVariantName groups another study's outcomes by variant.
func byVariantName(records []outcome) map[string][]outcome {
	groups := map[string][]outcome{}
	for _, r := range records {
		groups[r.Variant] = append(groups[r.Variant], r)
	}
	return groups
}

// describeAgainst states in each row how its recipe differs from its rival's in the other study.
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
			row.Changes = c.recipeChanges(other[0].Recipe, groups[i][0].Recipe)
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

// recipeChanges returns the differences between two recorded recipes, as recipe.Changes lists them.
func (c *Comparison) recipeChanges(from, to json.RawMessage) []string {
	a, b := c.recipes.ours(from), c.recipes.ours(to)
	switch {
	case a != nil && b != nil:
		return recipe.Changes(*a, *b)
	case bytes.Equal(from, to):
		return nil
	}
	return []string{"another recipe"} // one of them cannot be read, such as an import's
}
