package stats

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

// A Spending states how much of Alpha may be spent once a share t of the seeds has ended (Lan and DeMets, "Discrete
// sequential boundaries for clinical trials", Biometrika 70, 1983).
type Spending string

// The spending functions.
const (
	Pocock        Spending = "pocock"         // α·ln(1 + (e−1)·t): about the same level at every look
	OBrienFleming Spending = "obrien-fleming" // 2 − 2Φ(z(α/4)/√t) of either side: almost all of it at the last
)

func (s Spending) spent(t float64) (float64, error) {
	switch s {
	case Pocock:
		return Alpha * math.Log(1+(math.E-1)*t), nil
	case OBrienFleming, "":
		return 4 * distuv.UnitNormal.Survival(distuv.UnitNormal.Quantile(1-Alpha/4)/math.Sqrt(t)), nil
	}
	return 0, fmt.Errorf("spending is %q; known: %s, %s", string(s), OBrienFleming, Pocock)
}

// SequentialLevels returns the levels that the adjusted p must not exceed at each of several looks, rising numbers of
// seeds, so that the chance of a false claim at any of them stays below Alpha. Each look's level is what may be spent
// by then less what was spent before. A permutation test's p is at most a level with at most that probability, whatever
// the differences are and however many rows there are. The sum of the levels therefore bounds the chance of all looks
// together (Boole), without any normal distribution. A look with so few seeds that the sign-flip test cannot reach its
// level has level 0, and leaves the error rate to the next look.
func SequentialLevels(looks []int, spending Spending) ([]float64, error) {
	levels := make([]float64, len(looks))
	spent := 0.0
	for i, k := range looks {
		if k < 1 || i > 0 && k <= looks[i-1] {
			return nil, fmt.Errorf("looks %v are no rising numbers of seeds", looks)
		}
		may, err := spending.spent(float64(k) / float64(looks[len(looks)-1]))
		if err != nil {
			return nil, err
		}
		if may-spent >= smallestP(k) {
			levels[i], spent = may-spent, may
		}
	}
	return levels, nil
}
