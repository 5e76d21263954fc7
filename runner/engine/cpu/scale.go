package cpu

import (
	"ablate/runner/engine"
	"ablate/runner/graph"
)

var (
	_ = computes(newScale)
	_ = computes(newScaleFactorGrad)
)

// scales handles one image per tile. Each channel of an image has a separate number.
type scales struct {
	d             *Device
	images, image int // their number and their length
	channels      int
	compute       func(n, first, last int) // handles image n, whose values lie in [first, last)
}

func scalesOf(d *Device, batch, image, channels int, compute func(n, first, last int)) *scales {
	return &scales{d: d, images: batch, image: image, channels: channels, compute: compute}
}

// Run handles all images.
func (s *scales) Run(*engine.Context) error { return s.d.workers.run(s, s.images) }

func (s *scales) tile(_, n int) { s.compute(n, n*s.image, (n+1)*s.image) }

func newScale(d *Device, op *graph.Scale, in engine.Instr) engine.Kernel {
	x, factor, y := slice(in.In[0]), slice(in.In[1]), slice(in.Out)
	c := op.Shape.Channels
	none := make([]float32, c)
	return scalesOf(d, op.Batch, op.Shape.Len(), c, func(n, first, last int) {
		d.isa.normalise(y[first:last], x[first:last], normal{mean: none, factor: factor[n*c:][:c], offset: none})
	})
}

func newScaleFactorGrad(d *Device, op *graph.ScaleFactorGrad, in engine.Instr) engine.Kernel {
	x, dy, ds := slice(in.In[0]), slice(in.In[1]), slice(in.Out)
	c := op.Shape.Channels
	none := make([]float32, c)
	return scalesOf(d, op.Batch, op.Shape.Len(), c, func(n, first, last int) {
		sum := ds[n*c:][:c]
		clear(sum)
		d.isa.columnProducts(sum, x[first:last], dy[first:last], none)
	})
}
