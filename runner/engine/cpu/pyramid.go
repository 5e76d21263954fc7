package cpu

import (
	"ablate/arch"
	"ablate/runner/engine"
	"ablate/runner/graph"
)

var (
	_ = computes(newPyramidPool)
	_ = computes(newPyramidPoolGrad)
)

// pyramids is a spatial pyramid, one image per tile; with dy, it is the gradient.
type pyramids struct {
	d            *Device
	in           arch.Shape
	levels       []int
	batch        int
	x, y, dy, dx []float32
}

func newPyramidPool(d *Device, op *graph.PyramidPool, in engine.Instr) engine.Kernel {
	return &pyramids{d: d, in: op.In, levels: op.Levels, batch: op.Batch, x: slice(in.In[0]), y: slice(in.Out)}
}

func newPyramidPoolGrad(d *Device, op *graph.PyramidPoolGrad, in engine.Instr) engine.Kernel {
	return &pyramids{d: d, in: op.In, levels: op.Levels, batch: op.Batch, x: slice(in.In[0]), dy: slice(in.In[1]),
		dx: slice(in.Out)}
}

// Run handles all images.
func (p *pyramids) Run(*engine.Context) error { return p.d.workers.run(p, p.batch) }

func (p *pyramids) tile(_, n int) {
	s, channels := p.in, p.in.Channels
	x := imageOf(p.x, n, s.Len())
	if p.dx != nil {
		clear(imageOf(p.dx, n, s.Len()))
	}
	outs := 0
	for _, cells := range p.levels {
		outs += cells * cells * channels
	}
	at := n * outs
	for _, cells := range p.levels {
		for cell := range cells * cells {
			top, bottom := graph.PyramidCell(s.Height, cells, cell/cells)
			left, right := graph.PyramidCell(s.Width, cells, cell%cells)
			w := cellWindow{first: 0, rows: bottom - top, cols: right - left, row: s.Width * channels, col: channels}
			for c := range channels {
				w.first = (top*s.Width+left)*channels + c
				best := w.first
				w.each(func(i int) {
					if x[i] > x[best] {
						best = i
					}
				})
				if p.dx != nil {
					p.dx[n*s.Len()+best] += p.dy[at]
				} else {
					p.y[at] = x[best]
				}
				at++
			}
		}
	}
}
