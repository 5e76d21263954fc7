package reports

import (
	"cmp"
	"math"
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
	Alone    *stats.Interval // of this effect by itself; nil unless Options.Unadjusted asks for it
	Adjusted float64         // P adjusted over the effects and rows of the table
	Verdict  stats.Verdict
}

// effects returns the effects of a study whose variants are all combinations of at least two ablations, as design
// factorial makes them. Their contrasts are by c.Seeds, and NaN where a variant has not finished the seed. Other
// studies have no effects, and neither has a study in which no seed is complete.
func (c *Comparison) effects(groups [][]outcome) (all []Effect, contrasts [][]float64) {
	if c.Against != "" {
		return nil, nil
	}
	factors, cells := cellsOf(c.Rows, groups)
	if cells == nil {
		return nil, nil
	}
	var y [][]float64 // by seed, by cell; nil where a cell has not finished the seed
	whole := 0
	for _, seed := range c.Seeds {
		values := make([]float64, len(cells))
		for i, cell := range cells {
			at := slices.IndexFunc(cell, func(o outcome) bool { return o.Seed == seed && o.counts })
			if at < 0 {
				values = nil
				break
			}
			values[i] = cell[at].value
		}
		if values != nil {
			whole++
		}
		y = append(y, values)
	}
	if whole == 0 {
		return nil, nil
	}
	sets := make([]uint, 0, len(cells)-1)
	for set := uint(1); set < uint(len(cells)); set++ {
		sets = append(sets, set)
	}
	slices.SortStableFunc(sets, func(a, b uint) int { return cmp.Compare(bits.OnesCount(a), bits.OnesCount(b)) })
	for _, set := range sets {
		e := Effect{}
		for i, f := range factors {
			if set>>i&1 == 1 {
				e.Factors = append(e.Factors, f)
			}
		}
		d := make([]float64, len(y))
		for i, values := range y {
			d[i] = math.NaN()
			if values != nil {
				d[i] = stats.Contrast(values, set)
			}
		}
		all, contrasts = append(all, e), append(contrasts, d)
	}
	return all, contrasts
}

// judge sets the effect's verdict from the result of its family's test. Where runs diverged nothing is claimed, since
// the seeds left out are not a random choice.
func (e *Effect) judge(r stats.Compared, m Metric, margin float64, diverged bool) {
	e.Paired, e.Adjusted = r.Paired, r.Adjusted
	e.Interval = m.interval(r)
	if len(e.Factors) > 1 {
		e.Verdict = stats.JudgeInteraction(r, margin)
	} else {
		e.Verdict = m.judge(r, margin)
	}
	if diverged && e.Claims() {
		e.Verdict = stats.Verdict{Word: stats.NoEvidence}
	}
}

// cellsOf puts the groups in the order that stats.Contrast expects: bit i of a cell's number says whether factor i is
// ablated. It returns nil if the rows are not such a design.
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

// Claims reports whether the statistics support the effect.
func (e Effect) Claims() bool { return e.Verdict.Word.Claims() }

// Name writes "no-lrn × tanh".
func (e Effect) Name() string { return strings.Join(e.Factors, " × ") }
