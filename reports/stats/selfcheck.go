package stats

import (
	"math"
	"math/rand/v2"
)

// A SelfCheck is what came of comparing one variant with itself.
type SelfCheck struct {
	Pairs  int     // of one comparison
	Splits int     // comparisons made
	Level  float64 // p at or below which a comparison counts as a difference
	Found  int     // differences
}

const (
	selfCheckSplits = 2000
	selfCheckPairs  = 14 // more would only take longer: 2^13 patterns a split
)

// CheckSelf splits one variant's error rates at random into two halves, pairs
// them and asks the sign-flip test for a difference, many times, from a fixed
// stream. There is none to find, so an honest test finds one in at most Level of
// the splits: an A/A test (Kohavi et al., "Controlled experiments on the web",
// Data Mining and Knowledge Discovery 18, 2009, section 3.3.3).
//
// Level is Alpha, or the smallest p that so few pairs can reach if that is
// larger, since otherwise the check could not fail. Pairs is 0 with fewer than two values.
func CheckSelf(x []float64) SelfCheck {
	c := SelfCheck{Pairs: min(len(x)/2, selfCheckPairs)}
	if c.Pairs == 0 {
		return c
	}
	c.Splits, c.Level = selfCheckSplits, max(Alpha, smallestP(c.Pairs))
	random := rand.New(rand.NewPCG(0x5851f42d4c957f2d, uint64(len(x))))
	d := make([]float64, c.Pairs)
	for range c.Splits {
		order := random.Perm(len(x))
		for i := range d {
			d[i] = x[order[2*i]] - x[order[2*i+1]]
		}
		if SignFlip(d) <= c.Level {
			c.Found++
		}
	}
	return c
}

// Holds reports whether differences were found no more often than Level allows,
// within three standard errors of drawing the splits.
func (c SelfCheck) Holds() bool {
	n := float64(c.Splits)
	return float64(c.Found) <= n*c.Level+3*math.Sqrt(n*c.Level*(1-c.Level))
}
