package graph

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"ablate/arch"
	"ablate/runner/random"
)

// Dropout sets each activation to 0 with probability Rate: x → y. The same op, applied to dy, is
// its gradient. In evaluation it multiplies by 1−Rate instead (paper, section 4.2). If Inverted,
// it multiplies the kept activations by 1/(1−Rate) in training and does nothing in evaluation. The
// mask is a pure function of (seed, layer, step, index), so it is not stored, and every device
// draws the same one.
type Dropout struct {
	meta
	Shape    arch.Shape
	Rate     float64
	Inverted bool
	Train    bool
	Part     Part
	clock    *Clock
}

// Up returns the factor of kept activations in training.
func (o *Dropout) Up() float64 {
	if o.Inverted {
		return 1 / (1 - o.Rate)
	}
	return 1
}

// Kept returns the factor of every activation in evaluation.
func (o *Dropout) Kept() float64 {
	if o.Inverted {
		return 1
	}
	return 1 - o.Rate
}

// NewDropout makes a dropout layer. When Do runs it, it reads seed and step from clock.
func NewDropout(layer string, batch int, s arch.Shape, l arch.Dropout, train bool, clock *Clock) *Dropout {
	return newDropout("dropout", layer, batch, s, l, train, clock)
}

func newDropout(kind, layer string, batch int, s arch.Shape, l arch.Dropout, train bool, clock *Clock) *Dropout {
	o := &Dropout{Shape: s, Rate: l.Rate, Inverted: l.Inverted, Train: train, Part: Part{Channels: s.Channels},
		clock: clock}
	o.meta = meta{
		kind: kind, Layer: layer, Batch: batch, params: fmt.Sprintf("%+v %+v %v", s, l, train),
		in:  []tensor.Shape{nhwc(batch, s)},
		out: nhwc(batch, s),
		f32: func(in [][]float32, out []float32) { dropout(o, in[0], out) },
		f64: func(in [][]float64, out []float64) { dropout(o, in[0], out) },
	}
	return o
}

// at returns the same layer for a part of its activations.
func (o *Dropout) at(s arch.Shape, p Part) *Dropout {
	part := newDropout(o.kind, o.Layer, o.Batch, s, arch.Dropout{Rate: o.Rate, Inverted: o.Inverted}, o.Train, o.clock)
	part.Part = p
	return part
}

// DiffWRT reports that the input has a gradient.
func (o *Dropout) DiffWRT(n int) []bool { return all(1, n) }

// SymDiff returns the gradient to the input: the same mask on dy.
func (o *Dropout) SymDiff(_ gorgonia.Nodes, _, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	dx, err := applied(newDropout("dropout-grad", o.Layer, o.Batch, o.Shape, arch.Dropout{Rate: o.Rate,
		Inverted: o.Inverted}, o.Train, o.clock), dy)
	return gorgonia.Nodes{dx}, err
}

// DropoutStream returns the random stream of a dropout layer's masks: word i of step s decides
// activation i.
func DropoutStream(seed uint64, layer string) random.Stream {
	return random.New(seed, "dropout/"+layer)
}

// DropoutThreshold returns the smallest random word for which an activation is kept.
func DropoutThreshold(rate float64) uint64 { return uint64(rate * (1 << 32)) }

func dropout[T float](o *Dropout, x, y []T) {
	if !o.Train || o.clock.DropoutUntil {
		for i, v := range x {
			y[i] = v * T(o.Kept())
		}
		return
	}
	stream, threshold := DropoutStream(o.clock.Seed, o.Layer), DropoutThreshold(o.Rate)
	for i, v := range x {
		if uint64(stream.Uint32(o.clock.Step, uint64(o.Part.Index(i, o.Shape)))) >= threshold {
			y[i] = v * T(o.Up())
		}
	}
}

// Shard divides by channels.
func (o *Dropout) Shard(s Split) (Shard, error) {
	return s.own(o, o.at(s.shape(o.Shape), s.part(o.Part, o.Shape.Channels))), nil
}

func (o *Dropout) fromImage(first int) Op { return o.at(o.Shape, o.Part.after(first)) }

var _ = builds(func(b *builder, p arch.LayerInfo, l *arch.Dropout, x *gorgonia.Node) (*gorgonia.Node, error) {
	return applied(NewDropout(p.Layer.Name, b.g.Batch, p.In, *l, b.train, b.g.Clock), x)
})
