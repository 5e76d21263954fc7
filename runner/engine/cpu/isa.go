package cpu

import (
	"fmt"
	"os"
	"runtime"
	"strings"

	"ablate/recipe"
)

// An isa is one instruction set's kernels. All kernels of the device go through it.
type isa struct {
	name string
	tile [5]func(*tile) // by the number of 16-wide vectors in a row, 1 to panel/lane

	// panel is the largest number of columns of a tile. block is the number of sum indices that a tile
	// takes at a time: the weights for that many stay in the cache while all rows pass over them.
	panel, block int

	reluGrad   func(dx, y, dy []float32)                              // dx = y > 0 ? dy : 0
	columnSums func(sum, rows []float32)                              // sum[c] += rows[r·len(sum)+c], rows in order
	sgd        func(w, v, g []float32, rate, decay, momentum float32) // v = momentum·v − decay·w − rate·g; w += v
	optimizers map[recipe.OptimizerKind]func(*descent)                // steps of the other rules
	axpy       func(dst, src []float32, a float32)                    // dst += a·src
	relu       func(y, x []float32)                                   // y = max(x, 0); a NaN stays

	plus           func(y, a, b []float32)              // y = a + b
	columnSquares  func(sum, x, mean []float32)         // sum[c] += (x − mean)² of each row
	columnProducts func(sum, x, dy, mean []float32)     // sum[c] += dy·(x − mean) of each row
	normalise      func(out, x []float32, k normal)     // out = factor·(x − mean) + offset
	normaliseGrad  func(out, x, dy []float32, k normal) // out = factor·(dy − (offset + (x − mean)·slope))

	tanh        func(y, x []float32, a, b float32)                 // y = a·tanh(b·x)
	tanhGrad    func(dx, y, dy []float32, square, ratio float32)   // dx = dy·ratio·(square − y²)
	sigmoid     func(y, x []float32)                               // y = 1/(1 + e^−x)
	sigmoidGrad func(dx, y, dy []float32)                          // dx = dy·y·(1 − y)
	elu         func(y, x []float32, below, above float32)         // y = x < 0 ? below·(e^x − 1) : above·x
	eluGrad     func(dx, y, dy []float32, below, above float32)    // dx = dy·(y < 0 ? y + below : above)
	leaky       func(out, sign, v []float32, below, above float32) // out = v·(sign < 0 ? below : above)

	softplus      func(y, x []float32, shift float32)      // y = log(1 + e^x) − shift
	softplusGrad  func(dx, y, dy []float32, shift float32) // dx = dy·(1 − e^−(y + shift))
	arcsinh       func(y, x []float32)                     // y = log(x + √(x² + 1))
	arcsinhGrad   func(dx, y, dy []float32)                // dx = dy/cosh(y)
	gelu          func(y, x []float32)                     // y = x·Φ(x)
	geluGrad      func(dx, x, dy []float32)                // dx = dy·(Φ(x) + x·φ(x))
	silu          func(y, x []float32)                     // y = x·σ(x)
	siluGrad      func(dx, x, dy []float32)                // dx = dy·σ(x)·(1 + x·(1 − σ(x)))
	hardSwish     func(y, x []float32)                     // y = x·min(max(x + 3, 0), 6)/6
	hardSwishGrad func(dx, x, dy []float32)                // dx = dy·(2x + 3)/6 between −3 and 3

	maxWindows, sumWindows, maxGradWindows, addWindows func(*poolingRow)
	tapSums, tapGrads, tapRowGrads                     func(*tapRow)
	lrn, lrnNarrow                                     passes // over lines of whole vectors of 16, and of 8

	prefetch func(p *float32, rows, stride, n int) // prefetches n values of each row, n a multiple of 16

	copyRows func(to, from *float32, rows, stride, n int) // n values of each row, row by row; n a multiple of 16

	fmas     func(rounds int) // multiply-adds on registers at full speed
	fmaFLOPs int              // operations per round
}

var goISA = isa{
	name: "go", panel: 64, block: 512,
	tile: [5]func(*tile){
		1: func(t *tile) { tileGo(t, 16) }, 2: func(t *tile) { tileGo(t, 32) },
		3: func(t *tile) { tileGo(t, 48) }, 4: func(t *tile) { tileGo(t, 64) },
	},
	reluGrad: reluGradGo, columnSums: columnSumsGo, sgd: sgdGo, optimizers: optimizersGo, axpy: axpyGo, relu: reluGo,
	plus: plusGo, columnSquares: columnSquaresGo, columnProducts: columnProductsGo,
	normalise: normaliseGo, normaliseGrad: normaliseGradGo,
	tanh: tanhGo, tanhGrad: tanhGradGo, sigmoid: sigmoidGo, sigmoidGrad: sigmoidGradGo,
	elu: eluGo, eluGrad: eluGradGo, leaky: leakyGo,
	softplus: softplusGo, softplusGrad: softplusGradGo, arcsinh: arcsinhGo, arcsinhGrad: arcsinhGradGo,
	gelu: geluGo, geluGrad: geluGradGo, silu: siluGo, siluGrad: siluGradGo,
	hardSwish: hardSwishGo, hardSwishGrad: hardSwishGradGo,
	maxWindows: maxWindowsGo, sumWindows: sumWindowsGo, maxGradWindows: maxGradWindowsGo, addWindows: addWindowsGo,
	tapSums: tapSumsGo, tapGrads: tapGradsGo, tapRowGrads: tapRowGradsGo,
	lrn: goPasses, lrnNarrow: goPasses,
	prefetch: func(*float32, int, int, int) {},
	copyRows: copyRowsGo,
	fmas:     fmasGo, fmaFLOPs: 2 * 12,
}

func copyRowsGo(to, from *float32, rows, stride, n int) {
	for r := range rows {
		copy(values(to, r*n, n), values(from, r*stride, n))
	}
}

// fmasGo runs twelve independent chains of a multiplication and an addition. That is as many as the
// registers hold, and enough for the latency of six cycles of the two.
func fmasGo(rounds int) {
	var a, b, c, d, e, f, g, h, i, j, k, l float32
	x := fmaSeed
	for range rounds {
		a, b, c, d = a*x+x, b*x+x, c*x+x, d*x+x
		e, f, g, h = e*x+x, f*x+x, g*x+x, h*x+x
		i, j, k, l = i*x+x, j*x+x, k*x+x, l*x+x
	}
	runtime.KeepAlive(a + b + c + d + e + f + g + h + i + j + k + l)
}

var fmaSeed float32 // a variable, so that the compiler does not evaluate the loop

func reluGradGo(dx, y, dy []float32) {
	dy, dx = dy[:len(y)], dx[:len(y)]
	for i, v := range y {
		if v > 0 {
			dx[i] = dy[i]
		} else {
			dx[i] = 0
		}
	}
}

func columnSumsGo(sum, rows []float32) {
	for ; len(rows) > 0; rows = rows[len(sum):] {
		for c, v := range rows[:len(sum)] {
			sum[c] += v
		}
	}
}

func sgdGo(w, v, g []float32, rate, decay, momentum float32) {
	w, g = w[:len(v)], g[:len(v)]
	for i, old := range v {
		n := float32(momentum*old) - float32(decay*w[i]) - float32(rate*g[i])
		v[i] = n
		w[i] += n
	}
}

func reluGo(y, x []float32) {
	y = y[:len(x)]
	for i, v := range x {
		y[i] = max(v, 0)
	}
}

func axpyGo(dst, src []float32, a float32) {
	src = src[:len(dst)]
	for i, v := range src {
		dst[i] += float32(a * v)
	}
}

// selectISA returns the fastest kernels that this CPU can run, or those that ABLATE_CPU names.
func selectISA() (*isa, error) {
	all := isas()
	want := os.Getenv("ABLATE_CPU")
	if want == "" {
		return all[0], nil
	}
	var names []string
	for _, p := range all {
		if p.name == want {
			return p, nil
		}
		names = append(names, p.name)
	}
	return nil, fmt.Errorf("ABLATE_CPU is %q; this machine runs %s", want, strings.Join(names, ", "))
}
