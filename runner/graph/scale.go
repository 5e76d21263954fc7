package graph

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"ablate/arch"
)

// Scale multiplies every channel of an image by a factor of its own: (x, s [N,1,1,C]) → y.
type Scale struct {
	meta
	Shape arch.Shape
}

// NewScale makes the end of a squeeze-and-excitation part.
func NewScale(layer string, batch int, s arch.Shape) *Scale {
	return newScale("scale", layer, batch, s)
}

// newScale makes the op under a name: its gradient to x is a Scale too, of other values.
func newScale(kind, layer string, batch int, s arch.Shape) *Scale {
	o := &Scale{Shape: s}
	o.meta = meta{
		kind: kind, Layer: layer, Batch: batch, params: fmt.Sprintf("%+v", s),
		in:  []tensor.Shape{nhwc(batch, s), {batch, 1, 1, s.Channels}},
		out: nhwc(batch, s),
		f32: func(in [][]float32, out []float32) { scale(s, in[0], in[1], out) },
		f64: func(in [][]float64, out []float64) { scale(s, in[0], in[1], out) },
	}
	return o
}

// DiffWRT reports that both inputs have gradients.
func (o *Scale) DiffWRT(n int) []bool { return all(2, n) }

// SymDiff returns the gradients to the image and the factors.
func (o *Scale) SymDiff(in gorgonia.Nodes, _, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	dx, err := applied(newScale("scale-grad", o.Layer, o.Batch, o.Shape), dy, in[1])
	if err != nil {
		return nil, err
	}
	ds, err := applied(NewScaleFactorGrad(o.Layer, o.Batch, o.Shape), in[0], dy)
	return gorgonia.Nodes{dx, ds}, err
}

// ScaleFactorGrad is the gradient of Scale to the factors: (x, dy) → Σ x·dy over an image's
// pixels.
type ScaleFactorGrad struct {
	meta
	Shape arch.Shape
}

// NewScaleFactorGrad makes the gradient to the factors of the channels.
func NewScaleFactorGrad(layer string, batch int, s arch.Shape) *ScaleFactorGrad {
	o := &ScaleFactorGrad{Shape: s}
	o.meta = meta{
		kind: "scale-factor-grad", Layer: layer, Batch: batch, params: fmt.Sprintf("%+v", s),
		in:  []tensor.Shape{nhwc(batch, s), nhwc(batch, s)},
		out: tensor.Shape{batch, 1, 1, s.Channels},
		f32: func(in [][]float32, out []float32) { scaleFactorGrad(s, in[0], in[1], out) },
		f64: func(in [][]float64, out []float64) { scaleFactorGrad(s, in[0], in[1], out) },
	}
	return o
}

// DiffWRT reports no gradients: nothing flows back through a gradient.
func (o *ScaleFactorGrad) DiffWRT(n int) []bool { return all(0, n) }

func scale[T float](s arch.Shape, x, factor, y []T) {
	for i, v := range x {
		y[i] = v * factor[i/s.Len()*s.Channels+i%s.Channels]
	}
}

func scaleFactorGrad[T float](s arch.Shape, x, dy, ds []T) {
	for i, v := range x {
		ds[i/s.Len()*s.Channels+i%s.Channels] += v * dy[i]
	}
}

// Shard divides by channels.
func (o *Scale) Shard(s Split) (Shard, error) {
	return s.own(o, newScale(o.kind, o.Layer, o.Batch, s.shape(o.Shape))), nil
}

// Shard divides by channels.
func (o *ScaleFactorGrad) Shard(s Split) (Shard, error) {
	return s.own(o, NewScaleFactorGrad(o.Layer, o.Batch, s.shape(o.Shape))), nil
}

var _ = joins(func(b *builder, p arch.LayerInfo, _ *arch.SqueezeExcitation,
	in []*gorgonia.Node) (*gorgonia.Node, error) {
	return applied(NewScale(p.Layer.Name, b.g.Batch, p.Out), in...)
})
