package stats

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

// A Spending says how much of Alpha may be spent once a share t of the seeds is there (Lan and DeMets, "Discrete
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

// SequentialLevels are what the adjusted p must not exceed at each of several looks, rising numbers of seeds, for the
// chance of a false claim at any of them to stay below Alpha. The levels are those of normal sums with
// independent increments, whose boundary Armitage, McPherson and Rowe ("Repeated significance tests
// on accumulating data", JRSS A 132, 1969) find by integrating the density of what has not crossed
// yet, look by look. A look of so few seeds that the sign-flip test cannot reach its level spends nothing and
// leaves it to the next: its level is 0.
func SequentialLevels(looks []int, spending Spending) ([]float64, error) {
	for i, k := range looks {
		if k < 1 || i > 0 && k <= looks[i-1] {
			return nil, fmt.Errorf("looks %v are no rising numbers of seeds", looks)
		}
	}
	const half, reach = 600, 8.0 // points of the grid at either side, standard deviations that it covers
	levels := make([]float64, len(looks))
	var density []float64 // of the sum over √seeds of the look before, on its grid
	step, spent := 0.0, 0.0
	for i, k := range looks {
		may, err := spending.spent(float64(k) / float64(looks[len(looks)-1]))
		if err != nil {
			return nil, err
		}
		wide := reach * math.Sqrt(float64(k)) / half
		now := make([]float64, 2*half+1)
		for x := range now {
			at := float64(x-half) * wide
			if i == 0 {
				now[x] = distuv.Normal{Sigma: math.Sqrt(float64(k))}.Prob(at)
				continue
			}
			increment := distuv.Normal{Sigma: math.Sqrt(float64(k - looks[i-1]))}
			for y, d := range density {
				if d > 0 {
					now[x] += d * increment.Prob(at-float64(y-half)*step) * step
				}
			}
		}
		boundary := crossing(now, wide, may-spent)
		level := 2 * distuv.UnitNormal.Survival(boundary/math.Sqrt(float64(k)))
		if level >= smallestP(k) {
			levels[i] = level
			spent = may
			for x := range now {
				if math.Abs(float64(x-half)*wide) >= boundary {
					now[x] = 0
				}
			}
		}
		density, step = now, wide
	}
	return levels, nil
}

// crossing is the sum beyond which, at either side, the density has the given mass.
func crossing(density []float64, step, mass float64) float64 {
	half := len(density) / 2
	tail := 0.0
	for x := len(density) - 1; x > half; x-- {
		cell := (density[x] + density[x-1]) * step // both sides, by the trapezoid
		if tail+cell >= mass {
			return (float64(x-half) - (mass-tail)/cell) * step
		}
		tail += cell
	}
	return 0
}
