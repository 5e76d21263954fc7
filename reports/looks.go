package reports

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"ablate/experiments"
	"ablate/reports/stats"
)

// A Look states what may be claimed when a study is looked at while its seeds grow.
type Look struct {
	Seeds int     // seeds under which every variant's run has ended
	Alpha float64 // what the adjusted p must not exceed; 0 between looks, where nothing is claimed
	Next  int     // the number of seeds at the next declared look; 0 after the last
}

// look finds which of its declared looks a study has reached. A study without looks has its verdicts at stats.Alpha.
func (c *Comparison) look(groups [][]outcome) (Look, error) {
	seeds, partial := EndedSeeds(recordsOf(groups))
	l := Look{Seeds: seeds, Alpha: stats.Alpha}
	p := c.Options.Primary
	if p == nil || len(p.Looks) == 0 {
		return l, nil
	}
	levels, err := stats.SequentialLevels(p.Looks, stats.Spending(p.Spending))
	if err != nil {
		return l, fmt.Errorf("%w: %w", ErrOption, err)
	}
	l.Alpha = 0
	if i := slices.Index(p.Looks, seeds); i >= 0 && !partial {
		l.Alpha = levels[i]
	}
	if i := slices.IndexFunc(p.Looks, func(k int) bool { return k > seeds }); i >= 0 {
		l.Next = p.Looks[i]
	}
	return l, nil
}

// recordsOf returns the records of all rows.
func recordsOf(groups [][]outcome) []experiments.Record {
	var records []experiments.Record
	for _, g := range groups {
		for _, o := range g {
			records = append(records, o.Record)
		}
	}
	return records
}

// EndedSeeds counts the seeds under which every variant with records has a run that has ended in any way. partial
// reports whether some run has ended under another seed.
func EndedSeeds(records []experiments.Record) (seeds int, partial bool) {
	variants := map[string]bool{}
	ended := map[uint64]int{}
	for _, r := range records {
		variants[r.Variant] = true
		switch r.Status {
		case experiments.Done, experiments.Diverged, experiments.Failed:
			ended[r.Seed]++
		}
	}
	for _, n := range ended {
		if n == len(variants) {
			seeds++
		} else {
			partial = true
		}
	}
	return seeds, partial
}

// lookNotes states how often the study was looked at, and what that leaves for this look.
func (c *Comparison) lookNotes() []string {
	p := c.Options.Primary
	earlier := slices.DeleteFunc(slices.Clone(c.Options.Looked), func(k int) bool { return k >= c.Look.Seeds })
	if p == nil || len(p.Looks) == 0 {
		if len(earlier) == 0 {
			return nil
		}
		return []string{fmt.Sprintf("looked at before, with %s: seeds were added after a look at the results, so that the "+
			"chance of a false claim at any of the looks is above 5 %%; report.sequential in a study divides it among them",
			seedCounts(earlier))}
	}
	spending := "O'Brien and Fleming"
	if stats.Spending(p.Spending) == stats.Pocock {
		spending = "Pocock"
	}
	text := fmt.Sprintf("looks declared at %s, 5 %% spent as %s do; ", seedCounts(p.Looks), spending)
	switch {
	case c.Look.Alpha > 0:
		text += fmt.Sprintf("at this one, of %s, a claim needs p ≤ %s", Count(c.Look.Seeds, "seed"), PValue(c.Look.Alpha))
	case slices.Contains(p.Looks, c.Look.Seeds):
		text += fmt.Sprintf("this one, of %s, is too early for any claim", Count(c.Look.Seeds, "seed"))
	default:
		text += fmt.Sprintf("%s are none of them: nothing is claimed", Count(c.Look.Seeds, "complete seed"))
	}
	if c.Look.Next > 0 {
		text += fmt.Sprintf("; the next is at %d", c.Look.Next)
	}
	if len(earlier) > 0 {
		text += "; looked at before, with " + seedCounts(earlier)
	}
	return []string{text}
}

// seedCounts writes "6, 8 and 12 seeds".
func seedCounts(counts []int) string {
	var words []string
	for _, k := range counts {
		words = append(words, strconv.Itoa(k))
	}
	if n := len(words); n > 1 {
		words = append(words[:n-2], words[n-2]+" and "+words[n-1])
	}
	text := strings.Join(words, ", ") + " seeds"
	if len(counts) == 1 {
		text = Count(counts[0], "seed")
	}
	return text
}
