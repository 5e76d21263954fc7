package graph

import (
	"fmt"

	"ablate/arch"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// AvgPool takes each window's mean over the pixels inside the image: x → y.
type AvgPool struct {
	meta
	Window
}

// NewAvgPool makes an average-pooling layer.
func NewAvgPool(layer string, batch int, w Window) *AvgPool {
	o := &AvgPool{Window: w}
	o.meta = meta{
		kind: "avgpool", Layer: layer, Batch: batch, params: fmt.Sprintf("%+v", w),
		in:  []tensor.Shape{nhwc(batch, w.In)},
		out: nhwc(batch, w.Out),
		f32: func(in [][]float32, out []float32) { avgPool(o.Batch, o.Window, in[0], out) },
		f64: func(in [][]float64, out []float64) { avgPool(o.Batch, o.Window, in[0], out) },
	}
	return o
}

// DiffWRT reports that the input has a gradient.
func (o *AvgPool) DiffWRT(n int) []bool { return all(1, n) }

// SymDiff returns the gradient to the input.
func (o *AvgPool) SymDiff(_ gorgonia.Nodes, _, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	dx, err := applied(NewAvgPoolGrad(o.Layer, o.Batch, o.Window), dy)
	return gorgonia.Nodes{dx}, err
}

// AvgPoolGrad is the gradient of AvgPool: dy → dx.
type AvgPoolGrad struct {
	meta
	Window
}

// NewAvgPoolGrad makes the gradient of an average-pooling layer.
func NewAvgPoolGrad(layer string, batch int, w Window) *AvgPoolGrad {
	o := &AvgPoolGrad{Window: w}
	o.meta = meta{
		kind: "avgpool-grad", Layer: layer, Batch: batch, params: fmt.Sprintf("%+v", w),
		in:  []tensor.Shape{nhwc(batch, w.Out)},
		out: nhwc(batch, w.In),
		f32: func(in [][]float32, out []float32) { avgPoolGrad(o.Batch, o.Window, in[0], out) },
		f64: func(in [][]float64, out []float64) { avgPoolGrad(o.Batch, o.Window, in[0], out) },
	}
	return o
}

func avgPool[T float](batch int, w Window, x, y []T) {
	w.each(batch, func(n, oy, ox, _, _, iy, ix int) {
		xi, yi := w.input(n, iy, ix), w.output(n, oy, ox)
		for c := range w.In.Channels {
			y[yi+c] += x[xi+c] / T(w.area(oy, ox))
		}
	})
}

func avgPoolGrad[T float](batch int, w Window, dy, dx []T) {
	w.each(batch, func(n, oy, ox, _, _, iy, ix int) {
		xi, yi := w.input(n, iy, ix), w.output(n, oy, ox)
		for c := range w.In.Channels {
			dx[xi+c] += dy[yi+c] / T(w.area(oy, ox))
		}
	})
}

// Shard divides by channels.
func (o *AvgPool) Shard(s Split) (Shard, error) {
	return s.own(o, NewAvgPool(o.Layer, o.Batch, s.window(o.Window))), nil
}

// Shard divides by channels.
func (o *AvgPoolGrad) Shard(s Split) (Shard, error) {
	return s.own(o, NewAvgPoolGrad(o.Layer, o.Batch, s.window(o.Window))), nil
}

var _ = builds(func(b *builder, p arch.LayerInfo, l *arch.AvgPool, x *gorgonia.Node) (*gorgonia.Node, error) {
	w := Window{In: p.In, Out: p.Out, Kernel: l.Kernel, Stride: l.Stride, Pad: l.Pad, Groups: 1}
	return applied(NewAvgPool(p.Layer.Name, b.g.Batch, w), x)
})

// The only window is as wide as the image's longer side and is clipped to the image.
var _ = builds(func(b *builder, p arch.LayerInfo, _ *arch.GlobalAvgPool, x *gorgonia.Node) (*gorgonia.Node, error) {
	w := Window{In: p.In, Out: p.Out, Kernel: max(p.In.Height, p.In.Width), Stride: 1, Groups: 1}
	return applied(NewAvgPool(p.Layer.Name, b.g.Batch, w), x)
})
