package cpu

import (
	"fmt"
	"math"
	"os"
	"strings"

	"ablate/runner/graph"
)

// A path is one instruction set's kernels. All kernels of the device go through it.
type path struct {
	name string
	tile [5]func(*tile) // by the number of 16-wide vectors in a row, 1 to 4

	reluGrad   func(dx, y, dy []float32)                              // dx = y > 0 ? dy : 0
	columnSums func(sum, rows []float32)                              // sum[c] += rows[r·len(sum)+c], rows in order
	sgd        func(w, v, g []float32, rate, decay, momentum float32) // v = momentum·v − decay·w − rate·g; w += v
	maxInto    func(dst, src []float32)                               // dst = max(dst, src); a NaN stays
	axpy       func(dst, src []float32, a float32)                    // dst += a·src
	powers     func(p, d []float32)                                   // p = d^−0.75

	fmas     func(rounds int) // multiply-adds on registers, as fast as they go
	fmaFLOPs int              // operations in a round
}

var goPath = path{
	name: "go",
	tile: [5]func(*tile){
		1: func(t *tile) { tileGo(t, 16) }, 2: func(t *tile) { tileGo(t, 32) },
		3: func(t *tile) { tileGo(t, 48) }, 4: func(t *tile) { tileGo(t, 64) },
	},
	reluGrad: reluGradGo, columnSums: columnSumsGo, sgd: sgdGo, maxInto: maxIntoGo, axpy: axpyGo, powers: powersGo,
	fmas: fmasGo, fmaFLOPs: 2 * 8,
}

// fmasGo keeps eight chains of a multiplication and an addition going.
func fmasGo(rounds int) {
	var a, b, c, d, e, f, g, h float32
	x := fmaSeed
	for range rounds {
		a, b, c, d = a*x+x, b*x+x, c*x+x, d*x+x
		e, f, g, h = e*x+x, f*x+x, g*x+x, h*x+x
	}
	fmaSink = a + b + c + d + e + f + g + h
}

var fmaSeed, fmaSink float32 // variables, so that the loop is not optimised away

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

func maxIntoGo(dst, src []float32) {
	src = src[:len(dst)]
	for i, v := range src {
		dst[i] = max(dst[i], v)
	}
}

func axpyGo(dst, src []float32, a float32) {
	src = src[:len(dst)]
	for i, v := range src {
		dst[i] += float32(a * v)
	}
}

// lrnScratch is the scratch that lrn and lrnGrad need for a number of maps.
func lrnScratch(maps int, n *graph.Norm) int { return 3*maps + n.Size }

// windows fills to with the sums of size neighbours, in ascending order. q
// holds size/2 zeros before and after the values, so that no window is cut.
func windows(to, q []float32, size int) {
	q = q[:len(to)+size-1]
	switch size {
	case 3:
		for i := range to {
			w := q[i : i+3 : i+3]
			to[i] = w[0] + w[1] + w[2]
		}
	case 5:
		for i := range to {
			w := q[i : i+5 : i+5]
			to[i] = w[0] + w[1] + w[2] + w[3] + w[4]
		}
	default:
		for i := range to {
			var sum float32
			for _, v := range q[i : i+size] {
				sum += v
			}
			to[i] = sum
		}
	}
}

// lrnDenominators fills d with K + α·Σx² over the window of each map.
func lrnDenominators(d, x, q []float32, n *graph.Norm) {
	half, alpha, k := n.Size/2, float32(n.Alpha), float32(n.K)
	clear(q[:half])
	clear(q[half+len(x) : 2*half+len(x)])
	for i, v := range x {
		q[half+i] = v * v
	}
	windows(d, q, n.Size)
	for i, s := range d {
		d[i] = k + float32(alpha*s)
	}
}

// power turns d into d^−β, by the path's square roots for the paper's β.
func (k *path) power(p, d []float32, beta float64) {
	if beta == 0.75 {
		k.powers(p, d)
		return
	}
	for i, v := range d {
		p[i] = float32(math.Pow(float64(v), -beta))
	}
}

// powersGo computes 1/(√d·√√d), which needs no logarithm and is the same bits everywhere.
func powersGo(p, d []float32) {
	p = p[:len(d)]
	for i, v := range d {
		root := float32(math.Sqrt(float64(v)))
		p[i] = 1 / float32(root*float32(math.Sqrt(float64(root))))
	}
}

// lrn normalises one pixel's maps of one column; scratch is as lrnScratch says.
func (k *path) lrn(y, x, scratch []float32, n *graph.Norm) {
	lrnDenominators(y, x, scratch, n)
	k.power(y, y, n.Beta)
	for i, v := range x {
		y[i] *= v
	}
}

// lrnGrad is dx = dy·d^−β − 2αβ·x·Σ dy·x·d^−(β+1) over the windows that hold the map.
func (k *path) lrnGrad(dx, x, dy, scratch []float32, n *graph.Norm) {
	d, p, q := scratch[:len(x)], scratch[len(x):2*len(x)], scratch[2*len(x):]
	lrnDenominators(d, x, q, n)
	k.power(p, d, n.Beta)
	half, factor := n.Size/2, 2*float32(n.Alpha)*float32(n.Beta)
	inner := q[half : half+len(x)] // the zeros around it are still there
	for i, v := range x {
		inner[i] = dy[i] * v * p[i] / d[i]
	}
	windows(d, q, n.Size)
	for i, s := range d {
		dx[i] = float32(dy[i]*p[i]) - float32(float32(factor*x[i])*s)
	}
}

// selectPath takes the fastest kernels this CPU can run, or those that ABLATE_CPU names.
func selectPath() (*path, error) {
	all := paths()
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
