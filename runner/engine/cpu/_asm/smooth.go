package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// The numbers of cpu/smooth.go, which says where they come from.
var (
	atanhTerms  = []float32{0.14005993, 0.14000903, 0.20010763, 0.3333321}
	normalTerms = []float32{-0.029108893, 0.14378804, -0.2553269, 0.15872157, -0.02279044, 0.10536907, 0.11986912,
		0.13985670, 0.1396217}
)

const (
	normalScale = 0.35
	normalLimit = 13.1875
	normalPeak  = 0.39894228
	rootHalf    = 0x3f3504f3
	topBits     = 0xfffff000
	farAway     = 1 << 30
)

// smooth emits softplus, arcsinh, GELU, SiLU, hard swish and their gradients.
func smooth(c *constants) {
	for _, width := range []int{64, 32} {
		elements("softplus", "y = max(x, 0) + log(1 + e^−|x|) − shift", width, []string{"x"}, []string{"shift"},
			func(v map[string]VecVirtual) VecVirtual {
				up, zero := vectorOf(width), vectorOf(width)
				VXORPS(zero, zero, zero)
				VMAXPS(v["x"], zero, up) // a NaN stays
				e, _ := expOfNegative(width, c, magnitude(width, c, v["x"], 87), nil)
				VADDPS(logOfOnePlus(width, c, e), up, up)
				VSUBPS(v["shift"], up, up)
				return up
			})
		elements("softplusGrad", "dx = dy·(1 − e^−(y + shift))", width, []string{"y", "dy"}, []string{"shift"},
			func(v map[string]VecVirtual) VecVirtual {
				VADDPS(v["shift"], v["y"], v["y"])
				t := magnitude(width, c, v["y"], 87)
				e, left := expOfNegative(width, c, t, nil)
				VSUBPS(c.of(1), e, e)
				choose(width, t, c.of(0.3), left, e, left)
				VXORPS(e, e, e)
				VSUBPS(left, e, left)
				VMULPS(v["dy"], left, left)
				return left
			})
		elements("arcsinh", "y = log(x + √(x² + 1))", width, []string{"x"}, nil, func(v map[string]VecVirtual) VecVirtual {
			return arcsinh(width, c, v["x"])
		})
		elements("arcsinhGrad", "dx = dy·2e/(1 + e²), e = e^−|y|", width, []string{"y", "dy"}, nil,
			func(v map[string]VecVirtual) VecVirtual {
				e, _ := expOfNegative(width, c, magnitude(width, c, v["y"], 87), nil)
				below := vectorOf(width)
				VMULPS(e, e, below)
				VADDPS(c.of(1), below, below)
				VADDPS(e, e, e)
				VDIVPS(below, e, e)
				VMULPS(v["dy"], e, e)
				return e
			})
		elements("gelu", "y = x·Φ(x)", width, []string{"x"}, nil, func(v map[string]VecVirtual) VecVirtual {
			phi, _ := normalDistribution(width, c, v["x"])
			VMULPS(v["x"], phi, phi)
			return phi
		})
		elements("geluGrad", "dx = dy·(Φ(x) + x·φ(x))", width, []string{"x", "dy"}, nil,
			func(v map[string]VecVirtual) VecVirtual {
				phi, density := normalDistribution(width, c, v["x"])
				VMULPS(c.of(normalPeak), density, density)
				VMULPS(v["x"], density, density)
				VADDPS(density, phi, phi)
				VMULPS(v["dy"], phi, phi)
				return phi
			})
		elements("silu", "y = x/(1 + e^−x)", width, []string{"x"}, nil, func(v map[string]VecVirtual) VecVirtual {
			s := logistic(width, c, v["x"])
			VMULPS(v["x"], s, s)
			return s
		})
		elements("siluGrad", "dx = dy·s·(1 + x·(1 − s)), s = 1/(1 + e^−x)", width, []string{"x", "dy"}, nil,
			func(v map[string]VecVirtual) VecVirtual {
				s, rest := logistic(width, c, v["x"]), vectorOf(width)
				VMOVUPS(c.of(1), rest)
				VSUBPS(s, rest, rest)
				VMULPS(v["x"], rest, rest)
				VADDPS(c.of(1), rest, rest)
				VMULPS(v["dy"], s, s)
				VMULPS(rest, s, s)
				return s
			})
		elements("hardSwish", "y = x·min(max(x + 3, 0), 6)/6", width, []string{"x"}, nil,
			func(v map[string]VecVirtual) VecVirtual {
				t, bound := vectorOf(width), vectorOf(width)
				VADDPS(c.of(3), v["x"], t)
				VXORPS(bound, bound, bound)
				VMAXPS(t, bound, t)
				VMOVUPS(c.of(6), bound)
				VMINPS(t, bound, t)
				VMULPS(v["x"], t, t)
				VDIVPS(c.of(6), t, t)
				return t
			})
		elements("hardSwishGrad", "dx = dy·(2x + 3)/6 between −3 and 3, 0 below, dy above", width,
			[]string{"x", "dy"}, nil, func(v map[string]VecVirtual) VecVirtual {
				slope, bound, mirror := vectorOf(width), vectorOf(width), vectorOf(width)
				edge := c.of(math.Nextafter32(-3, 0))
				VADDPS(v["x"], v["x"], slope)
				VADDPS(c.of(3), slope, slope)
				VDIVPS(c.of(6), slope, slope)
				VXORPS(bound, bound, bound)
				VSUBPS(v["x"], bound, mirror)
				choose(width, v["x"], edge, bound, slope, slope)
				VMOVUPS(c.of(1), bound)
				choose(width, mirror, edge, bound, slope, slope)
				VMULPS(v["dy"], slope, slope)
				return slope
			})
	}
}

// elements emits a function of every element of one or two operands and of constants.
func elements(name, what string, width int, operands, constants []string,
	body func(map[string]VecVirtual) VecVirtual) {
	name += suffix(width)
	result, signature := what[:1], ""
	if len(operands) == 2 {
		result = "dx"
	}
	for _, p := range operands {
		signature += ", " + p
	}
	signature += " *float32, n int"
	for _, k := range constants {
		signature += ", " + k + " float32"
	}
	TEXT(name, NOSPLIT, "func("+result+signature+")")
	Doc(name + " sets " + what + " for n values, a multiple of the vector's length.")
	Pragma("noescape")
	to, n := pointer(result), pointer("n")
	moving, at, v := []Register{to}, map[string]Register{}, map[string]VecVirtual{}
	for _, p := range operands {
		at[p] = pointer(p)
		moving = append(moving, at[p])
	}
	for _, k := range constants {
		v[k] = broadcast(k, width)
	}
	vectorLoop(name, width, n, moving, func() {
		for _, p := range operands {
			v[p] = vectorOf(width)
			VMOVUPS(Mem{Base: at[p]}, v[p])
		}
		VMOVUPS(body(v), Mem{Base: to})
	})
}

// logOfOnePlus emits log(1 + e) of 0 ≤ e ≤ 1 as 2·artanh(e/(2 + e)).
func logOfOnePlus(width int, c *constants, e VecVirtual) VecVirtual {
	s := vectorOf(width)
	VADDPS(c.of(2), e, s)
	VDIVPS(s, e, s)
	return twiceArtanh(width, c, s)
}

// twiceArtanh emits 2·artanh(s) of 0 ≤ |s| ≤ 1/3.
func twiceArtanh(width int, c *constants, s VecVirtual) VecVirtual {
	square, twice := vectorOf(width), vectorOf(width)
	VMULPS(s, s, square)
	p := polynomial(width, c, square, atanhTerms)
	VMULPS(square, p, p)
	VADDPS(s, s, twice)
	VMULPS(twice, p, p)
	VADDPS(p, twice, twice)
	return twice
}

func arcsinh(width int, c *constants, x VecVirtual) VecVirtual {
	sign, t, w, root := vectorOf(width), vectorOf(width), vectorOf(width), vectorOf(width)
	and(width, c.bits(signBit), x, sign)
	and(width, c.bits(^uint32(signBit)), x, t)
	VMULPS(t, t, w)
	VADDPS(c.of(1), w, root)
	VSQRTPS(root, root)
	VADDPS(c.of(1), root, root)
	VDIVPS(root, w, w)
	choose(width, t, c.of(farAway), w, t, w)
	VADDPS(t, w, w) // sinh⁻¹ is log(1 + w)

	u, lost, power := vectorOf(width), vectorOf(width), vectorOf(width)
	VADDPS(c.of(1), w, u)
	VSUBPS(c.of(1), u, lost)
	VSUBPS(lost, w, lost)
	VDIVPS(u, lost, lost)
	VPSUBD(c.bits(rootHalf), u, power)
	VPSRAD(U8(23), power, power)
	m, k := vectorOf(width), vectorOf(width)
	VPSLLD(U8(23), power, m)
	VPSUBD(m, u, m)
	VCVTDQ2PS(power, k)
	f := vectorOf(width)
	VSUBPS(c.of(1), m, m)
	VADDPS(c.of(2), m, f)
	VDIVPS(f, m, m)
	l, r := twiceArtanh(width, c, m), vectorOf(width)
	VMULPS(c.of(ln2Low), k, r)
	VADDPS(lost, r, r)
	VADDPS(l, r, r)
	VMULPS(c.of(ln2High), k, k)
	VADDPS(k, r, r)
	choose(width, w, c.of(float32(math.Inf(1))), r, w, r)
	if width == 64 {
		VPORD(sign, r, r)
	} else {
		VPOR(sign, r, r)
	}
	return r
}

// normalDistribution emits Φ(x) and e^(−x²/2).
func normalDistribution(width int, c *constants, x VecVirtual) (phi, density VecVirtual) {
	t := magnitude(width, c, x, normalLimit)
	top, low, high := vectorOf(width), vectorOf(width), vectorOf(width)
	and(width, c.bits(topBits), t, top)
	VSUBPS(top, t, low)
	VADDPS(top, t, high)
	VMULPS(high, low, low)
	VMULPS(c.of(0.5), low, low)
	VMULPS(top, top, high)
	VMULPS(c.of(0.5), high, high)
	e, _ := expOfNegative(width, c, high, low)
	zero := vectorOf(width)
	VXORPS(zero, zero, zero)
	choose(width, t, c.of(normalLimit), e, zero, e)

	q, one := vectorOf(width), vectorOf(width)
	VMULPS(c.of(normalScale), t, q)
	VADDPS(c.of(1), q, q)
	VMOVUPS(c.of(1), one)
	VDIVPS(q, one, q)
	tail := polynomial(width, c, q, normalTerms)
	VMULPS(q, tail, tail)
	VMULPS(e, tail, tail)
	VSUBPS(tail, one, one)
	choose(width, x, c.of(0), tail, one, tail)
	return tail, e
}
