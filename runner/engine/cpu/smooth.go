package cpu

import "math"

// The numbers below and the order of the operations are those of _asm/smooth.go, so that
// every instruction set returns the same bits. The terms are least-squares fits, weighted
// until the largest relative error is the smallest (Lawson 1961), and rounded:
//
//	(artanh(s)/s − 1)/s² of s² ≤ 1/9                                relative error of artanh 5e-9
//	Φ(−t)·e^(t²/2)/q of t ≤ 13.2, q = 1/(1 + 0.35t)                 relative error of Φ      3e-8
//
// TestUnitsAgainstFloat64 bounds the error of each function.
var (
	atanhTerms  = [...]float32{0.14005993, 0.14000903, 0.20010763, 0.3333321}
	normalTerms = [...]float32{-0.029108893, 0.14378804, -0.2553269, 0.15872157, -0.02279044, 0.10536907, 0.11986912,
		0.13985670, 0.1396217}
)

const (
	normalScale = 0.35
	normalLimit = 13.1875    // Φ of its negative is 5e-40, and 0 farther out
	normalPeak  = 0.39894228 // 1/√(2π)
	rootHalf    = 0x3f3504f3 // the bits of √½
	topBits     = 0xfffff000 // of a float32 whose square is exact
	farAway     = 1 << 30    // from here on √(x² + 1) equals x
)

// twiceArtanh returns 2·artanh(s) for |s| ≤ 1/3.
func twiceArtanh(s float32) float32 {
	square := float32(s * s)
	p := atanhTerms[0]
	for _, term := range atanhTerms[1:] {
		p = float32(p*square) + term
	}
	twice := s + s
	return float32(float32(p*square)*twice) + twice
}

// softplusGo sets y = max(x, 0) + log(1 + e^−|x|) − shift, with the logarithm as 2·artanh(e/(2 + e)).
func softplusGo(y, x []float32, shift float32) {
	y = y[:len(x)]
	for i, v := range x {
		e, _ := expOfNegative(min(magnitude(v), 87), 0)
		y[i] = max(v, 0) + twiceArtanh(e/(e+2)) - shift
	}
}

// softplusGradGo sets dx = dy·(1 − e^−(y + shift)).
func softplusGradGo(dx, y, dy []float32, shift float32) {
	dy, dx = dy[:len(y)], dx[:len(y)]
	for i, v := range y {
		t := min(magnitude(v+shift), 87)
		e, left := expOfNegative(t, 0)
		if !(t < 0.3) {
			left = e - 1
		}
		dx[i] = (0 - left) * dy[i]
	}
}

// arcsinhGo sets y = log(1 + w) with w = x + x²/(1 + √(x² + 1)). The logarithm is that of u, which is
// 1 + w rounded, plus the rounding error divided by u. u is 2^k·m, with m around 1.
func arcsinhGo(y, x []float32) {
	y = y[:len(x)]
	for i, v := range x {
		t := magnitude(v)
		w := float32(t * t)
		w /= float32(math.Sqrt(float64(w+1))) + 1
		if !(t < farAway) {
			w = t
		}
		w += t

		u := w + 1
		lost := (w - (u - 1)) / u
		power := (int32(math.Float32bits(u)) - rootHalf) >> 23
		m := math.Float32frombits(math.Float32bits(u)-uint32(power)<<23) - 1
		k := float32(power)
		r := float32(k*ln2Low) + lost
		r += twiceArtanh(m / (m + 2))
		r += float32(k * ln2High)
		if !(w < float32(math.Inf(1))) {
			r = w
		}
		y[i] = math.Float32frombits(math.Float32bits(r) | math.Float32bits(v)&(1<<31))
	}
}

// arcsinhGradGo sets dx = dy/cosh(y).
func arcsinhGradGo(dx, y, dy []float32) {
	dy, dx = dy[:len(y)], dx[:len(y)]
	for i, v := range y {
		e, _ := expOfNegative(min(magnitude(v), 87), 0)
		dx[i] = (e + e) / (float32(e*e) + 1) * dy[i]
	}
}

// normalDistribution returns Φ(x) and e^(−x²/2). The square is computed in two parts: if it were
// rounded as one, its error would grow with it.
func normalDistribution(x float32) (phi, density float32) {
	t := min(magnitude(x), normalLimit)
	top := math.Float32frombits(math.Float32bits(t) & topBits)
	low := float32(float32((t-top)*(t+top)) * 0.5)
	e, _ := expOfNegative(float32(float32(top*top)*0.5), low)
	if !(t < normalLimit) {
		e = 0
	}
	q := 1 / (float32(t*normalScale) + 1)
	p := normalTerms[0]
	for _, term := range normalTerms[1:] {
		p = float32(p*q) + term
	}
	tail := float32(float32(p*q) * e)
	if x < 0 {
		return tail, e
	}
	return 1 - tail, e
}

// geluGo sets y = x·Φ(x).
func geluGo(y, x []float32) {
	y = y[:len(x)]
	for i, v := range x {
		phi, _ := normalDistribution(v)
		y[i] = v * phi
	}
}

// geluGradGo sets dx = dy·(Φ(x) + x·φ(x)).
func geluGradGo(dx, x, dy []float32) {
	dy, dx = dy[:len(x)], dx[:len(x)]
	for i, v := range x {
		phi, e := normalDistribution(v)
		dx[i] = (float32(float32(e*normalPeak)*v) + phi) * dy[i]
	}
}

// siluGo sets y = x·σ(x).
func siluGo(y, x []float32) {
	y = y[:len(x)]
	for i, v := range x {
		y[i] = v * logistic(v)
	}
}

// siluGradGo sets dx = dy·σ(x)·(1 + x·(1 − σ(x))).
func siluGradGo(dx, x, dy []float32) {
	dy, dx = dy[:len(x)], dx[:len(x)]
	for i, v := range x {
		s := logistic(v)
		dx[i] = float32(dy[i]*s) * (1 + float32(v*(1-s)))
	}
}

// hardSwishGo sets y = x·min(max(x + 3, 0), 6)/6.
func hardSwishGo(y, x []float32) {
	y = y[:len(x)]
	for i, v := range x {
		y[i] = float32(v*min(max(v+3, 0), 6)) / 6
	}
}

// hardSwishGradGo sets dx = dy·(2x + 3)/6 between −3 and 3, 0 below and dy above.
func hardSwishGradGo(dx, x, dy []float32) {
	dy, dx = dy[:len(x)], dx[:len(x)]
	for i, v := range x {
		slope := (v + v + 3) / 6
		switch {
		case v <= -3:
			slope = 0
		case v >= 3:
			slope = 1
		}
		dx[i] = slope * dy[i]
	}
}
