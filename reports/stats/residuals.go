package stats

import (
	"math"
	"math/rand/v2"
	"slices"
)

// A ResidualCheck holds how often a study's whole rule claims a difference where there is none.
type ResidualCheck struct {
	Rows, Seeds int
	Studies     int // simulated studies
	Claims      int // studies in which the rule claimed something
}

// Share returns the share of studies in which the rule claimed something.
func (c ResidualCheck) Share() float64 { return float64(c.Claims) / float64(max(c.Studies, 1)) }

// ResidualBound is the share of claims up to which a rule holds. Seeds drawn with replacement repeat, so the test is
// not exact for them: with six to twelve normal differences it claims in 2 to 15 % of the studies.
const ResidualBound = 0.15

// Holds reports whether the rule claims no more often than ResidualBound.
func (c ResidualCheck) Holds() bool { return c.Share() <= ResidualBound }

// CheckResiduals runs the family's test on studies like this one in which no row differs: each row's differences less
// their mean, seeds drawn with replacement from a fixed stream, all rows of a seed together (Efron and Tibshirani, An
// Introduction to the Bootstrap, 1993, section 16.4). The result is not fixed in advance: the drawn differences have
// mean 0 and the study's own shape, and if that is far from symmetric the test claims too often. d is in the form that
// MaxT takes. With fewer than two seeds there are no studies.
func CheckResiduals(d [][]float64) ResidualCheck {
	const studies = 2000
	c := ResidualCheck{Rows: len(d)}
	finished := 0 // seeds of the row that has most
	for _, row := range d {
		c.Seeds = max(c.Seeds, len(row))
		finished = max(finished, len(slices.DeleteFunc(slices.Clone(row), func(v float64) bool { return !finite(v) })))
	}
	if finished < 2 {
		return c
	}
	residuals := make([][]float64, c.Rows)
	drawn := make([][]float64, c.Rows)
	for j, row := range d {
		residuals[j] = make([]float64, c.Seeds)
		drawn[j] = make([]float64, c.Seeds)
		mean := meanOf(row)
		for s := range residuals[j] {
			residuals[j][s] = math.NaN()
			if s < len(row) {
				residuals[j][s] = row[s] - mean
			}
			if math.Abs(residuals[j][s]) < SameDifference { // what rounding leaves of a difference that is always the same
				residuals[j][s] = 0
			}
		}
	}
	random := rand.New(rand.NewPCG(0x5851f42d4c957f2d, uint64(c.Seeds)))
	for c.Studies < studies {
		for s := range c.Seeds {
			from := random.IntN(c.Seeds)
			for j := range drawn {
				drawn[j][s] = residuals[j][from]
			}
		}
		c.Studies++
		for _, p := range maxT(drawn, checkedPatterns) {
			if p <= Alpha {
				c.Claims++
				break
			}
		}
	}
	return c
}

// checkedPatterns counts fewer patterns than MaxT, since CheckResiduals runs the test two thousand times.
var checkedPatterns = counting{exact: 12, drawn: 2000}
