package cpu

import (
	"math"

	"ablate/runner/engine"
	"ablate/runner/graph"
)

// pools walks the windows of a pooling layer, one image a tile. The inner loop
// of every window runs over the channels, which are contiguous.
type pools struct {
	d     *Device
	w     graph.Window
	batch int
	image func(p *pools, worker, n int)
	// x and y are the layer's input and output, dx and dy their gradients; those a kernel does not need are nil.
	x, y, dx, dy []float32
}

func newMaxPool(d *Device, op *graph.MaxPool, in engine.Instr) engine.Kernel {
	return &pools{d: d, w: op.Window, batch: op.Batch, image: (*pools).max, x: slice(in.In[0]), y: slice(in.Out)}
}

func newMaxPoolGrad(d *Device, op *graph.MaxPoolGrad, in engine.Instr) engine.Kernel {
	d.needScratch(op.In.Channels)
	return &pools{d: d, w: op.Window, batch: op.Batch, image: (*pools).maxGrad,
		x: slice(in.In[0]), y: slice(in.In[1]), dy: slice(in.In[2]), dx: slice(in.Out)}
}

func newAvgPool(d *Device, op *graph.AvgPool, in engine.Instr) engine.Kernel {
	return &pools{d: d, w: op.Window, batch: op.Batch, image: (*pools).mean, x: slice(in.In[0]), y: slice(in.Out)}
}

func newAvgPoolGrad(d *Device, op *graph.AvgPoolGrad, in engine.Instr) engine.Kernel {
	return &pools{d: d, w: op.Window, batch: op.Batch, image: (*pools).meanGrad, dy: slice(in.In[0]), dx: slice(in.Out)}
}

// Run handles all images.
func (p *pools) Run(*engine.Context) error { return p.d.workers.run(p, p.batch) }

func (p *pools) tile(worker, n int) { p.image(p, worker, n) }

// clip gives the window's rows (or columns) that lie inside the image.
func clip(o, stride, pad, kernel, size int) (from, to int) {
	first := o*stride - pad
	return max(first, 0), min(first+kernel, size)
}

// in and out are one pixel's channels in image n.
func (p *pools) in(of []float32, n, y, x int) []float32 {
	c := p.w.In.Channels
	return of[((n*p.w.In.Height+y)*p.w.In.Width+x)*c:][:c]
}

func (p *pools) out(of []float32, n, y, x int) []float32 {
	c := p.w.Out.Channels
	return of[((n*p.w.Out.Height+y)*p.w.Out.Width+x)*c:][:c]
}

// rows and columns of the image that output pixel (oy, ox) covers.
func (p *pools) covers(oy, ox int) (y0, y1, x0, x1 int) {
	y0, y1 = clip(oy, p.w.Stride, p.w.Pad.Top, p.w.Kernel, p.w.In.Height)
	x0, x1 = clip(ox, p.w.Stride, p.w.Pad.Left, p.w.Kernel, p.w.In.Width)
	return
}

func (p *pools) max(_, n int) {
	for oy := range p.w.Out.Height {
		for ox := range p.w.Out.Width {
			out := p.out(p.y, n, oy, ox)
			y0, y1, x0, x1 := p.covers(oy, ox)
			for c := range out {
				out[c] = float32(math.Inf(-1))
			}
			for y := y0; y < y1; y++ {
				for x := x0; x < x1; x++ {
					p.d.path.maxInto(out, p.in(p.x, n, y, x))
				}
			}
		}
	}
}

// maxGrad gives each window's gradient to the first pixel, in row-major order,
// that equals its maximum: once given, what is left to give is zero.
func (p *pools) maxGrad(worker, n int) {
	size := p.w.In.Len()
	clear(p.dx[n*size : (n+1)*size])
	left := p.d.scratch[worker][:p.w.In.Channels]
	for oy := range p.w.Out.Height {
		for ox := range p.w.Out.Width {
			top := p.out(p.y, n, oy, ox)
			copy(left, p.out(p.dy, n, oy, ox))
			y0, y1, x0, x1 := p.covers(oy, ox)
			for y := y0; y < y1; y++ {
				for x := x0; x < x1; x++ {
					give(p.in(p.dx, n, y, x), p.in(p.x, n, y, x), top, left)
				}
			}
		}
	}
}

func give(dx, x, top, left []float32) {
	x, top, left = x[:len(dx)], top[:len(dx)], left[:len(dx)]
	for c, v := range x {
		if v == top[c] {
			dx[c] += left[c]
			left[c] = 0
		}
	}
}

func (p *pools) mean(_, n int) {
	for oy := range p.w.Out.Height {
		for ox := range p.w.Out.Width {
			out := p.out(p.y, n, oy, ox)
			clear(out)
			y0, y1, x0, x1 := p.covers(oy, ox)
			scale := 1 / float32((y1-y0)*(x1-x0))
			for y := y0; y < y1; y++ {
				for x := x0; x < x1; x++ {
					p.d.path.axpy(out, p.in(p.x, n, y, x), scale)
				}
			}
		}
	}
}

func (p *pools) meanGrad(_, n int) {
	size := p.w.In.Len()
	clear(p.dx[n*size : (n+1)*size])
	for oy := range p.w.Out.Height {
		for ox := range p.w.Out.Width {
			grad := p.out(p.dy, n, oy, ox)
			y0, y1, x0, x1 := p.covers(oy, ox)
			scale := 1 / float32((y1-y0)*(x1-x0))
			for y := y0; y < y1; y++ {
				for x := x0; x < x1; x++ {
					p.d.path.axpy(p.in(p.dx, n, y, x), grad, scale)
				}
			}
		}
	}
}
