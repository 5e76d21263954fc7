package stats

import (
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
)

// ExactPairs is the largest number of seeds for which every pattern of signs is counted.
const ExactPairs = 20

// A counting states up to how many seeds every pattern is counted, and how many patterns are drawn beyond.
type counting struct{ exact, drawn int }

// usual draws 100,000 patterns beyond ExactPairs seeds: a standard error of 0.0007 at p = 0.05.
var usual = counting{ExactPairs, 100_000}

// sameStatistic is the largest distance between two studentised statistics that count as equal. Error rates are
// multiples of one test image, so statistics that really differ lie much further apart.
const sameStatistic = 1e-9

// flips are the sign patterns of k seeds on several rows of paired differences. Under the null
// hypothesis a seed's differences could as well all have had the other sign, so one sign a seed is
// flipped for all rows together: that keeps how the rows depend on each other.
type flips struct {
	seeds    int
	columns  [][]float64 // by seed, by row; 0 where the row lacks the seed
	scales   []float64   // by row: 1/√Σd², 0 for a row of zeros
	patterns int         // patterns that each visits; a pattern and its mirror count once
	exact    bool        // all patterns are visited
}

// newFlips takes differences by row and seed; those that are not finite are missing.
func newFlips(rows [][]float64, count counting) *flips {
	f := &flips{scales: make([]float64, len(rows))}
	for j, row := range rows {
		f.seeds = max(f.seeds, len(row))
		norm := 0.0
		for _, v := range row {
			if finite(v) {
				norm = math.Hypot(norm, v)
			}
		}
		if norm > 0 {
			f.scales[j] = 1 / norm
		}
	}
	f.columns = make([][]float64, f.seeds)
	for s := range f.columns {
		f.columns[s] = make([]float64, len(rows))
		for j, row := range rows {
			if s < len(row) && finite(row[s]) {
				f.columns[s][j] = row[s]
			}
		}
	}
	if f.exact = f.seeds <= count.exact; f.exact {
		f.patterns = 1 << max(f.seeds-1, 0)
	} else {
		f.patterns = 1 + count.drawn
	}
	return f
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// statistic returns row j's studentised statistic at the flipped sum: u = |Σ±d| / √Σd². Student's t of k differences is
// an increasing function of it, t² = (k−1)u²/(k−u²), and the denominator does not change with the signs.
func (f *flips) statistic(j int, sum float64) float64 { return math.Abs(sum) * f.scales[j] }

// each visits every pattern's row sums Σ±d, the observed ones first. It sums extra columns too, and appends them to the
// rows. Patterns come in the order of a Gray code, which changes one seed at a time.
func (f *flips) each(extra [][]float64, visit func(sums []float64)) {
	columns := f.columns
	if extra != nil {
		columns = make([][]float64, f.seeds)
		for s := range columns {
			columns[s] = append(append([]float64{}, f.columns[s]...), extra[s]...)
		}
	}
	if f.seeds == 0 {
		return
	}
	sums := make([]float64, len(columns[0]))
	add := func(flipped func(seed int) bool) {
		clear(sums)
		for s, column := range columns {
			if flipped(s) {
				for j, v := range column {
					sums[j] -= v
				}
			} else {
				for j, v := range column {
					sums[j] += v
				}
			}
		}
	}
	if !f.exact {
		f.draw(columns, sums, visit)
		return
	}
	const fresh = 1 << 12 // patterns after which the sums are added up again, so that rounding does not build up
	for i := range f.patterns {
		code := uint64(i ^ i>>1)
		if i%fresh == 0 {
			add(func(s int) bool { return s > 0 && code>>(s-1)&1 == 1 })
		} else {
			bit := bits.TrailingZeros64(uint64(i))
			sign := 2.0
			if code>>bit&1 == 1 {
				sign = -2
			}
			for j, v := range columns[bit+1] {
				sums[j] += sign * v
			}
		}
		visit(sums)
	}
}

// draw visits the observed signs and then patterns of a fixed stream. It adds up the sums of each four seeds once for
// all 16 of their patterns, which leaves a quarter of the additions for each pattern.
func (f *flips) draw(columns [][]float64, sums []float64, visit func(sums []float64)) {
	var fours [][16][]float64
	for four := range slices.Chunk(columns, 4) {
		fours = append(fours, signed(four))
	}
	const all = math.MaxUint64 // no sign is flipped
	random := rand.New(rand.NewPCG(0x9e3779b97f4a7c15, uint64(f.seeds)))
	for n := range f.patterns {
		clear(sums)
		word := uint64(all)
		for i, four := range fours {
			if n > 0 && i%16 == 0 {
				word = random.Uint64()
			}
			for j, v := range four[word>>(i%16*4)&15] {
				sums[j] += v
			}
		}
		visit(sums)
	}
}

// signed returns the sums of up to four columns for every pattern of their signs. A bit that is set keeps a column's
// sign.
func signed(columns [][]float64) (sums [16][]float64) {
	for pattern := range sums {
		sums[pattern] = make([]float64, len(columns[0]))
		for s, column := range columns {
			sign := 1.0
			if pattern>>s&1 == 0 {
				sign = -1
			}
			for j, v := range column {
				sums[pattern][j] += sign * v
			}
		}
	}
	return sums
}
