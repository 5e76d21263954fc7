package reports

import (
	"fmt"
	"slices"
	"strings"
)

// importNotes names the figures that ablate did not record itself.
func importNotes(records []outcome) []string {
	var sources []string
	imported := 0
	for _, r := range records {
		if i := r.Imported; i != nil {
			imported++
			sources = append(sources, Sanitize(i.From+" "+i.Source))
		}
	}
	if imported == 0 {
		return nil
	}
	slices.Sort(sources)
	which := "the figures were"
	if imported < len(records) {
		which = fmt.Sprintf("%d of %s were", imported, Count(len(records), "run"))
	}
	return []string{fmt.Sprintf("%s imported, not measured by ablate: %s", which,
		strings.Join(slices.Compact(sources), "; "))}
}
