package reports

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// tuningNotes lists the values that each variant has found for itself, and those that lie at the end of the values
// tried.
func (c *Comparison) tuningNotes() []string {
	t := c.Options.Tuning
	if t == nil || len(t.Chosen) == 0 {
		return nil
	}
	var found, ends []string
	for _, r := range c.Rows {
		values, ok := t.Chosen[r.Variant]
		if !ok || len(values) != len(t.Keys) {
			continue
		}
		found = append(found, Sanitize(r.Variant)+" "+Sanitize(strings.Join(values, ", ")))
		for k, key := range t.Keys {
			var tried []string
			for _, s := range t.Tried {
				if k < len(s) {
					tried = append(tried, s[k])
				}
			}
			if atEnd(values[k], tried) {
				ends = append(ends, fmt.Sprintf("%s (%s %s)", Sanitize(r.Variant), Sanitize(key), Sanitize(values[k])))
			}
		}
	}
	notes := []string{fmt.Sprintf("each variant found its own %s first, of the same %s, under %s that the comparison "+
		"does not use, by %s: %s; the runs are those of study %s", Sanitize(strings.Join(t.Keys, ", ")),
		Count(len(t.Tried), "setting"), Count(len(t.Seeds), "seed"), Sanitize(t.Metric), strings.Join(found, "; "),
		Sanitize(t.Study))}
	if len(ends) > 0 {
		notes = append(notes, "best at the end of what was tried, so that a value beyond it may be better: "+
			strings.Join(ends, ", "))
	}
	return notes
}

// atEnd reports whether a number is the least or the greatest of several that were tried.
func atEnd(value string, tried []string) bool {
	v, err := strconv.ParseFloat(value, 64)
	if err != nil {
		return false
	}
	var all []float64
	for _, text := range tried {
		n, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return false
		}
		all = append(all, n)
	}
	return len(all) > 0 && slices.Min(all) < slices.Max(all) && (v == slices.Min(all) || v == slices.Max(all))
}
