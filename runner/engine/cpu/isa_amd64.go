//go:build amd64 && !noasm

package cpu

import (
	"unsafe"

	"golang.org/x/sys/cpu"

	"ablate/recipe"
)

var avx512ISA = isa{
	name: "avx512", panel: 64,
	block: blockOf(secondLevel/8, 64, 512), // 128 KiB of 1 MiB
	tile: [5]func(*tile){
		// A tile with one 512-bit vector per row is bound by its 7 loads, one a cycle. With two
		// vectors of 256 bits there are two loads a cycle for 12 FMAs, two a cycle.
		1: func(t *tile) { tileAVX2((*byte)(unsafe.Pointer(t))) },
		2: func(t *tile) { tileAVX512x2((*byte)(unsafe.Pointer(t))) },
		3: func(t *tile) { tileAVX512x3((*byte)(unsafe.Pointer(t))) },
		4: func(t *tile) { tileAVX512x4((*byte)(unsafe.Pointer(t))) },
	},
	reluGrad:   func(dx, y, dy []float32) { three(16, reluGradAVX512, reluGradGo, dx, y, dy) },
	columnSums: func(sum, rows []float32) { columns(16, columnSumsAVX512, sum, rows) },
	sgd: func(w, v, g []float32, rate, decay, momentum float32) {
		updated(16, sgdAVX512, w, v, g, rate, decay, momentum)
	},
	optimizers: optimizers(16, map[recipe.OptimizerKind]func(*byte){
		recipe.SGD: clippedSGDAVX512, recipe.Nesterov: nesterovAVX512, recipe.RMSProp: rmspropAVX512,
		recipe.AdaGrad: adagradAVX512, recipe.Adam: adamAVX512, recipe.AdamW: adamwAVX512, recipe.LARS: larsAVX512,
	}),
	axpy: func(dst, src []float32, a float32) { added(16, axpyAVX512, dst, src, a) },
	relu: func(y, x []float32) { two(16, reluAVX512, reluGo, y, x) },
	plus: func(y, a, b []float32) { three(16, plusAVX512, plusGo, y, a, b) },
	columnSquares: func(sum, x, mean []float32) {
		down(16, sum, len(x), func(n, count, stride int) {
			columnSquaresAVX512(&sum[0], &x[0], &mean[0], n, count, stride)
		}, func(from int) { columnSquaresFrom(from, sum, x, mean) })
	},
	columnProducts: func(sum, x, dy, mean []float32) {
		down(16, sum, len(x), func(n, count, stride int) {
			columnProductsAVX512(&sum[0], &x[0], &dy[0], &mean[0], n, count, stride)
		}, func(from int) { columnProductsFrom(from, sum, x, dy, mean) })
	},
	normalise: func(out, x []float32, k normal) {
		down(16, k.mean, len(x), func(n, count, stride int) {
			normaliseAVX512(&out[0], &x[0], &k.mean[0], &k.factor[0], &k.offset[0], n, count, stride)
		}, func(from int) { normaliseFrom(from, out, x, k) })
	},
	normaliseGrad: func(out, x, dy []float32, k normal) {
		down(16, k.mean, len(x), func(n, count, stride int) {
			normaliseGradAVX512(&out[0], &x[0], &dy[0], &k.mean[0], &k.factor[0], &k.offset[0], &k.slope[0], n, count, stride)
		}, func(from int) { normaliseGradFrom(from, out, x, dy, k) })
	},
	tanh: func(y, x []float32, a, b float32) { scaled(16, tanhAVX512, tanhGo, y, x, a, b) },
	tanhGrad: func(dx, y, dy []float32, square, ratio float32) {
		scaledGrad(16, tanhGradAVX512, tanhGradGo, dx, y, dy, square, ratio)
	},
	elu: func(y, x []float32, below, above float32) { scaled(16, eluAVX512, eluGo, y, x, below, above) },
	eluGrad: func(dx, y, dy []float32, below, above float32) {
		scaledGrad(16, eluGradAVX512, eluGradGo, dx, y, dy, below, above)
	},
	leaky: func(out, sign, v []float32, below, above float32) {
		scaledGrad(16, leakyAVX512, leakyGo, out, sign, v, below, above)
	},
	sigmoid:       func(y, x []float32) { two(16, sigmoidAVX512, sigmoidGo, y, x) },
	sigmoidGrad:   func(dx, y, dy []float32) { three(16, sigmoidGradAVX512, sigmoidGradGo, dx, y, dy) },
	arcsinh:       func(y, x []float32) { two(16, arcsinhAVX512, arcsinhGo, y, x) },
	arcsinhGrad:   func(dx, y, dy []float32) { three(16, arcsinhGradAVX512, arcsinhGradGo, dx, y, dy) },
	gelu:          func(y, x []float32) { two(16, geluAVX512, geluGo, y, x) },
	geluGrad:      func(dx, y, dy []float32) { three(16, geluGradAVX512, geluGradGo, dx, y, dy) },
	silu:          func(y, x []float32) { two(16, siluAVX512, siluGo, y, x) },
	siluGrad:      func(dx, y, dy []float32) { three(16, siluGradAVX512, siluGradGo, dx, y, dy) },
	hardSwish:     func(y, x []float32) { two(16, hardSwishAVX512, hardSwishGo, y, x) },
	hardSwishGrad: func(dx, y, dy []float32) { three(16, hardSwishGradAVX512, hardSwishGradGo, dx, y, dy) },
	softplus:      func(y, x []float32, shift float32) { shifted(16, softplusAVX512, softplusGo, y, x, shift) },
	softplusGrad: func(dx, y, dy []float32, shift float32) {
		shiftedGrad(16, softplusGradAVX512, softplusGradGo, dx, y, dy, shift)
	},
	maxWindows:     func(w *poolingRow) { vectorised(w, 16, maxWindowsAVX512, maxWindowsGo) },
	sumWindows:     func(w *poolingRow) { vectorised(w, 16, sumWindowsAVX512, sumWindowsGo) },
	maxGradWindows: func(w *poolingRow) { vectorised(w, 16, maxGradWindowsAVX512, maxGradWindowsGo) },
	addWindows:     func(w *poolingRow) { vectorised(w, 16, addWindowsAVX512, addWindowsGo) },
	tapSums:        func(t *tapRow) { vectorisedTaps(t, 16, tapSumsAVX512, tapSumsGo) },
	tapGrads:       func(t *tapRow) { vectorisedTaps(t, 16, tapGradsAVX512, tapGradsGo) },
	tapRowGrads: func(t *tapRow) {
		vectorisedTaps(t, 16, byStride(t, tapRowGradsBy1AVX512, tapRowGradsBy2AVX512), tapRowGradsGo)
	},
	lrn:       vectorPasses(lrnSquaresAVX512, lrnForwardAVX512, lrnSharesAVX512, lrnGradAVX512),
	lrnNarrow: avx2Passes,
	prefetch:  prefetchRows,
	copyRows:  copyRows,
	fmas:      fmasAVX512, fmaFLOPs: 2 * 24 * 16,
}

var avx2ISA = isa{
	// Six rows of 16 columns fill the registers. A block is half of a first-level cache: 256
	// sum indices of 32 KiB. Measured on Zen 3 at batch 128 on one thread, in CPU time, best
	// of 5 on a machine with other work, as shares of the peak of 103 GFLOP/s, AlexNet's
	// conv1 to conv5, before (64 columns, whole sums) and since:
	//
	//	forward      80 78 69 70 73 %    88 90 85 81 84 %
	//	data grad       71 66 72 76 %       85 82 83 82 %
	//	weight grad  73 70 63 68 66 %    77 76 73 76 78 %
	//
	// The sums of the weight gradient are kept in the third-level cache between images: each tile
	// prefetches those of the next.
	name: "avx2", panel: 16, block: blockOf(firstLevel/2, 16, 256),
	tile: [5]func(*tile){
		1: func(t *tile) { tileAVX2((*byte)(unsafe.Pointer(t))) },
	},
	reluGrad:   func(dx, y, dy []float32) { three(8, reluGradAVX2, reluGradGo, dx, y, dy) },
	columnSums: func(sum, rows []float32) { columns(8, columnSumsAVX2, sum, rows) },
	sgd: func(w, v, g []float32, rate, decay, momentum float32) {
		updated(8, sgdAVX2, w, v, g, rate, decay, momentum)
	},
	optimizers: optimizers(8, map[recipe.OptimizerKind]func(*byte){
		recipe.SGD: clippedSGDAVX2, recipe.Nesterov: nesterovAVX2, recipe.RMSProp: rmspropAVX2,
		recipe.AdaGrad: adagradAVX2, recipe.Adam: adamAVX2, recipe.AdamW: adamwAVX2, recipe.LARS: larsAVX2,
	}),
	axpy: func(dst, src []float32, a float32) { added(8, axpyAVX2, dst, src, a) },
	relu: func(y, x []float32) { two(8, reluAVX2, reluGo, y, x) },
	plus: func(y, a, b []float32) { three(8, plusAVX2, plusGo, y, a, b) },
	columnSquares: func(sum, x, mean []float32) {
		down(8, sum, len(x), func(n, count, stride int) {
			columnSquaresAVX2(&sum[0], &x[0], &mean[0], n, count, stride)
		}, func(from int) { columnSquaresFrom(from, sum, x, mean) })
	},
	columnProducts: func(sum, x, dy, mean []float32) {
		down(8, sum, len(x), func(n, count, stride int) {
			columnProductsAVX2(&sum[0], &x[0], &dy[0], &mean[0], n, count, stride)
		}, func(from int) { columnProductsFrom(from, sum, x, dy, mean) })
	},
	normalise: func(out, x []float32, k normal) {
		down(8, k.mean, len(x), func(n, count, stride int) {
			normaliseAVX2(&out[0], &x[0], &k.mean[0], &k.factor[0], &k.offset[0], n, count, stride)
		}, func(from int) { normaliseFrom(from, out, x, k) })
	},
	normaliseGrad: func(out, x, dy []float32, k normal) {
		down(8, k.mean, len(x), func(n, count, stride int) {
			normaliseGradAVX2(&out[0], &x[0], &dy[0], &k.mean[0], &k.factor[0], &k.offset[0], &k.slope[0], n, count, stride)
		}, func(from int) { normaliseGradFrom(from, out, x, dy, k) })
	},
	tanh: func(y, x []float32, a, b float32) { scaled(8, tanhAVX2, tanhGo, y, x, a, b) },
	tanhGrad: func(dx, y, dy []float32, square, ratio float32) {
		scaledGrad(8, tanhGradAVX2, tanhGradGo, dx, y, dy, square, ratio)
	},
	elu: func(y, x []float32, below, above float32) { scaled(8, eluAVX2, eluGo, y, x, below, above) },
	eluGrad: func(dx, y, dy []float32, below, above float32) {
		scaledGrad(8, eluGradAVX2, eluGradGo, dx, y, dy, below, above)
	},
	leaky: func(out, sign, v []float32, below, above float32) {
		scaledGrad(8, leakyAVX2, leakyGo, out, sign, v, below, above)
	},
	sigmoid:       func(y, x []float32) { two(8, sigmoidAVX2, sigmoidGo, y, x) },
	sigmoidGrad:   func(dx, y, dy []float32) { three(8, sigmoidGradAVX2, sigmoidGradGo, dx, y, dy) },
	arcsinh:       func(y, x []float32) { two(8, arcsinhAVX2, arcsinhGo, y, x) },
	arcsinhGrad:   func(dx, y, dy []float32) { three(8, arcsinhGradAVX2, arcsinhGradGo, dx, y, dy) },
	gelu:          func(y, x []float32) { two(8, geluAVX2, geluGo, y, x) },
	geluGrad:      func(dx, y, dy []float32) { three(8, geluGradAVX2, geluGradGo, dx, y, dy) },
	silu:          func(y, x []float32) { two(8, siluAVX2, siluGo, y, x) },
	siluGrad:      func(dx, y, dy []float32) { three(8, siluGradAVX2, siluGradGo, dx, y, dy) },
	hardSwish:     func(y, x []float32) { two(8, hardSwishAVX2, hardSwishGo, y, x) },
	hardSwishGrad: func(dx, y, dy []float32) { three(8, hardSwishGradAVX2, hardSwishGradGo, dx, y, dy) },
	softplus:      func(y, x []float32, shift float32) { shifted(8, softplusAVX2, softplusGo, y, x, shift) },
	softplusGrad: func(dx, y, dy []float32, shift float32) {
		shiftedGrad(8, softplusGradAVX2, softplusGradGo, dx, y, dy, shift)
	},
	maxWindows:     func(w *poolingRow) { vectorised(w, 8, maxWindowsAVX2, maxWindowsGo) },
	sumWindows:     func(w *poolingRow) { vectorised(w, 8, sumWindowsAVX2, sumWindowsGo) },
	maxGradWindows: func(w *poolingRow) { vectorised(w, 8, maxGradWindowsAVX2, maxGradWindowsGo) },
	addWindows:     func(w *poolingRow) { vectorised(w, 8, addWindowsAVX2, addWindowsGo) },
	tapSums:        func(t *tapRow) { vectorisedTaps(t, 8, tapSumsAVX2, tapSumsGo) },
	tapGrads:       func(t *tapRow) { vectorisedTaps(t, 8, tapGradsAVX2, tapGradsGo) },
	tapRowGrads: func(t *tapRow) {
		vectorisedTaps(t, 8, byStride(t, tapRowGradsBy1AVX2, tapRowGradsBy2AVX2), tapRowGradsGo)
	},
	lrn:       avx2Passes,
	lrnNarrow: avx2Passes,
	prefetch:  prefetchRows,
	copyRows:  copyRows,
	fmas:      fmasAVX2, fmaFLOPs: 2 * 12 * 8,
}

var avx2Passes = vectorPasses(lrnSquaresAVX2, lrnForwardAVX2, lrnSharesAVX2, lrnGradAVX2)

// The functions below handle whole vectors in assembly and the rest in Go.

func two(lanes int, f func(a, b *float32, n int), twin func(a, b []float32), a, b []float32) {
	n := len(a) / lanes * lanes
	if n > 0 {
		b = b[:len(a)]
		f(&a[0], &b[0], n)
	}
	twin(a[n:], b[n:])
}

func three(lanes int, f func(a, b, c *float32, n int), twin func(a, b, c []float32), a, b, c []float32) {
	n := len(a) / lanes * lanes
	if n > 0 {
		b, c = b[:len(a)], c[:len(a)]
		f(&a[0], &b[0], &c[0], n)
	}
	twin(a[n:], b[n:], c[n:])
}

func scaled(lanes int, f func(y, x *float32, n int, a, b float32), twin func(y, x []float32, a, b float32), y,
	x []float32, a, b float32) {
	n := len(x) / lanes * lanes
	if n > 0 {
		y = y[:len(x)]
		f(&y[0], &x[0], n, a, b)
	}
	twin(y[n:], x[n:], a, b)
}

func scaledGrad(lanes int, f func(dx, y, dy *float32, n int, a, b float32),
	twin func(dx, y, dy []float32, a, b float32), dx, y, dy []float32, a, b float32) {
	n := len(y) / lanes * lanes
	if n > 0 {
		dx, dy = dx[:len(y)], dy[:len(y)]
		f(&dx[0], &y[0], &dy[0], n, a, b)
	}
	twin(dx[n:], y[n:], dy[n:], a, b)
}

func shifted(lanes int, f func(y, x *float32, n int, shift float32), twin func(y, x []float32, shift float32),
	y, x []float32, shift float32) {
	n := len(x) / lanes * lanes
	if n > 0 {
		y = y[:len(x)]
		f(&y[0], &x[0], n, shift)
	}
	twin(y[n:], x[n:], shift)
}

func shiftedGrad(lanes int, f func(dx, y, dy *float32, n int, shift float32),
	twin func(dx, y, dy []float32, shift float32), dx, y, dy []float32, shift float32) {
	n := len(y) / lanes * lanes
	if n > 0 {
		dx, dy = dx[:len(y)], dy[:len(y)]
		f(&dx[0], &y[0], &dy[0], n, shift)
	}
	twin(dx[n:], y[n:], dy[n:], shift)
}

func added(lanes int, f func(dst, src *float32, n int, a float32), dst, src []float32, a float32) {
	n := len(dst) / lanes * lanes
	if n > 0 {
		src = src[:len(dst)]
		f(&dst[0], &src[0], n, a)
	}
	axpyGo(dst[n:], src[n:], a)
}

func updated(lanes int, f func(w, v, g *float32, n int, rate, decay, momentum float32), w, v, g []float32, rate, decay,
	momentum float32) {
	n := len(w) / lanes * lanes
	if n > 0 {
		v, g = v[:len(w)], g[:len(w)]
		f(&w[0], &v[0], &g[0], n, rate, decay, momentum)
	}
	sgdGo(w[n:], v[n:], g[n:], rate, decay, momentum)
}

// optimizers returns steps that handle whole vectors in assembly and the remaining values in Go.
func optimizers(lanes int, fs map[recipe.OptimizerKind]func(*byte)) map[recipe.OptimizerKind]func(*descent) {
	steps := map[recipe.OptimizerKind]func(*descent){}
	for kind, f := range fs {
		rest := optimizersGo[kind]
		steps[kind] = func(d *descent) {
			if d.n = len(d.w) / lanes * lanes; d.n > 0 {
				f((*byte)(unsafe.Pointer(d)))
			}
			if *d = d.between(d.n, len(d.w)); len(d.w) > 0 {
				rest(d)
			}
		}
	}
	return steps
}

// down handles whole vectors of columns in assembly and the remaining columns in Go. There are as many
// columns as channels.
func down(lanes int, channels []float32, values int, f func(n, count, stride int), rest func(from int)) {
	width := len(channels)
	n, count := width/lanes*lanes, values/width
	if n > 0 && count > 0 {
		f(n, count, width)
	}
	if n < width {
		rest(n)
	}
}

func columns(lanes int, f func(sum, rows *float32, n, count, stride int), sum, rows []float32) {
	width := len(sum)
	n, count := width/lanes*lanes, len(rows)/width
	if n > 0 && count > 0 {
		f(&sum[0], &rows[0], n, count, width)
	}
	for c := n; c < width; c++ {
		for i := c; i < len(rows); i += width {
			sum[c] += rows[i]
		}
	}
}

// isas returns the kernels that this CPU can run, the fastest first.
func isas() []*isa {
	var ps []*isa
	if cpu.X86.HasAVX512F && cpu.X86.HasAVX512VL && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512DQ {
		ps = append(ps, &avx512ISA)
	}
	if cpu.X86.HasAVX2 && cpu.X86.HasFMA {
		ps = append(ps, &avx2ISA)
	}
	return append(ps, &goISA)
}
