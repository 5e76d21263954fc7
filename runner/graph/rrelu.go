package graph

import (
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"ablate/arch"
	"ablate/runner/random"
)

// RReLU is x above 0 and a·x below: x → y. In training, a is drawn for each value, uniformly from
// [Lower, Upper); in evaluation, it is the mean of Lower and Upper (Xu et al. 2015, arXiv
// 1505.00853). The draws are a pure function of (seed, layer, step, index). The gradient is of the
// same type, (y, dy) → dx: as a > 0, y has the sign of x.
type RReLU struct {
	meta
	Shape        arch.Shape
	Lower, Upper float64
	Train        bool
	Part         Part
	clock        *Clock
}

// NewRReLU makes a layer. When Do runs it, it reads seed and step from clock.
func NewRReLU(layer string, batch int, s arch.Shape, l arch.RReLU, train bool, clock *Clock) *RReLU {
	return newRReLU("rrelu", 1, layer, batch, s, l, train, clock)
}

// NewRReLUGrad makes the gradient of RReLU: (y, dy) → dx. It repeats the layer's draws.
func NewRReLUGrad(layer string, batch int, s arch.Shape, l arch.RReLU, train bool, clock *Clock) *RReLU {
	return newRReLU("rrelu-grad", 2, layer, batch, s, l, train, clock)
}

func newRReLU(kind string, inputs int, layer string, batch int, s arch.Shape, l arch.RReLU, train bool,
	clock *Clock) *RReLU {
	o := &RReLU{Shape: s, Lower: l.Lower, Upper: l.Upper, Train: train, Part: Part{Channels: s.Channels}, clock: clock}
	o.meta = meta{
		kind: kind, Layer: layer, Batch: batch, params: fmt.Sprintf("%v %v %v", s, l, train),
		in:  slices.Repeat([]tensor.Shape{nhwc(batch, s)}, inputs),
		out: nhwc(batch, s),
		f32: func(in [][]float32, out []float32) { rrelu(o, in[0], in[inputs-1], out) },
		f64: func(in [][]float64, out []float64) { rrelu(o, in[0], in[inputs-1], out) },
	}
	return o
}

// at returns the same layer, or gradient, for a part of its activations.
func (o *RReLU) at(s arch.Shape, p Part) *RReLU {
	part := newRReLU(o.kind, len(o.in), o.Layer, o.Batch, s, arch.RReLU{Lower: o.Lower, Upper: o.Upper}, o.Train, o.clock)
	part.Part = p
	return part
}

// DiffWRT reports that the input has a gradient.
func (o *RReLU) DiffWRT(n int) []bool { return all(1, n) }

// SymDiff returns the gradient to the input.
func (o *RReLU) SymDiff(_ gorgonia.Nodes, y, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	dx, err := applied(NewRReLUGrad(o.Layer, o.Batch, o.Shape, arch.RReLU{Lower: o.Lower, Upper: o.Upper}, o.Train,
		o.clock), y, dy)
	return gorgonia.Nodes{dx}, err
}

// RReLUStream returns the random stream of a randomised ReLU: word i of step s decides value i.
func RReLUStream(seed uint64, layer string) random.Stream { return random.New(seed, "rrelu/"+layer) }

// Slope returns the slope below 0 that a random word picks.
func (o *RReLU) Slope(word uint32) float32 {
	return float32(o.Lower + float64(float64(word)/(1<<32)*(o.Upper-o.Lower)))
}

// Mean returns the slope below 0 in evaluation.
func (o *RReLU) Mean() float32 { return float32((o.Lower + o.Upper) / 2) }

// rrelu multiplies v by the slope at each place, or by 1 if sign is above 0 there.
func rrelu[T float](o *RReLU, sign, v, out []T) {
	stream := RReLUStream(o.clock.Seed, o.Layer)
	for i, s := range sign {
		switch {
		case s > 0:
			out[i] = v[i]
		case o.Train:
			out[i] = T(o.Slope(stream.Uint32(o.clock.Step, uint64(o.Part.Index(i, o.Shape))))) * v[i]
		default:
			out[i] = T(o.Mean()) * v[i]
		}
	}
}

// Shard divides by channels.
func (o *RReLU) Shard(s Split) (Shard, error) {
	return s.own(o, o.at(s.shape(o.Shape), s.part(o.Part, o.Shape.Channels))), nil
}

func (o *RReLU) fromImage(first int) Op { return o.at(o.Shape, o.Part.after(first)) }

var _ = builds(func(b *builder, p arch.LayerInfo, l *arch.RReLU, x *gorgonia.Node) (*gorgonia.Node, error) {
	return applied(NewRReLU(p.Layer.Name, b.g.Batch, p.In, *l, b.train, b.g.Clock), x)
})
