package graph

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"ablate/arch"
)

// PReLU is max(x, 0) + slope·min(x, 0), with one slope per channel: (x, slope [C]) → y.
type PReLU struct {
	meta
	Shape arch.Shape
}

// NewPReLU makes a layer of units whose slopes are learned.
func NewPReLU(layer string, batch int, s arch.Shape) *PReLU {
	o := &PReLU{Shape: s}
	o.meta = meta{
		kind: "prelu", Layer: layer, Batch: batch, params: fmt.Sprintf("%+v", s),
		in:  []tensor.Shape{nhwc(batch, s), {s.Channels}},
		out: nhwc(batch, s),
		f32: func(in [][]float32, out []float32) { prelu(in[0], in[1], in[0], out) },
		f64: func(in [][]float64, out []float64) { prelu(in[0], in[1], in[0], out) },
	}
	return o
}

// DiffWRT reports that both inputs have gradients.
func (o *PReLU) DiffWRT(n int) []bool { return all(2, n) }

// SymDiff returns the gradients to the input and the slopes.
func (o *PReLU) SymDiff(in gorgonia.Nodes, _, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	dx, err := applied(NewPReLUGrad(o.Layer, o.Batch, o.Shape), in[0], in[1], dy)
	if err != nil {
		return nil, err
	}
	dslope, err := applied(NewPReLUSlopeGrad(o.Layer, o.Batch, o.Shape), in[0], dy)
	return gorgonia.Nodes{dx, dslope}, err
}

// PReLUGrad is the gradient of PReLU to its input: (x, slope, dy) → dx.
type PReLUGrad struct {
	meta
	Shape arch.Shape
}

// NewPReLUGrad makes the gradient to the input.
func NewPReLUGrad(layer string, batch int, s arch.Shape) *PReLUGrad {
	o := &PReLUGrad{Shape: s}
	o.meta = meta{
		kind: "prelu-grad", Layer: layer, Batch: batch, params: fmt.Sprintf("%+v", s),
		in:  []tensor.Shape{nhwc(batch, s), {s.Channels}, nhwc(batch, s)},
		out: nhwc(batch, s),
		f32: func(in [][]float32, out []float32) { prelu(in[0], in[1], in[2], out) },
		f64: func(in [][]float64, out []float64) { prelu(in[0], in[1], in[2], out) },
	}
	return o
}

// PReLUSlopeGrad is the gradient of PReLU to its slopes: (x, dy) → Σ dy·min(x, 0).
type PReLUSlopeGrad struct {
	meta
	Shape arch.Shape
}

// NewPReLUSlopeGrad makes the gradient to the slopes.
func NewPReLUSlopeGrad(layer string, batch int, s arch.Shape) *PReLUSlopeGrad {
	o := &PReLUSlopeGrad{Shape: s}
	o.meta = meta{
		kind: "prelu-slope-grad", Layer: layer, Batch: batch, params: fmt.Sprintf("%+v", s),
		in:  []tensor.Shape{nhwc(batch, s), nhwc(batch, s)},
		out: tensor.Shape{s.Channels},
		f32: func(in [][]float32, out []float32) { preluSlopeGrad(in[0], in[1], out) },
		f64: func(in [][]float64, out []float64) { preluSlopeGrad(in[0], in[1], out) },
	}
	return o
}

// prelu multiplies v, which is x itself or dy, by 1 or by the slope, depending on the sign of x.
func prelu[T float](x, slope, v, out []T) {
	for i := range x {
		out[i] = v[i]
		if x[i] < 0 {
			out[i] *= slope[i%len(slope)]
		}
	}
}

func preluSlopeGrad[T float](x, dy, dslope []T) {
	for i, v := range x {
		if v < 0 {
			dslope[i%len(dslope)] += dy[i] * v
		}
	}
}

// Shard divides by channels.
func (o *PReLU) Shard(s Split) (Shard, error) {
	return s.own(o, NewPReLU(o.Layer, o.Batch, s.shape(o.Shape))), nil
}

// Shard divides by channels.
func (o *PReLUGrad) Shard(s Split) (Shard, error) {
	return s.own(o, NewPReLUGrad(o.Layer, o.Batch, s.shape(o.Shape))), nil
}

// Shard divides by channels.
func (o *PReLUSlopeGrad) Shard(s Split) (Shard, error) {
	return s.own(o, NewPReLUSlopeGrad(o.Layer, o.Batch, s.shape(o.Shape))), nil
}

var _ = builds(func(b *builder, p arch.LayerInfo, l *arch.PReLU, x *gorgonia.Node) (*gorgonia.Node, error) {
	name := p.Layer.Name
	return applied(NewPReLU(name, b.g.Batch, p.In), x, b.learned(name, "slope", p.In.Channels, l.Slope, 1))
})
