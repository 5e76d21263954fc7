package cpu

import (
	"math"

	"ablate/runner/engine"
	"ablate/runner/graph"
)

var (
	_ = computes(newUnit)
	_ = computes(newUnitGrad)
)

// units applies a non-linearity: y = f(x).
type units struct {
	d    *Device
	f    graph.Function
	a, b float64
	x, y []float32
}

func newUnit(d *Device, op *graph.Activation, in engine.Instr) engine.Kernel {
	return &units{d: d, f: op.F, a: op.A, b: op.B, x: slice(in.In[0]), y: slice(in.Out)}
}

// Run computes all activations.
func (u *units) Run(*engine.Context) error { return u.d.workers.run(u, chunks(len(u.x))) }

func (u *units) tile(_, i int) {
	from, to := chunk(i, len(u.x))
	x, y := u.x[from:to], u.y[from:to]
	switch u.f {
	case graph.ReLU:
		u.d.isa.relu(y, x)
	case graph.Tanh:
		u.d.isa.tanh(y, x, float32(u.a), float32(u.b))
	case graph.Sigmoid:
		u.d.isa.sigmoid(y, x)
	case graph.ELU: // ab(e^x − 1), bx
		u.d.isa.elu(y, x, float32(u.a*u.b), float32(u.b))
	case graph.LeakyReLU:
		u.d.isa.leaky(y, x, x, float32(u.a), 1)
	case graph.SiLU:
		u.d.isa.silu(y, x)
	case graph.HardSwish:
		u.d.isa.hardSwish(y, x)
	case graph.GELU:
		u.d.isa.gelu(y, x)
	case graph.Softplus: // log(1 + e^x) − a
		u.d.isa.softplus(y, x, float32(u.a))
	case graph.Arcsinh:
		u.d.isa.arcsinh(y, x)
	}
}

// unitGrads is dx = dy·f'(x), from y.
type unitGrads struct {
	d         *Device
	f         graph.Function
	a, b      float64
	y, dy, dx []float32
}

func newUnitGrad(d *Device, op *graph.ActivationGrad, in engine.Instr) engine.Kernel {
	return &unitGrads{d: d, f: op.F, a: op.A, b: op.B, y: slice(in.In[0]), dy: slice(in.In[1]), dx: slice(in.Out)}
}

// Run computes all gradients.
func (u *unitGrads) Run(*engine.Context) error { return u.d.workers.run(u, chunks(len(u.y))) }

func (u *unitGrads) tile(_, i int) {
	from, to := chunk(i, len(u.y))
	y, dy, dx := u.y[from:to], u.dy[from:to], u.dx[from:to]
	switch u.f {
	case graph.ReLU:
		u.d.isa.reluGrad(dx, y, dy)
	case graph.Tanh: // (b/a)(a² − y²)
		u.d.isa.tanhGrad(dx, y, dy, float32(u.a*u.a), float32(u.b/u.a))
	case graph.Sigmoid:
		u.d.isa.sigmoidGrad(dx, y, dy)
	case graph.ELU:
		u.d.isa.eluGrad(dx, y, dy, float32(u.a*u.b), float32(u.b))
	case graph.LeakyReLU:
		u.d.isa.leaky(dx, y, dy, float32(u.a), 1)
	case graph.SiLU:
		u.d.isa.siluGrad(dx, y, dy)
	case graph.HardSwish:
		u.d.isa.hardSwishGrad(dx, y, dy)
	case graph.GELU:
		u.d.isa.geluGrad(dx, y, dy)
	case graph.Softplus: // 1 − e^−(y+a)
		u.d.isa.softplusGrad(dx, y, dy, float32(u.a))
	case graph.Arcsinh: // 1/cosh(y)
		u.d.isa.arcsinhGrad(dx, y, dy)
	}
}

// The numbers below and the order of the operations are those of _asm/units.go,
// so that every instruction set returns the same bits. The terms are interpolations at
// Chebyshev's nodes, computed with 40 digits and rounded:
//
//	(e^r − 1 − r)/r² for |r| ≤ 1.01·ln 2/2      relative error of e^r  1e-8
//	(tanh(√u)/√u − 1)/u for 0 ≤ u ≤ 0.625²      relative error of tanh 2e-8
//
// ln 2 in two parts, the first of few bits, so that its product with a whole
// number is exact (Cody and Waite, Software Manual for the Elementary Functions,
// 1980, chapter 6).
var (
	expTerms  = [...]float32{0.0013926927, 0.008363774, 0.04166655, 0.16666573, 0.5}
	tanhTerms = [...]float32{-0.006096714, 0.02099718, -0.053850908, 0.1333277, -0.33333328}
)

const (
	ln2High  = 0.693359375
	ln2Low   = -2.12194440e-4
	rounding = 3 << 22 // added and taken away again, rounds to a whole number
)

// expOfNegative returns e^−t for 0 ≤ t ≤ 87, as 2^n·e^r with a whole number n. A NaN stays. lessOne is
// e^r − 1, which equals e^−t − 1 without loss of digits where n is 0. rest is a small part of t that t
// itself lacks, or 0.
func expOfNegative(t, rest float32) (exp, lessOne float32) {
	power := float32(t*math.Log2E) + rounding // its low bits are −n
	n := power - rounding
	r := float32(n*ln2High) - t
	r += float32(n * ln2Low)
	r -= rest
	p := expTerms[0]
	for _, term := range expTerms[1:] {
		p = float32(p*r) + term
	}
	p = float32(p*r) * r
	p = float32(p + r)
	return math.Float32frombits(math.Float32bits(p+1) - math.Float32bits(power)<<23), p
}

// tanhGo sets y = a·tanh(b·x): (1 − e^−2t)/(1 + e^−2t) with t = |b·x|, and by a
// polynomial where that would lose digits.
func tanhGo(y, x []float32, a, b float32) {
	y = y[:len(x)]
	for i, v := range x {
		v *= b
		t := min(magnitude(v), 10) // tanh 10 is 1 in float32
		e, _ := expOfNegative(t+t, 0)
		r := (1 - e) / (1 + e)
		if t < 0.625 {
			square := float32(t * t)
			p := tanhTerms[0]
			for _, term := range tanhTerms[1:] {
				p = float32(p*square) + term
			}
			p = float32(p*square) * t
			r = float32(p) + t
		}
		const sign = 1 << 31
		r = math.Float32frombits(math.Float32bits(r) | math.Float32bits(v)&sign)
		y[i] = r * a
	}
}

// sigmoidGo sets y = 1/(1 + e^−x).
func sigmoidGo(y, x []float32) {
	y = y[:len(x)]
	for i, v := range x {
		y[i] = logistic(v)
	}
}

// logistic returns 1/(1 + e^−x), without overflow on either side.
func logistic(x float32) float32 {
	e, _ := expOfNegative(min(magnitude(x), 87), 0)
	if x < 0 {
		return e / (1 + e)
	}
	return 1 / (1 + e)
}

// eluGo sets y = below·(e^x − 1) where x is below 0, elsewhere above·x.
func eluGo(y, x []float32, below, above float32) {
	y = y[:len(x)]
	for i, v := range x {
		t := min(magnitude(v), 87) // e^−87 is 0 beside 1
		e, left := expOfNegative(t, 0)
		if !(t < 0.3) { // n is 0 below 0.34
			left = e - 1
		}
		if v < 0 {
			y[i] = left * below
		} else {
			y[i] = v * above
		}
	}
}

// eluGradGo sets dx = dy·(y + below) where y is below 0, elsewhere dy·above.
func eluGradGo(dx, y, dy []float32, below, above float32) {
	dy, dx = dy[:len(y)], dx[:len(y)]
	for i, v := range y {
		slope := above
		if v < 0 {
			slope = v + below
		}
		dx[i] = slope * dy[i]
	}
}

// leakyGo sets out = v·below where sign is below 0, elsewhere v·above.
func leakyGo(out, sign, v []float32, below, above float32) {
	v, out = v[:len(sign)], out[:len(sign)]
	for i, s := range sign {
		slope := above
		if s < 0 {
			slope = below
		}
		out[i] = slope * v[i]
	}
}

// tanhGradGo sets dx = dy·ratio·(square − y²).
func tanhGradGo(dx, y, dy []float32, square, ratio float32) {
	dy, dx = dy[:len(y)], dx[:len(y)]
	for i, v := range y {
		dx[i] = float32(dy[i]*ratio) * (square - float32(v*v))
	}
}

// sigmoidGradGo sets dx = dy·y·(1 − y).
func sigmoidGradGo(dx, y, dy []float32) {
	dy, dx = dy[:len(y)], dx[:len(y)]
	for i, v := range y {
		dx[i] = float32(dy[i]*v) * (1 - v)
	}
}

func magnitude(v float32) float32 { return math.Float32frombits(math.Float32bits(v) &^ (1 << 31)) }
