package stats

import (
	"math"
	"slices"
)

// A Range holds the values of one row's mean difference that the max-T tests of a family do not rule out.
type Range struct {
	Interval *Interval // simultaneous, at 1 − alpha; nil where so few seeds rule nothing out
	Within   *Interval // simultaneous, at 1 − 2·alpha, for tests of equivalence; likewise
}

// Simultaneous inverts the max-T test of a family: a row's interval holds every x for which the
// single-step test does not reject "the row's mean is x", that is for which
//
//	share of the patterns with max(u(j; d − x; pattern), max over l ≠ j of u(l; pattern)) ≥ u(j; d − x; observed)
//
// is above alpha. As x moves away from the mean this share never rises, so the values are one interval,
// and each pattern decides one bound at either side: it is in the share from x = min(a, b) on, where
//
//	a = the smaller of the means of the flipped and of the kept differences,
//	b = mean − √(u²·SS / (k(k − u²))), u the largest statistic of the other rows,
//
// so that the interval's ends are order statistics of those bounds, exact and without a search.
//
// adjusted are MaxT's p values. Its later steps claim more than the single step does; where they do, the
// interval ends at 0, which it excludes. So an interval excludes 0 if and only if its row's adjusted
// p is at most alpha. The single steps hold all means at once with probability 1 − alpha; what the later steps cut off
// adds their own error, at most alpha, where some rows differ and others do not (see docs/reading-a-table.md).
func Simultaneous(d [][]float64, adjusted []float64, alpha float64) []Range {
	const atOnce = 1 << 22 // bounds held in memory at a time, at either side
	f := newFlips(d, usual)
	ranges := make([]Range, len(d))
	var rows []int
	for j := range d {
		if slices.ContainsFunc(d[j], finite) {
			rows = append(rows, j)
		}
	}
	for some := range slices.Chunk(rows, max(1, atOnce/f.patterns)) {
		for i, b := range f.bounds(some, d) {
			j := some[i]
			ranges[j] = Range{b.interval(alpha), b.interval(2 * alpha)}
			if in := ranges[j].Interval; in != nil {
				in.follow(meanOf(d[j]), adjusted[j] <= alpha)
			}
		}
	}
	return ranges
}

// Alone returns the interval of one row by itself, unadjusted for any other: Simultaneous of a family of one. It
// returns Student's interval if the row has too few seeds to rule anything out.
func Alone(d []float64, alpha float64) *Interval {
	row := slices.DeleteFunc(slices.Clone(d), func(v float64) bool { return !finite(v) })
	if i := Simultaneous([][]float64{row}, []float64{SignFlip(row)}, alpha)[0].Interval; i != nil {
		return i
	}
	return Summarise(row).Interval
}

// bounds holds, for each pattern, the least and the greatest x between which the pattern is in the share.
type bounds struct{ low, high []float64 }

// A centre holds the quantities of one row from which its bounds are computed.
type centre struct {
	row        int
	k, sum     float64
	mean       float64
	squares    float64 // sum of squares around the mean
	membership int     // the column that sums the row's seeds
}

// bounds returns the bounds of some of the rows d.
func (f *flips) bounds(some []int, d [][]float64) []bounds {
	extra := make([][]float64, f.seeds)
	centres := make([]centre, len(some))
	for i, j := range some {
		centres[i] = centreOf(j, d[j])
		if same := slices.IndexFunc(some[:i], func(l int) bool { return sameSeeds(d[l], d[j]) }); same >= 0 {
			centres[i].membership = centres[same].membership
			continue
		}
		centres[i].membership = len(f.scales) + len(extra[0])
		for s := range extra {
			v := 0.0
			if s < len(d[j]) && finite(d[j][s]) {
				v = 1
			}
			extra[s] = append(extra[s], v)
		}
	}
	all := make([]bounds, len(some))
	for i := range all {
		all[i] = bounds{make([]float64, 0, f.patterns), make([]float64, 0, f.patterns)}
	}
	f.each(extra, func(sums []float64) {
		highest, second, at := 0.0, 0.0, -1
		for l := range f.scales {
			switch u := f.statistic(l, sums[l]); {
			case u > highest:
				highest, second, at = u, highest, l
			case u > second:
				second = u
			}
		}
		for i, c := range centres {
			others := highest
			if at == c.row {
				others = second
			}
			low, high := c.bound(sums[c.row], sums[c.membership], others)
			all[i].low, all[i].high = append(all[i].low, low), append(all[i].high, high)
		}
	})
	return all
}

func sameSeeds(a, b []float64) bool {
	return slices.EqualFunc(a, b, func(v, w float64) bool { return finite(v) == finite(w) })
}

func centreOf(j int, row []float64) centre {
	c := centre{row: j, mean: meanOf(row)}
	for _, v := range row {
		if finite(v) {
			c.k++
			c.sum += v
			c.squares += (v - c.mean) * (v - c.mean)
		}
	}
	return c
}

// bound returns the bounds of one pattern. sum and seeds are Σ±d and Σ±1 over the row's seeds, others the largest
// statistic of the other rows.
func (c centre) bound(sum, seeds, others float64) (low, high float64) {
	low, high = math.Inf(-1), math.Inf(1)
	if flipped, kept := (c.k-seeds)/2, (c.k+seeds)/2; flipped >= 0.5 && kept >= 0.5 {
		a, b := (c.sum-sum)/2/flipped, (c.sum+sum)/2/kept
		low, high = min(a, b), max(a, b)
	}
	reach := math.Inf(1)
	if u := others * others; c.k-u > sameStatistic {
		reach = math.Sqrt(u * c.squares / (c.k * (c.k - u)))
	}
	return min(low, c.mean-reach), max(high, c.mean+reach)
}

// interval leaves out the share alpha of the patterns at either side. It returns nil if the remaining ones bound
// nothing.
func (b bounds) interval(alpha float64) *Interval {
	out := int(alpha*float64(len(b.low)) + 1e-9)
	i := Interval{smallest(b.low, out), -smallest(negated(b.high), out)}
	if math.IsInf(i.Low, 0) || math.IsInf(i.High, 0) {
		return nil
	}
	return &i
}

// follow makes the interval exclude 0 if and only if its row is claimed.
func (i *Interval) follow(mean float64, claimed bool) {
	switch {
	case claimed && mean > 0:
		i.Low = max(i.Low, math.SmallestNonzeroFloat64)
	case claimed:
		i.High = min(i.High, -math.SmallestNonzeroFloat64)
	default: // not claimed: include 0 if rounding has cut it off
		i.Low, i.High = min(i.Low, 0), max(i.High, 0)
	}
}

// Clamp clips the interval to the possible values: [0, 1] for a share, [−1, 1] for a difference of shares.
func (i Interval) Clamp(low, high float64) Interval {
	return Interval{min(max(i.Low, low), high), max(min(i.High, high), low)}
}

// Bound returns the smallest x with the interval inside ±x.
func (i Interval) Bound() float64 { return max(math.Abs(i.Low), math.Abs(i.High)) }

func meanOf(row []float64) float64 {
	n, sum := 0, 0.0
	for _, v := range row {
		if finite(v) {
			n++
			sum += v
		}
	}
	return sum / float64(n)
}

func negated(x []float64) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = -v
	}
	return out
}

// smallest returns the value that n others of x lie below or at: Hoare's selection. It reorders x.
func smallest(x []float64, n int) float64 {
	left, right := 0, len(x)-1
	for left < right {
		pivot := x[(left+right)/2]
		i, j := left, right
		for i <= j {
			for x[i] < pivot {
				i++
			}
			for x[j] > pivot {
				j--
			}
			if i <= j {
				x[i], x[j] = x[j], x[i]
				i++
				j--
			}
		}
		switch {
		case n <= j:
			right = j
		case n >= i:
			left = i
		default:
			return x[n]
		}
	}
	return x[n]
}
