package reports

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
)

// unfit states why a row cannot be compared with its rival, judged by the records and not by the plan: data of one name
// differed, or the recipes differ in more than the variant states. It is empty if the row can be compared.
func (c *Comparison) unfit(these, those []outcome) string {
	a, b := firstCounting(these), firstCounting(those)
	if a == nil || b == nil || a.Version == 1 || b.Version == 1 { // format 1 used other words
		return ""
	}
	if splits := otherData(these, those); len(splits) > 0 && c.sameData(a.Recipe, b.Recipe) {
		return "the data were others under the same name (" + strings.Join(splits, ", ") + ")"
	}
	base := firstCounting(c.base)
	if base == nil || c.Against != "" { // then every change is shown
		return ""
	}
	var more []string
	own := c.recipes.ours(a.Recipe)
	program := own != nil && own.IsProgram() // a program's changes are all changes of settings
	for _, change := range c.recipeChanges(base.Recipe, a.Recipe) {
		key, _, _ := strings.Cut(change, " ")
		if (program || settingOf(key)) && !slices.Contains(a.Changes, change) {
			more = append(more, Sanitize(change))
		}
	}
	if len(more) > 0 {
		return "it differs from the baseline in more than it says: " + strings.Join(more, ", ")
	}
	return ""
}

// settingOf reports whether a changed key belongs to data or training, which every record describes in the same words.
func settingOf(key string) bool {
	return strings.HasPrefix(key, "data.") || strings.HasPrefix(key, "train.")
}

func firstCounting(records []outcome) *outcome {
	for i := range records {
		if records[i].counts {
			return &records[i]
		}
	}
	return nil
}

// otherData returns the splits whose digests the two sides do not share.
func otherData(these, those []outcome) []string {
	a, b := digestsOf(these), digestsOf(those)
	var others []string
	for _, split := range slices.Sorted(maps.Keys(a)) {
		if _, ok := b[split]; ok && !maps.Equal(a[split], b[split]) {
			others = append(others, split)
		}
	}
	return others
}

// digestsOf returns the digests of each split that a side's runs read.
func digestsOf(records []outcome) map[string]map[string]bool {
	all := map[string]map[string]bool{}
	for _, r := range records {
		if !r.counts || r.Provenance == nil {
			continue
		}
		for split, digest := range r.Provenance.Data {
			if all[split] == nil {
				all[split] = map[string]bool{}
			}
			all[split][digest] = true
		}
	}
	return all
}

// sameData reports whether two recipes ask for the same data.
func (c *Comparison) sameData(a, b json.RawMessage) bool {
	p, q := c.recipes.lenient(a), c.recipes.lenient(b)
	return reflect.DeepEqual(p.Data, q.Data)
}

// again reports whether a variant is the baseline itself under other seeds.
func again(changes []string) bool {
	return len(changes) == 1 && (strings.HasPrefix(changes[0], "train.seed_offset ") ||
		strings.HasPrefix(changes[0], "trainer.seed_offset "))
}

// sizeNote notes that a variant's size differs from the baseline's though none of its changes names a size.
func sizeNote(row, base Row) string {
	const much = 0.2
	for _, change := range row.Changes {
		if strings.Contains(change, "filters ") || strings.Contains(change, "outputs ") {
			return ""
		}
	}
	var moved []string
	for _, c := range []struct {
		what string
		a, b int64
	}{{"parameters", row.Params, base.Params}, {"MACs", row.MACs, base.MACs}} {
		if c.a == 0 || c.b == 0 {
			continue
		}
		if by := float64(c.a)/float64(c.b) - 1; math.Abs(by) > much {
			moved = append(moved, fmt.Sprintf("%s %s %%", c.what, strings.Replace(fmt.Sprintf("%+.0f", 100*by), "-", "−", 1)))
		}
	}
	if len(moved) == 0 {
		return ""
	}
	return "of another size than the baseline, which its changes do not name: " + strings.Join(moved, ", ")
}

// unequalSeeds notes that rows of one family were compared over different seeds.
func (c *Comparison) unequalSeeds() []string {
	seen := map[string]bool{}
	for _, r := range c.Rows {
		if d := r.Delta; d != nil {
			var seeds []uint64
			for _, p := range d.Pairs {
				seeds = append(seeds, p.Seed)
			}
			seen[seedList(seeds)] = true
		}
	}
	if len(seen) < 2 {
		return nil
	}
	return []string{"rows are compared over different seeds: the signs are flipped over all of them together, " +
		"and a seed that a row lacks adds nothing to it"}
}
