package stats

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// The figures are scipy 1.17's: binomtest(x, n).proportion_ci(0.95, "exact").
func TestClopperPearson(t *testing.T) {
	for _, c := range []struct {
		x, n      int
		low, high float64
	}{
		{5, 5, 0.47817624989501856, 1}, {6, 6, 0.5407418735600995, 1}, {10, 10, 0.6915028921812371, 1},
		{0, 7, 0, 0.4096163972250487}, {7, 8, 0.4734903291248362, 0.9968402764687477},
		{3, 10, 0.06673951117773447, 0.652452850060008}, {9, 20, 0.23057789677591792, 0.6847218669594515},
		{1, 1, 0.025, 1}, {0, 1, 0, 0.975}, {0, 0, 0, 1},
	} {
		if got := ClopperPearson(c.x, c.n); !near(got.Low, c.low, 1e-9) || !near(got.High, c.high, 1e-9) {
			t.Errorf("ClopperPearson(%d, %d) = %v, want [%v, %v]", c.x, c.n, got, c.low, c.high)
		}
	}
}

func TestCountWins(t *testing.T) {
	got := CountWins([]float64{-1, -2, 0, 3, -1, -1, -2, -5})
	if got.Won != 6 || got.Tied != 1 || got.Lost != 1 || got.Share != 6.5/8 {
		t.Errorf("got %+v", got)
	}
	// A tie is a loss below and a win above.
	if want := (Interval{ClopperPearson(6, 8).Low, ClopperPearson(7, 8).High}); got.Interval != want {
		t.Errorf("interval %v, want %v", got.Interval, want)
	}
	if got := CountWins(nil); got.Share != 0.5 || got.Interval != (Interval{0, 1}) {
		t.Errorf("of no pairs: %+v", got)
	}
}

// A probability outside the interval must be rare, whatever it is: Clopper and
// Pearson's interval covers at least Level of the time.
func TestWinsCover(t *testing.T) {
	const trials = 2000
	bound := Level - 3*math.Sqrt(Level*(1-Level)/trials)
	random := rand.New(rand.NewPCG(11, 12))
	for _, p := range []float64{0.5, 0.8, 0.95} {
		for _, k := range []int{6, 8, 15} {
			covered := 0
			for range trials {
				d := make([]float64, k)
				for i := range d {
					d[i] = 1
					if random.Float64() < p {
						d[i] = -1
					}
				}
				if !CountWins(d).Interval.Excludes(p) {
					covered++
				}
			}
			if share := float64(covered) / trials; share < bound {
				t.Errorf("P = %v, k = %d: covered in %.3f, at least %.3f should be", p, k, share, bound)
			}
		}
	}
}

// The figures are scipy 1.17's: binomtest(min(b, c), b+c).pvalue.
func TestCompareNets(t *testing.T) {
	for _, c := range []struct {
		b, c int
		want float64
	}{
		{0, 0, 1}, {1, 0, 1}, {5, 0, 0.0625}, {3, 9, 0.14599609375}, {7, 7, 1},
		{10, 20, 0.09873714670538905}, {121, 98, 0.1369339500463123},
		{30, 70, 7.85013964559367e-05}, {400, 500, 0.0009564441369189373},
	} {
		for _, got := range []McNemar{CompareNets(c.b, c.c), CompareNets(c.c, c.b)} {
			if !near(got.P, c.want, 1e-9*c.want) {
				t.Errorf("%+v: want p = %v", got, c.want)
			}
		}
	}
}

// Two nets that err equally often must be told apart in at most Alpha of cases.
func TestCompareNetsFalseClaims(t *testing.T) {
	const trials = 4000
	bound := Alpha + 3*math.Sqrt(Alpha*(1-Alpha)/trials)
	random := rand.New(rand.NewPCG(13, 14))
	for _, images := range []int{100, 1000} {
		claims := 0
		for range trials {
			b, c := 0, 0
			for range images {
				switch first, second := random.Float64() < 0.88, random.Float64() < 0.88; {
				case first && !second:
					b++
				case second && !first:
					c++
				}
			}
			if CompareNets(b, c).P <= Alpha {
				claims++
			}
		}
		if share := float64(claims) / trials; share > bound {
			t.Errorf("%d images: %.4f false claims, at most %.4f may be", images, share, bound)
		}
	}
}

// The figures are twice the coefficients of numpy's least squares over the
// factors coded −1, +1 and their products.
func TestContrast(t *testing.T) {
	y := []float64{12.3, 13.0, 12.9, 14.1, 12.4, 12.8, 13.3, 14.6}
	want := []float64{0.9, 1.1, 0.35, 0.2, -0.05, 0.25, 0.1}
	for i, w := range want {
		if got := Contrast(y, uint(i+1)); !near(got, w, 1e-12) {
			t.Errorf("Contrast(set %03b) = %v, want %v", i+1, got, w)
		}
	}
	if got := Contrast([]float64{2, 5}, 1); got != 3 {
		t.Errorf("one factor: %v, want the difference 3", got)
	}
}

// A factorial study in which nothing has an effect must claim an effect in at
// most Alpha of cases, and the cells share each seed's luck.
func TestContrastFalseClaims(t *testing.T) {
	const trials, k, factors = 2000, 9, 2
	bound := Alpha + 3*math.Sqrt(Alpha*(1-Alpha)/trials)
	random := rand.New(rand.NewPCG(15, 16))
	claims := 0
	for range trials {
		effects := make([][]float64, 1<<factors-1)
		for range k {
			luck := random.NormFloat64()
			y := make([]float64, 1<<factors)
			for cell := range y {
				y[cell] = luck + 0.5*random.NormFloat64()
			}
			for i := range effects {
				effects[i] = append(effects[i], Contrast(y, uint(i+1)))
			}
		}
		if slices.ContainsFunc(CompareFamily(effects, Alpha), func(c Compared) bool { return Judge(c, 0).Word.Claims() }) {
			claims++
		}
	}
	if share := float64(claims) / trials; share > bound {
		t.Errorf("%.4f false claims, at most %.4f may be", share, bound)
	}
}

// The figures were computed with scipy's t.ppf and norm.ppf and a plain search.
func TestPairsFor(t *testing.T) {
	for _, c := range []struct {
		effect, sd float64
		m, want    int
	}{
		{1, 1, 1, 10}, {-1, 1, 1, 10}, {0.5, 1, 4, 48}, {2, 1, 1, 6}, {0.1, 1, 1, 787}, {5, 1, 4, 6},
		{0.01, 1, 1, 0}, {0, 0, 1, 6},
	} {
		if got := PairsFor(c.effect, c.sd, c.m); got != c.want {
			t.Errorf("PairsFor(%v, %v, %d) = %d, want %d", c.effect, c.sd, c.m, got, c.want)
		}
	}
}

// The check runs the test that the study runs. It holds for symmetric differences. It fails for very skewed ones, where
// the test of symmetry claims too often.
func TestCheckResiduals(t *testing.T) {
	random := rand.New(rand.NewPCG(17, 18))
	for _, k := range []int{2, 8, 12, 24} {
		d := study(random, (*rand.Rand).NormFloat64, k, 3, 1)
		got := CheckResiduals(d)
		if got.Rows != 3 || got.Seeds != k || got.Studies != 2000 {
			t.Errorf("%d seeds: %+v", k, got)
		}
		if again := CheckResiduals(d); again != got {
			t.Errorf("%d seeds: then %+v, now %+v", k, got, again)
		}
		if k == 2 && got.Claims > 0 {
			t.Errorf("two seeds claimed %d times", got.Claims)
		}
	}
	if got := CheckResiduals([][]float64{{3}}); got.Studies != 0 {
		t.Errorf("one seed: %+v", got)
	}
	skewed := []float64{-1, -1.1, -0.9, -1.2, -0.8, -1.05, -0.95, -1.15, -0.85, -1, 12, -1.1}
	if got := CheckResiduals([][]float64{skewed}); got.Holds() {
		t.Errorf("differences of which one seed alone makes the mean 0: %+v holds", got)
	}
	symmetric := []float64{-5, -4, -3, -2, -1, -0.5, 0.5, 1, 2, 3, 4, 5}
	if got := CheckResiduals([][]float64{symmetric}); !got.Holds() {
		t.Errorf("symmetric differences: %+v does not hold", got)
	}
}
