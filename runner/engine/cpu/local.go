package cpu

import (
	"ablate/runner/engine"
	"ablate/runner/graph"
)

var (
	_ = computes(newLocal)
	_ = computes(newLocalDataGrad)
	_ = computes(newLocalWeightGrad)
)

// locals is a locally-connected layer. Every output pixel has separate weights, so there is no matrix
// product over pixels. A row of weights is one vector over the filters of a group, which is multiplied
// by the one input it belongs to and added to the outputs.
type locals struct {
	d     *Device
	w     graph.Window
	batch int
	x, y  []float32 // or their gradients
	// weights holds the weights or their gradient, bias the biases, nil where there are none.
	weights, bias []float32
}

func newLocal(d *Device, op *graph.Local, in engine.Instr) engine.Kernel {
	return &locals{d: d, w: op.Window, batch: op.Batch, x: slice(in.In[0]), y: slice(in.Out), weights: slice(in.In[1]),
		bias: biases(in)}
}

// Run computes the pixels of the output. A tile is one pixel of all images, so that its weights are
// read once.
func (l *locals) Run(*engine.Context) error {
	return l.d.workers.run(l, l.w.Out.Height*l.w.Out.Width)
}

func (l *locals) tile(_, pixel int) {
	filters := l.w.Out.Channels
	for n := range l.batch {
		y := l.y[n*l.w.Out.Len()+pixel*filters:][:filters]
		clear(y)
		if l.bias != nil {
			copy(y, l.bias[pixel*filters:][:filters])
		}
		localRows(l.w, pixel, func(x, weight, y0, y1 int) {
			l.d.isa.axpy(y[y0:y1], l.weights[weight:][:y1-y0], l.x[n*l.w.In.Len()+x])
		})
	}
}

// localRows calls f for every input value that a pixel sees, with the value's index in the image, the
// start of its row of weights, and the filters that the row is for.
func localRows(w graph.Window, pixel int, f func(x, weight, y0, y1 int)) {
	oy, ox := pixel/w.Out.Width, pixel%w.Out.Width
	in, out := w.In.Channels/w.Groups, w.Out.Channels/w.Groups
	first := pixel * w.Kernel * w.Kernel * in * w.Out.Channels
	for ky := range w.Kernel {
		y := oy*w.Stride + ky - w.Pad.Top
		if y < 0 || y >= w.In.Height {
			continue
		}
		for kx := range w.Kernel {
			x := ox*w.Stride + kx - w.Pad.Left
			if x < 0 || x >= w.In.Width {
				continue
			}
			cell, k := (y*w.In.Width+x)*w.In.Channels, first+(ky*w.Kernel+kx)*in*w.Out.Channels
			for g := range w.Groups {
				for i := range in {
					f(cell+g*in+i, k+i*w.Out.Channels+g*out, g*out, (g+1)*out)
				}
			}
		}
	}
}

// localDataGrads is the gradient with respect to the images, one image per tile.
type localDataGrads struct{ locals }

func newLocalDataGrad(d *Device, op *graph.LocalDataGrad, in engine.Instr) engine.Kernel {
	return &localDataGrads{locals{d: d, w: op.Window, batch: op.Batch, weights: slice(in.In[0]), y: slice(in.In[1]),
		x: slice(in.Out)}}
}

// Run computes all images.
func (l *localDataGrads) Run(*engine.Context) error { return l.d.workers.run(l, l.batch) }

func (l *localDataGrads) tile(_, n int) {
	dx, dy := l.x[n*l.w.In.Len():][:l.w.In.Len()], l.y[n*l.w.Out.Len():][:l.w.Out.Len()]
	clear(dx)
	for pixel := range l.w.Out.Height * l.w.Out.Width {
		own := dy[pixel*l.w.Out.Channels:][:l.w.Out.Channels]
		localRows(l.w, pixel, func(x, weight, y0, y1 int) {
			dx[x] += dot(own[y0:y1], l.weights[weight:][:y1-y0])
		})
	}
}

// dot returns Σ a·b, in four independent sums.
func dot(a, b []float32) float32 {
	b = b[:len(a)]
	var s, t, u, v float32
	i := 0
	for ; i+4 <= len(a); i += 4 {
		s += a[i] * b[i]
		t += a[i+1] * b[i+1]
		u += a[i+2] * b[i+2]
		v += a[i+3] * b[i+3]
	}
	for ; i < len(a); i++ {
		s += a[i] * b[i]
	}
	return (s + t) + (u + v)
}

// localWeightGrads is the gradient with respect to the weights, one output pixel per tile, with the
// images in order.
type localWeightGrads struct{ locals }

func newLocalWeightGrad(d *Device, op *graph.LocalWeightGrad, in engine.Instr) engine.Kernel {
	return &localWeightGrads{locals{d: d, w: op.Window, batch: op.Batch, x: slice(in.In[0]), y: slice(in.In[1]),
		weights: slice(in.Out)}}
}

// Run computes all pixels' weights.
func (l *localWeightGrads) Run(*engine.Context) error {
	return l.d.workers.run(l, l.w.Out.Height*l.w.Out.Width)
}

func (l *localWeightGrads) tile(_, pixel int) {
	size := len(l.weights) / (l.w.Out.Height * l.w.Out.Width)
	clear(l.weights[pixel*size:][:size])
	for n := range l.batch {
		dy := l.y[n*l.w.Out.Len()+pixel*l.w.Out.Channels:][:l.w.Out.Channels]
		localRows(l.w, pixel, func(x, weight, y0, y1 int) {
			l.d.isa.axpy(l.weights[weight:][:y1-y0], dy[y0:y1], l.x[n*l.w.In.Len()+x])
		})
	}
}
