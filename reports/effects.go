package reports

import (
	"cmp"
	"math/bits"
	"slices"
	"strings"

	"ablate/reports/stats"
)

// An Effect is what one ablation does on average over all others in a factorial
// design, or how several act together beyond that (stats.Contrast). Differences
// are as in Delta: above 0 the ablation raises the error.
type Effect struct {
	Factors []string // one for a main effect, more for an interaction
	stats.Paired
	Holm    float64 // P adjusted over all effects of the design
	Verdict stats.Verdict
}

// What a claim of an interaction says: how several ablations together depart from the sum of what each does alone.
const (
	MoreThanSum stats.Word = "more than the sum" // the figure is higher
	LessThanSum stats.Word = "less than the sum"
)

// effects analyses a study whose variants are all combinations of at least two
// ablations, as design factorial makes them, over the seeds that every variant
// has finished. For other studies, and where no seed is whole, there are none.
// Where runs diverged nothing is claimed: the seeds left out are not just any.
func effects(rows []Row, groups [][]outcome, metric Metric) []Effect {
	factors, cells := cellsOf(rows, groups)
	if cells == nil {
		return nil
	}
	var y [][]float64 // by seed, by cell
	for _, r := range cells[0] {
		values := make([]float64, len(cells))
		whole := true
		for i, cell := range cells {
			at := slices.IndexFunc(cell, func(o outcome) bool { return o.Seed == r.Seed && o.counts })
			if at < 0 {
				whole = false
				break
			}
			values[i] = cell[at].value
		}
		if whole {
			y = append(y, values)
		}
	}
	if len(y) == 0 {
		return nil
	}
	var all []Effect
	for set := uint(1); set < uint(len(cells)); set++ {
		e := Effect{}
		for i, f := range factors {
			if set>>i&1 == 1 {
				e.Factors = append(e.Factors, f)
			}
		}
		d := make([]float64, len(y))
		for i, values := range y {
			d[i] = stats.Contrast(values, set)
		}
		e.Paired = stats.ComparePaired(d)
		all = append(all, e)
	}
	slices.SortStableFunc(all, func(a, b Effect) int { return cmp.Compare(len(a.Factors), len(b.Factors)) })
	p := make([]float64, len(all))
	for i, e := range all {
		p[i] = e.P
	}
	for i, holm := range stats.Holm(p) {
		all[i].Holm = holm
		all[i].Verdict = metric.judge(all[i].Paired, holm, len(all))
		switch {
		case !all[i].Claims():
		case slices.ContainsFunc(cells, diverged):
			all[i].Verdict = stats.Verdict{Word: stats.NoEvidence}
		case len(all[i].Factors) == 1:
		case all[i].Mean > 0:
			all[i].Verdict.Word = MoreThanSum
		default:
			all[i].Verdict.Word = LessThanSum
		}
	}
	return all
}

// cellsOf puts the groups in the order stats.Contrast wants: bit i of a cell's
// number says whether factor i is ablated. nil where the rows are no such design.
func cellsOf(rows []Row, groups [][]outcome) (factors []string, cells [][]outcome) {
	for _, r := range rows {
		for _, a := range r.Ablations {
			if !slices.Contains(factors, a) {
				factors = append(factors, a)
			}
		}
	}
	if len(factors) < 2 || bits.Len(uint(len(rows)-1)) != len(factors) || bits.OnesCount(uint(len(rows))) != 1 {
		return nil, nil
	}
	cells = make([][]outcome, len(rows))
	for i, r := range rows {
		cell := 0
		for _, a := range r.Ablations {
			cell |= 1 << slices.Index(factors, a)
		}
		if cells[cell] != nil || bits.OnesCount(uint(cell)) == 0 && i > 0 || recipes(groups[i]) > 1 || len(groups[i]) == 0 {
			return nil, nil
		}
		cells[cell] = groups[i]
	}
	return factors, cells
}

// Claims reports whether the statistics carry the effect.
func (e Effect) Claims() bool {
	return slices.Contains([]stats.Word{stats.Better, stats.Worse, MoreThanSum, LessThanSum}, e.Verdict.Word)
}

// Name writes "no-lrn × tanh".
func (e Effect) Name() string { return strings.Join(e.Factors, " × ") }
