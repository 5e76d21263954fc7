package random

import "math"

// logarithm returns ln x for 0 < x ≤ 1, to within a few units in the last place. With x = m·2^e
// and m between √½ and √2 it is e·ln 2 + 2·artanh((m-1)/(m+1)).
func logarithm(x float64) float64 {
	m, e := math.Frexp(x)
	if m < math.Sqrt2/2 {
		m, e = 2*m, e-1
	}
	t := (m - 1) / (m + 1)
	return float64(float64(e)*math.Ln2) + float64(2*t*horner(artanh[:], float64(t*t)))
}

// sincos returns the sine and cosine of u full turns, 0 ≤ u < 1. It takes off the quarter turns
// exactly, before it multiplies by π; the rest is at most an eighth of a turn.
func sincos(u float64) (sin, cos float64) {
	quarters := math.Floor(4*u + 0.5)
	a := (4*u - quarters) * (math.Pi / 2)
	q := float64(a * a)
	sin, cos = a*horner(sine[:], q), horner(cosine[:], q)
	switch int(quarters) % 4 {
	case 1:
		return cos, -sin
	case 2:
		return -sin, -cos
	case 3:
		return -cos, sin
	}
	return sin, cos
}

// horner returns c[0] + c[1]·x + c[2]·x² + …, with every product rounded by itself.
func horner(c []float64, x float64) float64 {
	sum := 0.0
	for i := len(c) - 1; i >= 0; i-- {
		sum = c[i] + float64(x*sum)
	}
	return sum
}

// Taylor coefficients, as many as make a difference to a float64 on the ranges above: of
// artanh(t)/t in t², and of sin(a)/a and cos(a) in a².
var (
	artanh = [...]float64{
		1, 1.0 / 3, 1.0 / 5, 1.0 / 7, 1.0 / 9, 1.0 / 11,
		1.0 / 13, 1.0 / 15, 1.0 / 17, 1.0 / 19, 1.0 / 21, 1.0 / 23,
	}
	sine = [...]float64{
		1, -1.0 / 6, 1.0 / 120, -1.0 / 5_040, 1.0 / 362_880,
		-1.0 / 39_916_800, 1.0 / 6_227_020_800, -1.0 / 1_307_674_368_000, 1.0 / 355_687_428_096_000,
	}
	cosine = [...]float64{
		1, -1.0 / 2, 1.0 / 24, -1.0 / 720, 1.0 / 40_320, -1.0 / 3_628_800,
		1.0 / 479_001_600, -1.0 / 87_178_291_200, 1.0 / 20_922_789_888_000, -1.0 / 6_402_373_705_728_000,
	}
)

// exponential returns eˣ for moderate x: x = k·ln 2 + r, and the series of eʳ.
func exponential(x float64) float64 {
	k := math.Floor(x/math.Ln2 + 0.5)
	r := x - float64(k*math.Ln2)
	sum := 1.0
	for n := 18; n > 0; n-- {
		sum = 1 + float64(r*sum)/float64(n)
	}
	return math.Ldexp(sum, int(k))
}
