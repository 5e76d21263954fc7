package graph

import (
	"fmt"
	"math"

	"ablate/arch"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// MaxPool takes each window's maximum: x → y.
type MaxPool struct {
	meta
	Window
}

// NewMaxPool makes a max-pooling layer.
func NewMaxPool(layer string, batch int, w Window) *MaxPool {
	o := &MaxPool{Window: w}
	o.meta = meta{
		kind: "maxpool", Layer: layer, Batch: batch, params: fmt.Sprintf("%+v", w),
		in:  []tensor.Shape{nhwc(batch, w.In)},
		out: nhwc(batch, w.Out),
		f32: func(in [][]float32, out []float32) { maxPool(o.Batch, o.Window, in[0], out) },
		f64: func(in [][]float64, out []float64) { maxPool(o.Batch, o.Window, in[0], out) },
	}
	return o
}

// DiffWRT reports that the input has a gradient.
func (o *MaxPool) DiffWRT(n int) []bool { return all(1, n) }

// SymDiff returns the gradient to the input. It finds the place of the maximum again from x and y:
// no index is stored.
func (o *MaxPool) SymDiff(in gorgonia.Nodes, y, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	dx, err := applied(NewMaxPoolGrad(o.Layer, o.Batch, o.Window), in[0], y, dy)
	return gorgonia.Nodes{dx}, err
}

// MaxPoolGrad is the gradient of MaxPool: (x, y, dy) → dx. The first of equal maxima in a window,
// in row-major order, gets the gradient.
type MaxPoolGrad struct {
	meta
	Window
}

// NewMaxPoolGrad makes the gradient of a max-pooling layer.
func NewMaxPoolGrad(layer string, batch int, w Window) *MaxPoolGrad {
	o := &MaxPoolGrad{Window: w}
	o.meta = meta{
		kind: "maxpool-grad", Layer: layer, Batch: batch, params: fmt.Sprintf("%+v", w),
		in:  []tensor.Shape{nhwc(batch, w.In), nhwc(batch, w.Out), nhwc(batch, w.Out)},
		out: nhwc(batch, w.In),
		f32: func(in [][]float32, out []float32) { maxPoolGrad(o.Batch, o.Window, in[0], in[1], in[2], out) },
		f64: func(in [][]float64, out []float64) { maxPoolGrad(o.Batch, o.Window, in[0], in[1], in[2], out) },
	}
	return o
}

func maxPool[T float](batch int, w Window, x, y []T) {
	for i := range y {
		y[i] = T(math.Inf(-1))
	}
	w.each(batch, func(n, oy, ox, _, _, iy, ix int) {
		xi, yi := w.input(n, iy, ix), w.output(n, oy, ox)
		for c := range w.In.Channels {
			if v := x[xi+c]; v > y[yi+c] || v != v {
				y[yi+c] = v // a NaN stays a NaN: nothing is greater than it
			}
		}
	})
}

func maxPoolGrad[T float](batch int, w Window, x, y, dy, dx []T) {
	given := make([]bool, len(y))
	w.each(batch, func(n, oy, ox, _, _, iy, ix int) {
		xi, yi := w.input(n, iy, ix), w.output(n, oy, ox)
		for c := range w.In.Channels {
			if !given[yi+c] && x[xi+c] == y[yi+c] {
				given[yi+c] = true
				dx[xi+c] += dy[yi+c]
			}
		}
	})
}

// Shard divides by channels.
func (o *MaxPool) Shard(s Split) (Shard, error) {
	return s.own(o, NewMaxPool(o.Layer, o.Batch, s.window(o.Window))), nil
}

// Shard divides by channels.
func (o *MaxPoolGrad) Shard(s Split) (Shard, error) {
	return s.own(o, NewMaxPoolGrad(o.Layer, o.Batch, s.window(o.Window))), nil
}

var _ = builds(func(b *builder, p arch.LayerInfo, l *arch.MaxPool, x *gorgonia.Node) (*gorgonia.Node, error) {
	w := Window{In: p.In, Out: p.Out, Kernel: l.Kernel, Stride: l.Stride, Pad: l.Pad, Groups: 1}
	return applied(NewMaxPool(p.Layer.Name, b.g.Batch, w), x)
})
