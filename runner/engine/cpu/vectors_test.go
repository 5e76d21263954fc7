package cpu

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"ablate/runner/graph"
)

// The assembly reads the fields of these types at fixed offsets (_asm).
func TestLayouts(t *testing.T) {
	for of, names := range map[reflect.Type][]string{
		reflect.TypeFor[tile](): {"x", "w", "init", "out", "row", "initRow", "outRow", "seg", "segs", "run", "step",
			"wStride", "count", "initNext", "ahead", "aheadStep", "floor"},
		reflect.TypeFor[poolingRow](): {"cell", "grad", "out", "top", "channels", "pixels", "rows", "cols", "row", "col",
			"step", "outStep", "scale"},
		reflect.TypeFor[tapRow](): {"x", "w", "init", "out", "channels", "pixels", "rows", "cols", "row", "col", "step",
			"wRow", "wCol", "outStep", "ahead", "outAhead", "stream", "width", "floor"},
	} {
		for i, name := range names {
			if f, ok := of.FieldByName(name); !ok || f.Offset != uintptr(8*i) {
				t.Errorf("%v: %s lies at %d, the assembly expects %d", of, name, f.Offset, 8*i)
			}
		}
	}
	for i, name := range []string{"x", "dy", "out", "sums", "shares", "count", "len", "pitch", "size"} {
		if f, ok := reflect.TypeFor[lines]().FieldByName(name); !ok || f.Offset != uintptr(8*i) {
			t.Errorf("lines: %s lies at %d, the assembly expects %d", name, f.Offset, 8*i)
		}
	}
	for i, name := range []string{"k", "alpha", "factor"} {
		if f, ok := reflect.TypeFor[lines]().FieldByName(name); !ok || f.Offset != uintptr(72+4*i) {
			t.Errorf("lines: %s lies at %d, the assembly expects %d", name, f.Offset, 72+4*i)
		}
	}
}

// A vectors source creates operands behind guard pages, with the same values for every instruction
// set.
type vectors struct {
	t     *testing.T
	r     *rand.Rand
	first bool
}

func (v vectors) random(n int) []float32 {
	of := guarded(v.t, n, v.first)
	for i := range of {
		of[i] = v.r.Float32() - 0.5
	}
	return of
}

// sameBits runs f for every instruction set on equal operands and checks that the results have equal
// bits.
func sameBits(t *testing.T, f func(p *isa, v vectors) []float32) {
	t.Helper()
	for _, first := range []bool{false, true} {
		var want []float32
		for _, p := range slices.Backward(isas()) { // the Go twin first: the others are compared with it
			got := slices.Clone(f(p, vectors{t, rand.New(rand.NewPCG(1, 2)), first}))
			if want == nil {
				want = got
			}
			for i, w := range want {
				if math.Float32bits(got[i]) != math.Float32bits(w) {
					t.Fatalf("%s: value %d of %d is %v, the Go twin has %v", p.name, i, len(want), got[i], w)
				}
			}
		}
	}
}

// Elementwise kernels have the bits of their Go twin at every length and write nothing else.
func TestElementwise(t *testing.T) {
	for n := range 70 {
		sameBits(t, func(p *isa, v vectors) []float32 {
			dx, y, dy := v.random(n), v.random(n), v.random(n)
			p.reluGrad(dx, y, dy)
			p.relu(y, dy)
			p.axpy(dy, dx, 0.3)
			return slices.Concat(dx, y, dy)
		})
		sameBits(t, func(p *isa, v vectors) []float32 {
			x, y, s, dx := v.random(n), v.random(n), v.random(n), v.random(n)
			for i := range x {
				x[i] *= 40
			}
			p.tanh(y, x, 1.7159, 0.6667)
			p.sigmoid(s, x)
			p.tanhGrad(dx, y, s, 1.7159*1.7159, 0.6667/1.7159)
			p.sigmoidGrad(s, s, dx)
			return slices.Concat(y, s, dx)
		})
		sameBits(t, func(p *isa, v vectors) []float32 {
			x, y, l, dx := v.random(n), v.random(n), v.random(n), v.random(n)
			for i := range x {
				x[i] *= float32(math.Exp(float64(i%9) - 6))
			}
			p.elu(y, x, 1.7581, 1.0507)
			p.eluGrad(dx, y, l, 1.7581, 1.0507)
			p.leaky(l, x, x, 0.01, 1)
			p.leaky(x, l, dx, 0.3, 2)
			return slices.Concat(y, l, dx, x)
		})
		sameBits(t, func(p *isa, v vectors) []float32 {
			x, dy := v.random(n), v.random(n)
			for i := range x {
				x[i] *= float32(math.Exp(float64(i%19) - 9))
			}
			var all []float32
			for _, f := range unitsOf(p) {
				y, dx := v.random(n), v.random(n)
				f.value(y, x)
				f.grad(dx, x, dy)
				all = slices.Concat(all, y, dx)
			}
			return all
		})
		sameBits(t, func(p *isa, v vectors) []float32 {
			w, vel, g := v.random(n), v.random(n), v.random(n)
			p.sgd(w, vel, g, 0.01, 0.0005, 0.9)
			return slices.Concat(w, vel)
		})
		sameBits(t, func(p *isa, v vectors) []float32 {
			sum, rows := v.random(n+1), v.random(7*(n+1))
			p.columnSums(sum, rows)
			return sum
		})
		sameBits(t, func(p *isa, v vectors) []float32 {
			of := panel{n: n%lane + 1, cols: lane}
			if n >= 2*lane {
				of = panel{n: n / lane * lane, cols: n / lane * lane}
			}
			to, from := v.random(3*of.cols), v.random(2*(of.n+n)+of.n)
			p.copyColumns(to, from, 3, of.n+n, of)
			return to
		})
		sameBits(t, func(p *isa, v vectors) []float32 {
			y, a, b := v.random(n), v.random(n), v.random(n)
			p.plus(y, a, b)
			p.plus(a, a, b)
			return slices.Concat(y, a)
		})
		sameBits(t, func(p *isa, v vectors) []float32 {
			k := normal{mean: v.random(n + 1), factor: v.random(n + 1), offset: v.random(n + 1), slope: v.random(n + 1)}
			x, dy, y, dx := v.random(7*(n+1)), v.random(7*(n+1)), v.random(7*(n+1)), v.random(7*(n+1))
			squares, products := v.random(n+1), v.random(n+1)
			p.normalise(y, x, k)
			p.normaliseGrad(dx, x, dy, k)
			p.columnSquares(squares, x, k.mean)
			p.columnProducts(products, x, dy, k.mean)
			return slices.Concat(y, dx, squares, products)
		})
	}
}

// The gradient of ReLU is 0 where y is 0, −0, negative or NaN. ReLU keeps a NaN.
func TestReLUEdges(t *testing.T) {
	nan, zero := float32(math.NaN()), float32(0)
	y := slices.Repeat([]float32{1, zero, -zero, -1, nan, float32(math.Inf(1)), 1e-45, -1e-45}, 4)
	want := slices.Repeat([]float32{3, 0, 0, 0, 0, 3, 3, 0}, 4)
	for _, p := range isas() {
		dx, dy, out := make([]float32, len(y)), slices.Repeat([]float32{3}, len(y)), make([]float32, len(y))
		p.reluGrad(dx, y, dy)
		if !slices.Equal(dx, want) {
			t.Errorf("%s: %v, want %v", p.name, dx, want)
		}
		p.relu(out, y)
		if !math.IsNaN(float64(out[4])) || !math.IsNaN(float64(out[28])) || out[3] != 0 || out[0] != 1 {
			t.Errorf("%s: relu of a NaN is %v", p.name, out)
		}
	}
}

// A unit is a vectorised function with its gradient, and both in float64.
type unit struct {
	name  string
	value func(y, x []float32)
	grad  func(dx, at, dy []float32)
	exact graph.Function
	shift float64
	// Bounds of the errors: of the value, relative to it, and of the slope, relative to 1.
	most, slope float64
}

func unitsOf(p *isa) []unit {
	return []unit{
		{
			name: "softplus", exact: graph.Softplus, most: 3e-7, slope: 2e-7,
			value: func(y, x []float32) { p.softplus(y, x, 0) },
			grad:  func(dx, y, dy []float32) { p.softplusGrad(dx, y, dy, 0) },
		},
		{
			name: "shifted softplus", exact: graph.Softplus, shift: math.Ln2, most: 4e-7, slope: 2e-7,
			value: func(y, x []float32) { p.softplus(y, x, math.Ln2) },
			grad:  func(dx, y, dy []float32) { p.softplusGrad(dx, y, dy, math.Ln2) },
		},
		{name: "arcsinh", value: p.arcsinh, grad: p.arcsinhGrad, exact: graph.Arcsinh, most: 3e-7, slope: 2e-7},
		{name: "gelu", value: p.gelu, grad: p.geluGrad, exact: graph.GELU, most: 5e-7, slope: 3e-7},
		{name: "silu", value: p.silu, grad: p.siluGrad, exact: graph.SiLU, most: 3e-7, slope: 1.1e-6},
		{name: "hard swish", value: p.hardSwish, grad: p.hardSwishGrad,
			exact: graph.HardSwish, most: 2e-7, slope: 2e-7},
	}
}

// Softplus, arcsinh, GELU, SiLU and hard swish over 3 million arguments, one float32 in a thousand,
// against their formulas in float64. NaN and the infinities have the right results.
func TestSmoothUnitsAgainstFloat64(t *testing.T) {
	const step = 1409
	x := []float32{0, float32(math.Copysign(0, -1)), float32(math.Inf(1)), float32(math.NaN()), 3, -3,
		math.Nextafter32(3, 0), math.Nextafter32(-3, 0), 13.1875, -13.1875, 1 << 30, -1 << 30, 1e37, 0.4142, 0.3}
	for bits := uint32(0); bits < math.Float32bits(1<<31); bits += step {
		v := math.Float32frombits(bits)
		x = append(x, v, -v)
	}
	y, dx, dy := make([]float32, len(x)), make([]float32, len(x)), slices.Repeat([]float32{1}, len(x))
	p := isas()[0]
	for _, f := range unitsOf(p) {
		f.value(y, x)
		of := y
		if f.exact.OfInput() {
			of = x
		}
		f.grad(dx, of, dy)
		var worst, worstSlope float64
		var at, atSlope float32
		for i, v := range x {
			want, got := f.exact.At(f.shift, 0, float64(v)), float64(y[i])
			slope, gotSlope := f.exact.Slope(f.shift, 0, float64(of[i])), float64(dx[i])
			if math.IsNaN(float64(v)) {
				if !math.IsNaN(got) || !math.IsNaN(gotSlope) {
					t.Errorf("%s: a NaN becomes %g, its slope %g", f.name, got, gotSlope)
				}
				continue
			}
			if math.IsInf(want, 0) || math.Abs(want) > math.MaxFloat32 {
				if got != want && !math.IsInf(got, 0) {
					t.Errorf("%s(%g) is %g", f.name, v, got)
				}
				continue
			}
			scale := math.Abs(want)
			if f.shift != 0 { // a difference keeps the error of its terms
				scale += f.shift
			}
			// Where e^−87 stands in for smaller powers, only a value next to 0 is promised.
			if e := math.Abs(got-want) / (scale + 1e-20); e > worst {
				worst, at = e, v
			}
			if e := math.Abs(gotSlope - slope); e > worstSlope {
				worstSlope, atSlope = e, v
			}
		}
		t.Logf("%s: value within %.2g at %g, slope within %.2g at %g", f.name, worst, at, worstSlope, atSlope)
		if !(worst <= f.most) || !(worstSlope <= f.slope) {
			t.Errorf("%s: value within %.2g at %g, want %.2g; slope within %.2g at %g, want %.2g", f.name, worst, at, f.most,
				worstSlope, atSlope, f.slope)
		}
	}
}

// tanh, the logistic function and ELU are within a few units in the last place of their float64
// formulas, keep a NaN, and are right at the limits of float32.
func TestUnitsAgainstFloat64(t *testing.T) {
	inf := float32(math.Inf(1))
	x := []float32{0, float32(math.Copysign(0, -1)), float32(math.NaN()), inf, -inf, 1e-38, -1e-45, 87, -87, 10, -10,
		0.625, math.Nextafter32(0.625, 0)}
	for v := float32(1e-7); v < 100; v *= 1.003 {
		x = append(x, v, -v)
	}
	for len(x)%16 != 0 {
		x = append(x, 1)
	}
	y, s, e := make([]float32, len(x)), make([]float32, len(x)), make([]float32, len(x))
	for _, p := range isas() {
		p.tanh(y, x, 1, 1)
		p.sigmoid(s, x)
		p.elu(e, x, 1, 1)
		for i, v := range x {
			for name, pair := range map[string][2]float64{
				"tanh":    {float64(y[i]), math.Tanh(float64(v))},
				"sigmoid": {float64(s[i]), 1 / (1 + math.Exp(-max(float64(v), -87)))},
				"elu":     {float64(e[i]), elu(float64(v))},
			} {
				got, want := pair[0], pair[1]
				if math.IsNaN(got) && math.IsNaN(want) || math.IsInf(got, 1) && got == want {
					continue
				}
				if !(math.Abs(got-want) <= 3e-7*math.Abs(want)) || math.Signbit(got) != math.Signbit(want) {
					t.Fatalf("%s: %s(%g) = %g, want %g", p.name, name, v, got, want)
				}
			}
		}
	}
}

// Pooling windows: channel counts around the vectors' lengths, single cells to
// windows larger than the stride, several pixels.
func TestWindows(t *testing.T) {
	for _, channels := range []int{1, 3, 5, 8, 15, 16, 17, 31, 32, 33, 96} {
		for _, g := range []struct{ rows, cols, pixels, stride int }{{1, 1, 1, 1}, {3, 3, 5, 2}, {2, 2, 4, 2}, {1, 3, 2, 1},
			{3, 2, 1, 3}} {
			t.Run(fmt.Sprint(channels, g), func(t *testing.T) {
				width := (g.pixels-1)*g.stride + g.cols
				for _, kernel := range []func(*isa) func(*poolingRow){
					func(p *isa) func(*poolingRow) { return p.maxWindows },
					func(p *isa) func(*poolingRow) { return p.sumWindows },
					func(p *isa) func(*poolingRow) { return p.maxGradWindows },
					func(p *isa) func(*poolingRow) { return p.addWindows },
				} {
					sameBits(t, func(p *isa, v vectors) []float32 {
						cell, grad := v.random(g.rows*width*channels), v.random(g.rows*width*channels)
						out, top := v.random(g.pixels*channels), v.random(g.pixels*channels)
						w := poolingRow{cell: &cell[0], grad: &grad[0], out: &top[0], channels: channels, pixels: g.pixels,
							rows: g.rows, cols: g.cols, row: width * channels, col: channels, step: g.stride * channels, outStep: channels,
							scale: 0.25}
						p.maxWindows(&w) // so that some cell equals top
						w.out, w.top = &out[0], &top[0]
						kernel(p)(&w)
						return slices.Concat(grad, out)
					})
				}
			})
		}
	}
}

// Taps of depthwise convolutions: channel counts around the vectors' lengths, pixel counts around the
// four that are handled together, weights in either direction, no taps at all.
func TestTaps(t *testing.T) {
	for _, channels := range []int{1, 3, 7, 8, 9, 15, 16, 17, 31, 32, 40} {
		for _, g := range []struct{ rows, cols, pixels, stride, by int }{
			{rows: 1, cols: 1, pixels: 1, stride: 1, by: 1}, {rows: 3, cols: 3, pixels: 9, stride: 1, by: 1},
			{rows: 2, cols: 3, pixels: 4, stride: 2, by: 1}, {rows: 3, cols: 2, pixels: 7, stride: 1, by: -1},
			{rows: 5, cols: 5, pixels: 3, stride: 1, by: -1}, {rows: 0, cols: 2, pixels: 6, stride: 1, by: 1},
		} {
			t.Run(fmt.Sprint(channels, g), func(t *testing.T) {
				width := (g.pixels-1)*g.stride + max(g.cols, 1)
				for name, kernel := range map[string]func(*isa) func(*tapRow){
					"sums":  func(p *isa) func(*tapRow) { return p.tapSums },
					"grads": func(p *isa) func(*tapRow) { return p.tapGrads },
				} {
					if name == "grads" && g.rows == 0 {
						continue
					}
					sameBits(t, func(p *isa, v vectors) []float32 {
						x, init := v.random(max(g.rows, 1)*width*channels), v.random(channels)
						w, out := v.random(max(g.rows, 1)*g.cols*channels), v.random(g.pixels*channels)
						row := tapRow{x: &x[0], w: &w[0], init: &init[0], out: &out[0], channels: channels, pixels: g.pixels,
							rows: g.rows, cols: g.cols, row: width * channels, col: channels, step: g.stride * channels,
							wRow: g.cols * channels, wCol: channels, outStep: channels, floor: -0.1}
						if g.by < 0 {
							row.w, row.wRow, row.wCol = &w[len(w)-channels], -row.wRow, -row.wCol
						}
						kernel(p)(&row)
						return slices.Concat(w, out)
					})
				}
			})
		}
	}
}

// Gradients of 3×3 taps over whole rows, cut at the image's upper and lower edges.
func TestTapRowGrads(t *testing.T) {
	for _, channels := range []int{1, 7, 8, 16, 17, 40} {
		for _, width := range []int{2, 3, 4, 7, 8} {
			for stride := 1; stride <= 2; stride++ {
				for rows := 1; rows <= 3; rows++ {
					t.Run(fmt.Sprint(channels, width, stride, rows), func(t *testing.T) {
						pixels := ceil(width, stride)
						sameBits(t, func(p *isa, v vectors) []float32 {
							x, out, w := v.random(rows*width*channels), v.random(pixels*channels), v.random(3*rows*channels)
							p.tapRowGrads(&tapRow{x: &x[0], w: &w[0], out: &out[0], channels: channels, pixels: pixels, rows: rows,
								cols: 3, row: width * channels, col: channels, step: stride * channels, wRow: 3 * channels,
								wCol: channels, outStep: channels, width: width})
							return w
						})
					})
				}
			}
		}
	}
}

// A NaN among the cells reaches the output, whatever the floor: a diverged run must be visible.
func TestTapSumsKeepNaN(t *testing.T) {
	for _, p := range isas() {
		x, w, init, out := make([]float32, 16), make([]float32, 16), make([]float32, 16), make([]float32, 16)
		x[5] = float32(math.NaN())
		p.tapSums(&tapRow{x: &x[0], w: &w[0], init: &init[0], out: &out[0], channels: 16, pixels: 1, rows: 1, cols: 1})
		if !math.IsNaN(float64(out[5])) || math.IsNaN(float64(out[4])) {
			t.Errorf("%s: a NaN comes out as %v", p.name, out)
		}
	}
}

// The maximum of a window with a NaN is a NaN, wherever the NaN is: a diverged run must be visible.
func TestMaxWindowsKeepsNaN(t *testing.T) {
	for _, p := range isas() {
		for at := range 4 {
			cell, out := make([]float32, 4*16), make([]float32, 16)
			cell[at*16+5] = float32(math.NaN())
			w := poolingRow{cell: &cell[0], out: &out[0], channels: 16, pixels: 1, rows: 2, cols: 2, row: 32, col: 16, step: 16,
				outStep: 16}
			p.maxWindows(&w)
			if !math.IsNaN(float64(out[5])) || math.IsNaN(float64(out[4])) {
				t.Errorf("%s: a NaN in cell %d comes out as %v", p.name, at, out)
			}
		}
	}
}

// The passes of LRN on lines of whole vectors, and the power against the exact one.
func TestLRNPasses(t *testing.T) {
	for _, length := range []int{8, 16, 24, 32, 48, 128} {
		for _, size := range []int{1, 3, 5, 9} {
			t.Run(fmt.Sprint(length, size), func(t *testing.T) {
				sameBits(t, func(p *isa, v vectors) []float32 {
					lrn := p.lrn
					if length%lane != 0 {
						lrn = p.lrnNarrow
					}
					const count = 3
					half := size / 2
					pitch := length + half
					room := count*pitch + half
					x, dy, out := v.random(count*length), v.random(count*length), v.random(count*length)
					sums, shares := guarded(t, room, v.first), guarded(t, room, v.first)
					l := lines{x: &x[0], dy: &dy[0], out: &out[0], count: count, len: length, pitch: pitch, size: size,
						k: 2, alpha: 0.3, factor: 0.45, beta: 0.75}
					l.sums = &sums[half]
					lrn.squares(&l)
					l.sums = &sums[0]
					lrn.forward(&l)
					y := slices.Clone(out)
					l.shares = &shares[half]
					lrn.shares(&l)
					l.shares = &shares[0]
					lrn.grad(&l)
					return slices.Concat(y, out, sums, shares)
				})
			})
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		d := float32(math.Exp(8 * (r.Float64() - 0.5)))
		got := (&lines{beta: 0.75}).power(d)
		if exact := math.Pow(float64(d), -0.75); math.Abs(float64(got)-exact) > 4e-7*exact {
			t.Errorf("%v^-0.75 is %v, want %v", d, got, exact)
		}
	}
}

// elu is e^x − 1 below 0; a NaN stays.
func elu(x float64) float64 {
	if x < 0 {
		return math.Expm1(x)
	}
	return x
}

func BenchmarkUnits(b *testing.B) {
	x, y := make([]float32, chunkLen), make([]float32, chunkLen)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range x {
		x[i] = 4 * (r.Float32() - 0.5)
	}
	for _, p := range isas() {
		b.Run("tanh/"+p.name, func(b *testing.B) {
			b.SetBytes(8 * chunkLen)
			for b.Loop() {
				p.tanh(y, x, 1, 1)
			}
		})
		b.Run("sigmoid/"+p.name, func(b *testing.B) {
			b.SetBytes(8 * chunkLen)
			for b.Loop() {
				p.sigmoid(y, x)
			}
		})
		for _, f := range unitsOf(p) {
			b.Run(f.name+"/"+p.name, func(b *testing.B) {
				b.SetBytes(8 * chunkLen)
				for b.Loop() {
					f.value(y, x)
				}
			})
		}
		b.Run("elu/"+p.name, func(b *testing.B) {
			b.SetBytes(8 * chunkLen)
			for b.Loop() {
				p.elu(y, x, 1, 1)
			}
		})
	}
}
