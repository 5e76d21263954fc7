package cpu

import (
	"ablate/runner/engine"
	"ablate/runner/graph"
)

var (
	_ = computes(newMaxAvgPool)
	_ = computes(newMaxAvgPoolGrad)
	_ = computes(newStochasticPool)
	_ = computes(newStochasticPoolGrad)
)

// mixedPools is a layer that pools by maximum and mean together, one image per tile; with dy, it is
// the layer's gradient.
type mixedPools struct {
	d            *Device
	w            graph.Window
	batch        int
	x, y, dy, dx []float32
}

func newMaxAvgPool(d *Device, op *graph.MaxAvgPool, in engine.Instr) engine.Kernel {
	return &mixedPools{d: d, w: op.Window, batch: op.Batch, x: slice(in.In[0]), y: slice(in.Out)}
}

func newMaxAvgPoolGrad(d *Device, op *graph.MaxAvgPoolGrad, in engine.Instr) engine.Kernel {
	return &mixedPools{d: d, w: op.Window, batch: op.Batch, x: slice(in.In[0]), dy: slice(in.In[1]), dx: slice(in.Out)}
}

// Run handles all images.
func (p *mixedPools) Run(*engine.Context) error { return p.d.workers.run(p, p.batch) }

func (p *mixedPools) tile(_, n int) {
	x := imageOf(p.x, n, p.w.In.Len())
	if p.dy == nil {
		y := imageOf(p.y, n, p.w.Out.Len())
		eachWindow(p.w, func(w cellWindow, out int) {
			best, sum := w.first, float32(0)
			w.each(func(i int) {
				sum += x[i]
				if x[i] > x[best] {
					best = i
				}
			})
			y[out] = x[best] + sum/float32(w.area())
		})
		return
	}
	dx, dy := imageOf(p.dx, n, p.w.In.Len()), imageOf(p.dy, n, p.w.Out.Len())
	clear(dx)
	eachWindow(p.w, func(w cellWindow, out int) {
		best, share := w.first, dy[out]/float32(w.area())
		w.each(func(i int) {
			dx[i] += share
			if x[i] > x[best] {
				best = i
			}
		})
		dx[best] += dy[out]
	})
}

// A cellWindow is the cells of one channel that a pooling window covers inside the image.
type cellWindow struct{ first, rows, cols, row, col int }

func (w cellWindow) area() int { return w.rows * w.cols }

// each calls f with the index of every cell, in row-major order.
func (w cellWindow) each(f func(i int)) {
	for r := range w.rows {
		for c := range w.cols {
			f(w.first + r*w.row + c*w.col)
		}
	}
}

// eachWindow calls f for every output of an image with its window.
func eachWindow(w graph.Window, f func(cells cellWindow, out int)) {
	channels := w.In.Channels
	for oy := range w.Out.Height {
		top := max(oy*w.Stride-w.Pad.Top, 0)
		rows := min(oy*w.Stride-w.Pad.Top+w.Kernel, w.In.Height) - top
		for ox := range w.Out.Width {
			left := max(ox*w.Stride-w.Pad.Left, 0)
			cols := min(ox*w.Stride-w.Pad.Left+w.Kernel, w.In.Width) - left
			for c := range channels {
				f(cellWindow{first: (top*w.In.Width+left)*channels + c, rows: rows, cols: cols, row: w.In.Width * channels,
					col: channels},
					(oy*w.Out.Width+ox)*channels+c)
			}
		}
	}
}

// stochasticPools draws one activation of each window, one image per tile; with dy, it passes the
// gradient to that activation.
type stochasticPools struct {
	d            *Device
	w            graph.Window
	batch        int
	layer        string
	part         graph.Part
	train        bool
	x, y, dy, dx []float32
	context      *engine.Context
}

func newStochasticPool(d *Device, op *graph.StochasticPool, in engine.Instr) engine.Kernel {
	return &stochasticPools{d: d, w: op.Window, batch: op.Batch, layer: op.Layer, part: op.Part, train: op.Train,
		x: slice(in.In[0]), y: slice(in.Out)}
}

func newStochasticPoolGrad(d *Device, op *graph.StochasticPoolGrad, in engine.Instr) engine.Kernel {
	return &stochasticPools{d: d, w: op.Window, batch: op.Batch, layer: op.Layer, part: op.Part, train: true,
		x: slice(in.In[0]), dy: slice(in.In[1]), dx: slice(in.Out)}
}

// Run handles all images. The forward and the backward pass of a step draw the same activations.
func (p *stochasticPools) Run(c *engine.Context) error {
	p.context = c
	return p.d.workers.run(p, p.batch)
}

func (p *stochasticPools) tile(_, n int) {
	x := imageOf(p.x, n, p.w.In.Len())
	if p.dx != nil {
		clear(imageOf(p.dx, n, p.w.In.Len()))
	}
	stream := graph.StochasticStream(p.context.Seed, p.layer)
	eachWindow(p.w, func(w cellWindow, out int) {
		var sum, squares float64
		w.each(func(i int) {
			v := max(float64(x[i]), 0)
			sum, squares = sum+v, squares+v*v
		})
		at := n*p.w.Out.Len() + out
		picked := -1
		if p.train && sum > 0 {
			picked = pick(x, w, graph.StochasticChoice(stream.Uint32(p.context.Step, uint64(p.part.Index(at, p.w.Out))), sum))
		}
		switch {
		case p.dx != nil && picked >= 0:
			p.dx[n*p.w.In.Len()+picked] += p.dy[at]
		case p.dx != nil:
		case picked >= 0:
			p.y[at] = x[picked]
		case sum > 0:
			p.y[at] = float32(squares / sum)
		default:
			p.y[at] = 0
		}
	})
}

// pick returns the cell at which the sum of the activations above 0 exceeds choice.
func pick(x []float32, w cellWindow, choice float64) int {
	var reached float64
	last := -1
	for r := range w.rows {
		for c := range w.cols {
			i := w.first + r*w.row + c*w.col
			if x[i] > 0 {
				reached, last = reached+float64(x[i]), i
				if reached > choice {
					return i
				}
			}
		}
	}
	return last
}
