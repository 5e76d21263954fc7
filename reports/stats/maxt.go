package stats

import (
	"cmp"
	"math"
	"slices"
)

// MaxT adjusts the sign-flip tests of a family for each other: Westfall and Young's step-down max-T
// (Resampling-Based Multiple Testing, 1993, algorithm 2.8), with one sign a seed flipped for all rows
// together. With u(j) the studentised statistic of row j and rows in order of it,
//
//	adjusted p(i) = share of the sign patterns with max over j ≥ i of u(j; pattern) ≥ u(i; observed),
//
// and never below the adjusted p of the row before. It controls the chance of even one false claim if, for
// the rows without a difference, a seed's differences could as well all have had the other sign. Since
// one pattern serves all rows, p can be as small as 2/2^k for any number of rows; of one row it is SignFlip's.
//
// d has the differences by row and seed; a seed that a row lacks is NaN, counts 0 in that
// row's sums, and so leaves the row the floor of its own seeds. A row without seeds gets NaN, and adds nothing.
func MaxT(d [][]float64) []float64 { return maxT(d, usual) }

func maxT(d [][]float64, count counting) []float64 {
	f := newFlips(d, count)
	adjusted := make([]float64, len(d))
	var order []int
	observed := make([]float64, len(d))
	f.first(func(sums []float64) {
		for j := range d {
			if adjusted[j] = math.NaN(); slices.ContainsFunc(d[j], finite) {
				order = append(order, j)
				observed[j] = f.statistic(j, sums[j])
			}
		}
	})
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(observed[b], observed[a]) })
	if len(order) == 1 && !f.exact {
		if p, ok := latticeP(d[order[0]]); ok {
			adjusted[order[0]] = p
			return adjusted
		}
	}
	hits := make([]int, len(order))
	f.each(nil, func(sums []float64) {
		highest := 0.0
		for i := len(order) - 1; i >= 0; i-- {
			j := order[i]
			if highest = max(highest, f.statistic(j, sums[j])); highest >= observed[j]-sameStatistic {
				hits[i]++
			}
		}
	})
	p := 0.0
	for i, j := range order {
		p = max(p, float64(hits[i])/float64(f.patterns))
		adjusted[j] = p
	}
	return adjusted
}

// first visits only the observed sums.
func (f *flips) first(visit func(sums []float64)) {
	sums := make([]float64, len(f.scales))
	for _, column := range f.columns {
		for j, v := range column {
			sums[j] += v
		}
	}
	visit(sums)
}

// SignFlip is the two-sided p value of the paired sign-flip test (Fisher, The
// Design of Experiments, 1935, section 21): if neither side is better, each
// difference could as well have had the other sign, so
//
//	p = share of the 2^k sign patterns with |Σ ±d| ≥ |Σ d|
//
// It needs no normal distribution, but with few pairs it cannot be small: never
// below 2/2^k. What it tests is symmetry about 0: a variant whose errors are skewed may be
// claimed though its mean is the baseline's.
//
// Up to ExactPairs pairs the patterns are counted. Beyond that the distribution is computed exactly
// where the differences are multiples of one unit, as those of error rates on a common test set are
// (latticeP); other patterns are drawn from a fixed stream, p = (1+hits)/(1+draws) (Davison and Hinkley,
// Bootstrap Methods and their Application, 1997, equation 4.11). With no pairs p
// is 1, with a difference that is not a finite number NaN.
func SignFlip(d []float64) float64 {
	switch {
	case len(d) == 0:
		return 1
	case slices.ContainsFunc(d, func(v float64) bool { return !finite(v) }):
		return math.NaN()
	}
	return MaxT([][]float64{d})[0]
}

// SignFlips returns SignFlip for each row. Patterns that must be drawn are drawn once for all rows with the same number
// of pairs.
func SignFlips(rows [][]float64) []float64 {
	p := make([]float64, len(rows))
	drawn := map[int][]int{} // rows by their number of pairs
	for j, d := range rows {
		switch k := len(d); {
		case k <= ExactPairs || slices.ContainsFunc(d, func(v float64) bool { return !finite(v) }):
			p[j] = SignFlip(d)
		default:
			var exact bool
			if p[j], exact = latticeP(d); !exact {
				drawn[k] = append(drawn[k], j)
			}
		}
	}
	for _, group := range drawn {
		part := make([][]float64, len(group))
		for i, j := range group {
			part[i] = rows[j]
		}
		for i, share := range newFlips(part, usual).shares() {
			p[group[i]] = share
		}
	}
	return p
}

// shares returns, for each row, the share of the patterns whose statistic reaches the observed one.
func (f *flips) shares() []float64 {
	observed, hits := make([]float64, len(f.scales)), make([]float64, len(f.scales))
	f.first(func(sums []float64) {
		for j, sum := range sums {
			observed[j] = f.statistic(j, sum) - sameStatistic
		}
	})
	f.each(nil, func(sums []float64) {
		for j, sum := range sums {
			if f.statistic(j, sum) >= observed[j] {
				hits[j]++
			}
		}
	})
	for j := range hits {
		hits[j] /= float64(f.patterns)
	}
	return hits
}

// latticeP returns SignFlip's p for differences that are whole multiples of a common unit, by dynamic programming over
// the sums (Pagano and Tritchler, "On obtaining permutation distributions in polynomial time", JASA 78, 1983). It
// returns false if no common unit is large enough.
func latticeP(d []float64) (float64, bool) {
	const steps = 1 << 22 // most counts that the sums may range over, times pairs
	unit, size := 0.0, 0.0
	for _, v := range d {
		if finite(v) && v != 0 {
			unit = commonUnit(unit, math.Abs(v))
			size += math.Abs(v)
		}
	}
	if size == 0 {
		return 1, true
	}
	if unit == 0 || size/unit*float64(len(d)) > steps {
		return 0, false
	}
	total := int(math.Round(size / unit))
	share := make([]float64, 2*total+1) // share of the patterns, by sum
	share[total] = 1
	observed, reached := 0, 0
	next := make([]float64, len(share))
	for _, v := range d {
		n := 0
		if finite(v) {
			n = int(math.Round(v / unit))
			if math.Abs(v/unit-float64(n)) > 1e-3 {
				return 0, false
			}
		}
		observed += n
		n = max(n, -n)
		clear(next)
		for i := total - reached; i <= total+reached; i++ {
			next[i-n] += share[i] / 2
			next[i+n] += share[i] / 2
		}
		reached += n
		share, next = next, share
	}
	p := 0.0
	for i, v := range share {
		if max(i-total, total-i) >= max(observed, -observed) {
			p += v
		}
	}
	return min(p, 1), true
}

// commonUnit finds Euclid's greatest common divisor of numbers with rounding errors; a is 0 or the unit so far. It
// returns 0 if there is no unit above 1e-8.
func commonUnit(a, b float64) float64 {
	for a > 1e-8 {
		a, b = math.Abs(math.Remainder(b, a)), a
	}
	if b < 1e-8 {
		return 0
	}
	return b
}
