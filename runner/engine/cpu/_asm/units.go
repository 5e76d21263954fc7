package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// constants are numbers repeated over a 512-bit vector, so that instructions of
// every width take them from memory.
type constants struct {
	table Mem
	at    map[uint32]int
}

func newConstants(name string) *constants {
	return &constants{GLOBL(name, RODATA|NOPTR), map[uint32]int{}}
}

// bits returns the place of a number by its bits.
func (c *constants) bits(v uint32) Mem {
	off, ok := c.at[v]
	if !ok {
		off = 64 * len(c.at)
		c.at[v] = off
		for lane := range 16 {
			DATA(off+4*lane, U32(v))
		}
	}
	return c.table.Offset(off)
}

func (c *constants) of(v float32) Mem { return c.bits(math.Float32bits(v)) }

// The numbers of cpu/activation.go, which says where they come from.
var (
	expTerms  = []float32{0.0013926927, 0.008363774, 0.04166655, 0.16666573, 0.5}
	tanhTerms = []float32{-0.006096714, 0.02099718, -0.053850908, 0.1333277, -0.33333328}
)

const (
	log2e    = 1.44269504088896341
	ln2High  = 0.693359375
	ln2Low   = -2.12194440e-4
	rounding = 3 << 22
	signBit  = 1 << 31
)

// units emits tanh, the logistic function, ELU, leaky ReLU, and their gradients.
func units() {
	c := newConstants("unitConstants")
	for _, width := range []int{64, 32} {
		tanh(width, c)
		sigmoid(width, c)
		tanhGrad(width)
		sigmoidGrad(width, c)
		elu(width, c)
		eluGrad(width, c)
		leaky(width, c)
	}
	smooth(c)
}

// polynomial emits Σ terms·x^i, the highest power first.
func polynomial(width int, c *constants, x VecVirtual, terms []float32) VecVirtual {
	sum := vectorOf(width)
	VMOVUPS(c.of(terms[0]), sum)
	for _, term := range terms[1:] {
		VMULPS(x, sum, sum)
		VADDPS(c.of(term), sum, sum)
	}
	return sum
}

// expOfNegative emits e^−t of 0 ≤ t ≤ 87, and e^−t − 1 as it is before 1 is added
// to it, which holds where t rounds to no power of 2. rest, if any, is a small part of t beside it.
func expOfNegative(width int, c *constants, t, rest VecVirtual) (exp, lessOne VecVirtual) {
	power, n, r, low := vectorOf(width), vectorOf(width), vectorOf(width), vectorOf(width)
	VMULPS(c.of(log2e), t, power)
	VADDPS(c.of(rounding), power, power)
	VSUBPS(c.of(rounding), power, n)
	VMULPS(c.of(ln2High), n, r)
	VSUBPS(t, r, r)
	VMULPS(c.of(ln2Low), n, low)
	VADDPS(low, r, r)
	if rest != nil {
		VSUBPS(rest, r, r)
	}
	p := polynomial(width, c, r, expTerms)
	VMULPS(r, p, p)
	VMULPS(r, p, p)
	VADDPS(r, p, p)
	exp = vectorOf(width)
	VADDPS(c.of(1), p, exp)
	VPSLLD(U8(23), power, power)
	VPSUBD(power, exp, exp)
	return exp, p
}

// magnitude emits |x|, at most limit; a NaN stays.
func magnitude(width int, c *constants, x VecVirtual, limit float32) VecVirtual {
	t, bound := vectorOf(width), vectorOf(width)
	and(width, c.bits(^uint32(signBit)), x, t)
	VMOVUPS(c.of(limit), bound)
	VMINPS(t, bound, t)
	return t
}

// and emits the bitwise and of a vector with a constant; AVX-512F has it for integers only.
func and(width int, with Mem, x, out VecVirtual) {
	if width == 64 {
		VPANDD(with, x, out)
		return
	}
	VPAND(with, x, out)
}

// choose sets out to yes where a < b and to no elsewhere.
func choose(width int, a VecVirtual, b Mem, yes, no, out VecVirtual) {
	const less = 17 // ordered, quiet
	if width == 64 {
		k := K()
		VCMPPS(U8(less), b, a, k)
		VBLENDMPS(yes, no, k, out)
		return
	}
	m := YMM()
	VCMPPS(U8(less), b, a, m)
	VBLENDVPS(m, yes, no, out)
}

func tanh(width int, c *constants) {
	name := "tanh" + suffix(width)
	TEXT(name, NOSPLIT, "func(y, x *float32, n int, a, b float32)")
	Doc(name + " sets y = a·tanh(b·x) for n values, a multiple of the vector's length.")
	Pragma("noescape")
	y, x, n := pointer("y"), pointer("x"), pointer("n")
	a, b := broadcast("a", width), broadcast("b", width)
	vectorLoop(name, width, n, []Register{y, x}, func() {
		v, sign, square, twice := vectorOf(width), vectorOf(width), vectorOf(width), vectorOf(width)
		VMULPS(Mem{Base: x}, b, v)
		and(width, c.bits(signBit), v, sign)
		t := magnitude(width, c, v, 10)

		VADDPS(t, t, twice)
		e, _ := expOfNegative(width, c, twice, nil)
		far, below := vectorOf(width), vectorOf(width)
		VMOVUPS(c.of(1), far)
		VSUBPS(e, far, far)
		VADDPS(c.of(1), e, below)
		VDIVPS(below, far, far)

		VMULPS(t, t, square)
		near := polynomial(width, c, square, tanhTerms)
		VMULPS(square, near, near)
		VMULPS(t, near, near)
		VADDPS(t, near, near)

		choose(width, t, c.of(0.625), near, far, far)
		if width == 64 {
			VPORD(sign, far, far)
		} else {
			VPOR(sign, far, far)
		}
		VMULPS(a, far, far)
		VMOVUPS(far, Mem{Base: y})
	})
}

func sigmoid(width int, c *constants) {
	name := "sigmoid" + suffix(width)
	TEXT(name, NOSPLIT, "func(y, x *float32, n int)")
	Doc(name + " sets y = 1/(1 + e^−x) for n values, a multiple of the vector's length.")
	Pragma("noescape")
	y, x, n := pointer("y"), pointer("x"), pointer("n")
	vectorLoop(name, width, n, []Register{y, x}, func() {
		v := vectorOf(width)
		VMOVUPS(Mem{Base: x}, v)
		VMOVUPS(logistic(width, c, v), Mem{Base: y})
	})
}

// logistic emits 1/(1 + e^−v).
func logistic(width int, c *constants, v VecVirtual) VecVirtual {
	one, below := vectorOf(width), vectorOf(width)
	e, _ := expOfNegative(width, c, magnitude(width, c, v, 87), nil)
	VADDPS(c.of(1), e, below)
	VMOVUPS(c.of(1), one)
	choose(width, v, c.of(0), e, one, e)
	VDIVPS(below, e, e)
	return e
}

func elu(width int, c *constants) {
	name := "elu" + suffix(width)
	TEXT(name, NOSPLIT, "func(y, x *float32, n int, below, above float32)")
	Doc(name + " sets y = below·(e^x − 1) where x is below 0, elsewhere above·x, for n values, a multiple of the vector's length.")
	Pragma("noescape")
	y, x, n := pointer("y"), pointer("x"), pointer("n")
	below, above := broadcast("below", width), broadcast("above", width)
	vectorLoop(name, width, n, []Register{y, x}, func() {
		v, right := vectorOf(width), vectorOf(width)
		VMOVUPS(Mem{Base: x}, v)
		t := magnitude(width, c, v, 87)
		e, left := expOfNegative(width, c, t, nil)
		VSUBPS(c.of(1), e, e)
		choose(width, t, c.of(0.3), left, e, left)
		VMULPS(below, left, left)
		VMULPS(above, v, right)
		choose(width, v, c.of(0), left, right, right)
		VMOVUPS(right, Mem{Base: y})
	})
}

func eluGrad(width int, c *constants) {
	name := "eluGrad" + suffix(width)
	TEXT(name, NOSPLIT, "func(dx, y, dy *float32, n int, below, above float32)")
	Doc(name + " sets dx = dy·(y + below) where y is below 0, elsewhere dy·above, for n values, a multiple of the vector's length.")
	Pragma("noescape")
	dx, y, dy, n := pointer("dx"), pointer("y"), pointer("dy"), pointer("n")
	below, above := broadcast("below", width), broadcast("above", width)
	vectorLoop(name, width, n, []Register{dx, y, dy}, func() {
		v, slope := vectorOf(width), vectorOf(width)
		VMOVUPS(Mem{Base: y}, v)
		VADDPS(below, v, slope)
		choose(width, v, c.of(0), slope, above, slope)
		VMULPS(Mem{Base: dy}, slope, slope)
		VMOVUPS(slope, Mem{Base: dx})
	})
}

func leaky(width int, c *constants) {
	name := "leaky" + suffix(width)
	TEXT(name, NOSPLIT, "func(out, sign, v *float32, n int, below, above float32)")
	Doc(name + " sets out = v·below where sign is below 0, elsewhere v·above, for n values, a multiple of the vector's length.")
	Pragma("noescape")
	out, sign, v, n := pointer("out"), pointer("sign"), pointer("v"), pointer("n")
	below, above := broadcast("below", width), broadcast("above", width)
	vectorLoop(name, width, n, []Register{out, sign, v}, func() {
		s, slope := vectorOf(width), vectorOf(width)
		VMOVUPS(Mem{Base: sign}, s)
		choose(width, s, c.of(0), below, above, slope)
		VMULPS(Mem{Base: v}, slope, slope)
		VMOVUPS(slope, Mem{Base: out})
	})
}

func tanhGrad(width int) {
	name := "tanhGrad" + suffix(width)
	TEXT(name, NOSPLIT, "func(dx, y, dy *float32, n int, square, ratio float32)")
	Doc(name + " sets dx = dy·ratio·(square − y²) for n values, a multiple of the vector's length.")
	Pragma("noescape")
	dx, y, dy, n := pointer("dx"), pointer("y"), pointer("dy"), pointer("n")
	square, ratio := broadcast("square", width), broadcast("ratio", width)
	vectorLoop(name, width, n, []Register{dx, y, dy}, func() {
		v, g := vectorOf(width), vectorOf(width)
		VMOVUPS(Mem{Base: y}, v)
		VMULPS(v, v, v)
		VSUBPS(v, square, v)
		VMULPS(Mem{Base: dy}, ratio, g)
		VMULPS(v, g, g)
		VMOVUPS(g, Mem{Base: dx})
	})
}

func sigmoidGrad(width int, c *constants) {
	name := "sigmoidGrad" + suffix(width)
	TEXT(name, NOSPLIT, "func(dx, y, dy *float32, n int)")
	Doc(name + " sets dx = dy·y·(1 − y) for n values, a multiple of the vector's length.")
	Pragma("noescape")
	dx, y, dy, n := pointer("dx"), pointer("y"), pointer("dy"), pointer("n")
	vectorLoop(name, width, n, []Register{dx, y, dy}, func() {
		v, g, rest := vectorOf(width), vectorOf(width), vectorOf(width)
		VMOVUPS(Mem{Base: y}, v)
		VMULPS(Mem{Base: dy}, v, g)
		VMOVUPS(c.of(1), rest)
		VSUBPS(v, rest, rest)
		VMULPS(rest, g, g)
		VMOVUPS(g, Mem{Base: dx})
	})
}
