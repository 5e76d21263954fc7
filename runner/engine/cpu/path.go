package cpu

import (
	"fmt"
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
	lrn        func(y, x []float32, n *graph.Norm)                    // one pixel's maps of one column
	lrnGrad    func(dx, x, dy, scratch []float32, n *graph.Norm)      // scratch holds 2·len(x)
}

var goPath = path{
	name: "go",
	tile: [5]func(*tile){
		1: func(t *tile) { tileGo(t, 16) }, 2: func(t *tile) { tileGo(t, 32) },
		3: func(t *tile) { tileGo(t, 48) }, 4: func(t *tile) { tileGo(t, 64) },
	},
	reluGrad: reluGradGo, columnSums: columnSumsGo, sgd: sgdGo, maxInto: maxIntoGo, axpy: axpyGo,
	lrn: lrnGo, lrnGrad: lrnGradGo,
}

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

// lrnSums fills d with K + α·Σx² over the window of each map, in ascending order.
func lrnSums(d, x []float32, n *graph.Norm) {
	half, alpha, k := n.Size/2, float32(n.Alpha), float32(n.K)
	for i := range d {
		var sum float32
		for _, v := range x[max(0, i-half):min(len(x), i+half+1)] {
			sum += float32(v * v)
		}
		d[i] = k + float32(alpha*sum)
	}
}

func lrnGo(y, x []float32, n *graph.Norm) {
	lrnSums(y, x, n)
	for i, v := range x {
		y[i] = v * power(y[i], n.Beta)
	}
}

// lrnGradGo: dx = dy·d^−β − 2αβ·x·Σ dy·x·d^−(β+1) over the windows that hold the map.
func lrnGradGo(dx, x, dy, scratch []float32, n *graph.Norm) {
	p, q := scratch[:len(x)], scratch[len(x):2*len(x)]
	lrnSums(p, x, n)
	for i, d := range p {
		p[i] = power(d, n.Beta)
		q[i] = dy[i] * x[i] * p[i] / d
	}
	half, factor := n.Size/2, 2*float32(n.Alpha)*float32(n.Beta)
	for i := range dx {
		var sum float32
		for _, v := range q[max(0, i-half):min(len(q), i+half+1)] {
			sum += v
		}
		dx[i] = float32(dy[i]*p[i]) - float32(float32(factor*x[i])*sum)
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
