package reports

import (
	"math"

	"ablate/experiments"
	"ablate/reports/stats"
)

// compare gives every row its difference to the baseline, adjusted over all of
// them. A variant that has no pairs yet still counts in the family: it was
// declared, and its p value is only not known.
func (c *Comparison) compare(groups [][]experiments.Record) {
	if c.Baseline == "" {
		return
	}
	base, rows := &c.Rows[0], c.Rows[1:]
	c.Family = len(rows)
	errors := map[uint64]float64{}
	for _, r := range base.Runs {
		errors[r.Seed] = r.Error
	}
	mixed := recipes(groups[0]) > 1
	p := make([]float64, len(rows))
	for i := range rows {
		row := &rows[i]
		p[i] = math.NaN()
		if mixed || recipes(groups[i+1]) > 1 {
			continue // not one recipe against one other; runNotes says so
		}
		var d []float64
		for _, r := range row.Runs {
			if e, ok := errors[r.Seed]; ok {
				d = append(d, r.Error-e)
			}
		}
		if len(d) == 0 {
			continue
		}
		row.Delta = &Delta{Paired: stats.ComparePaired(d)}
		p[i] = row.Delta.P
	}
	for i, holm := range stats.Holm(p) {
		row := &rows[i]
		if d := row.Delta; d != nil {
			d.Holm = holm
			d.Verdict = stats.Judge(d.Paired, holm, c.Family)
			c.withhold(row, base)
		}
		row.Notes = append(row.Notes, pairNotes(*row, *base, groups[i+1], groups[0])...)
	}
}

// withhold takes back a claim in favour of a side that diverged: its worst
// outcomes are the very ones that Δ leaves out.
func (c *Comparison) withhold(row, base *Row) {
	v := &row.Delta.Verdict
	var side string
	switch {
	case v.Word == stats.Better && row.Status[experiments.Diverged] > 0:
		side = "this variant"
	case v.Word == stats.Worse && base.Status[experiments.Diverged] > 0:
		side = "the baseline"
	default:
		return
	}
	row.Notes = append(row.Notes, "the verdict would be "+string(v.Word)+
		", but "+side+" diverged under some seeds, and Δ leaves out just those")
	*v = stats.Verdict{Word: stats.NoEvidence}
}

// recipes counts the different recipes among a variant's runs that count.
func recipes(records []experiments.Record) int {
	seen := map[string]bool{}
	for _, r := range records {
		if counts(r) {
			seen[r.Identity] = true
		}
	}
	return len(seen)
}
