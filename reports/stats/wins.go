package stats

import "gonum.org/v1/gonum/stat/distuv"

// A Wins states how often the variant had the lower error under the same seed.
type Wins struct {
	Won, Tied, Lost int
	Share           float64  // the estimate of P(variant beats baseline); a tie is half a win
	Interval        Interval // Level interval of that probability
}

// Gamma is the probability from which a better variant matters, as Bouthillier et al. recommend.
const Gamma = 0.75

// Word returns the verdict that the interval allows (the same paper, appendix C.6): a probability above ½ is
// significant, and it matters if it may reach Gamma.
func (w Wins) Word() string {
	low, high := w.Interval.Low, w.Interval.High
	switch {
	case low > 0.5 && high > Gamma:
		return "meaningful"
	case high < 0.5 && low < 1-Gamma:
		return "meaningfully worse"
	case low > 0.5 || high < 0.5:
		return "significant, not meaningful"
	}
	return "not significant"
}

// CountWins estimates P(A>B), the probability that under a new seed the variant
// has the lower error (Bouthillier et al., "Accounting for variance in machine
// learning benchmarks", MLSys 2021, section 5). d are differences variant minus baseline.
//
// The interval is Clopper and Pearson's, not the bootstrap's of that paper,
// which has no width once one side wins every pair: exactly where few seeds say
// least. Ties count against the claim at both ends: as losses for the lower
// bound, as wins for the upper. With no pairs the interval is [0, 1].
func CountWins(d []float64) Wins {
	var w Wins
	for _, v := range d {
		switch {
		case v < 0:
			w.Won++
		case v > 0:
			w.Lost++
		default:
			w.Tied++
		}
	}
	n := len(d)
	if n == 0 {
		w.Share = 0.5
	} else {
		w.Share = (float64(w.Won) + float64(w.Tied)/2) / float64(n)
	}
	w.Interval = Interval{ClopperPearson(w.Won, n).Low, ClopperPearson(w.Won+w.Tied, n).High}
	return w
}

// ClopperPearson is the exact Level interval of a probability of which x of n
// trials came true (Clopper and Pearson, "The use of confidence or fiducial
// limits", Biometrika 26, 1934), by the beta distribution's quantiles:
//
//	low  = B(α/2; x, n−x+1), 0 where x = 0
//	high = B(1−α/2; x+1, n−x), 1 where x = n
func ClopperPearson(x, n int) Interval {
	const tail = (1 - Level) / 2
	i := Interval{0, 1}
	if x > 0 {
		i.Low = distuv.Beta{Alpha: float64(x), Beta: float64(n - x + 1)}.Quantile(tail)
	}
	if x < n {
		i.High = distuv.Beta{Alpha: float64(x + 1), Beta: float64(n - x)}.Quantile(1 - tail)
	}
	return i
}
