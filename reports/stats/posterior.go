package stats

import (
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

// A Posterior states what paired differences imply for the mean difference in Bayesian terms.
type Posterior struct {
	Lower  float64 // P(Δ < 0): the variant's figure is the lower
	Within float64 // P(|Δ| < margin); 0 without a margin
}

// PosteriorOf uses a closed form: normal differences and the prior p(Δ, σ) ∝ 1/σ give (Δ − mean)/(sd/√k) Student's t
// with k−1 degrees of freedom (Gelman et al., Bayesian Data Analysis, 3rd ed. 2013, section 3.2; for comparisons of
// classifiers Benavoli et al., JMLR 18, 2017). It also works with two to five seeds, where the sign-flip test cannot
// claim anything, but it assumes normal differences. It returns nil with fewer than two values or without spread.
func PosteriorOf(e Estimate, margin float64) *Posterior {
	if e.K < 2 || e.SD < SameDifference {
		return nil
	}
	t := distuv.StudentsT{Mu: e.Mean, Sigma: e.SD / math.Sqrt(float64(e.K)), Nu: float64(e.K - 1)}
	p := Posterior{Lower: t.CDF(0)}
	if margin > 0 {
		p.Within = t.CDF(margin) - t.CDF(-margin)
	}
	return &p
}
