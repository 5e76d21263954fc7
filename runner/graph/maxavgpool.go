package graph

import (
	"fmt"

	"ablate/arch"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// MaxAvgPool is the sum of each window's maximum and mean: x → y.
type MaxAvgPool struct {
	meta
	Window
}

// NewMaxAvgPool makes a layer that pools both ways.
func NewMaxAvgPool(layer string, batch int, w Window) *MaxAvgPool {
	o := &MaxAvgPool{Window: w}
	o.meta = meta{
		kind: "maxavgpool", Layer: layer, Batch: batch, params: fmt.Sprintf("%+v", w),
		in:  []tensor.Shape{nhwc(batch, w.In)},
		out: nhwc(batch, w.Out),
		f32: func(in [][]float32, out []float32) { maxAvgPool(batch, w, in[0], out) },
		f64: func(in [][]float64, out []float64) { maxAvgPool(batch, w, in[0], out) },
	}
	return o
}

// DiffWRT reports that the input has a gradient.
func (o *MaxAvgPool) DiffWRT(n int) []bool { return all(1, n) }

// SymDiff returns the gradient to the input.
func (o *MaxAvgPool) SymDiff(in gorgonia.Nodes, _, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	dx, err := applied(NewMaxAvgPoolGrad(o.Layer, o.Batch, o.Window), in[0], dy)
	return gorgonia.Nodes{dx}, err
}

// MaxAvgPoolGrad is the gradient of MaxAvgPool: (x, dy) → dx. The first of equal maxima gets the
// gradient of the maximum.
type MaxAvgPoolGrad struct {
	meta
	Window
}

// NewMaxAvgPoolGrad makes the gradient of a layer that pools both ways.
func NewMaxAvgPoolGrad(layer string, batch int, w Window) *MaxAvgPoolGrad {
	o := &MaxAvgPoolGrad{Window: w}
	o.meta = meta{
		kind: "maxavgpool-grad", Layer: layer, Batch: batch, params: fmt.Sprintf("%+v", w),
		in:  []tensor.Shape{nhwc(batch, w.In), nhwc(batch, w.Out)},
		out: nhwc(batch, w.In),
		f32: func(in [][]float32, out []float32) { maxAvgPoolGrad(batch, w, in[0], in[1], out) },
		f64: func(in [][]float64, out []float64) { maxAvgPoolGrad(batch, w, in[0], in[1], out) },
	}
	return o
}

func maxAvgPool[T float](batch int, w Window, x, y []T) {
	avgPool(batch, w, x, y)
	top := make([]T, len(y))
	maxPool(batch, w, x, top)
	for i, v := range top {
		y[i] += v
	}
}

func maxAvgPoolGrad[T float](batch int, w Window, x, dy, dx []T) {
	top := make([]T, len(dy))
	maxPool(batch, w, x, top)
	maxPoolGrad(batch, w, x, top, dy, dx)
	avgPoolGrad(batch, w, dy, dx)
}

// Shard divides by channels.
func (o *MaxAvgPool) Shard(s Split) (Shard, error) {
	return s.own(o, NewMaxAvgPool(o.Layer, o.Batch, s.window(o.Window))), nil
}

// Shard divides by channels.
func (o *MaxAvgPoolGrad) Shard(s Split) (Shard, error) {
	return s.own(o, NewMaxAvgPoolGrad(o.Layer, o.Batch, s.window(o.Window))), nil
}

var _ = builds(func(b *builder, p arch.LayerInfo, l *arch.MaxAvgPool, x *gorgonia.Node) (*gorgonia.Node, error) {
	w := Window{In: p.In, Out: p.Out, Kernel: l.Kernel, Stride: l.Stride, Pad: l.Pad, Groups: 1}
	return applied(NewMaxAvgPool(p.Layer.Name, b.g.Batch, w), x)
})
