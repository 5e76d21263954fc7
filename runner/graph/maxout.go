package graph

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"ablate/arch"
)

// Maxout takes the largest of every Pieces adjacent channels: x [N,H,W,C] → y [N,H,W,C/Pieces].
type Maxout struct {
	meta
	In     arch.Shape
	Pieces int
}

func pieced(s arch.Shape, pieces int) arch.Shape {
	s.Channels /= pieces
	return s
}

// NewMaxout makes a layer of maxout units.
func NewMaxout(layer string, batch int, in arch.Shape, pieces int) *Maxout {
	o := &Maxout{In: in, Pieces: pieces}
	o.meta = meta{
		kind: "maxout", Layer: layer, Batch: batch, params: fmt.Sprintf("%+v %d", in, pieces),
		in:  []tensor.Shape{nhwc(batch, in)},
		out: nhwc(batch, pieced(in, pieces)),
		f32: func(in [][]float32, out []float32) { maxout(pieces, in[0], out) },
		f64: func(in [][]float64, out []float64) { maxout(pieces, in[0], out) },
	}
	return o
}

// DiffWRT reports that the input has a gradient.
func (o *Maxout) DiffWRT(n int) []bool { return all(1, n) }

// SymDiff returns the gradient to the input.
func (o *Maxout) SymDiff(in gorgonia.Nodes, _, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	dx, err := applied(NewMaxoutGrad(o.Layer, o.Batch, o.In, o.Pieces), in[0], dy)
	return gorgonia.Nodes{dx}, err
}

// MaxoutGrad is the gradient of Maxout: (x, dy) → dx. The first of equal pieces gets the gradient.
type MaxoutGrad struct {
	meta
	Pieces int
}

// NewMaxoutGrad makes the gradient of a layer of maxout units.
func NewMaxoutGrad(layer string, batch int, in arch.Shape, pieces int) *MaxoutGrad {
	o := &MaxoutGrad{Pieces: pieces}
	o.meta = meta{
		kind: "maxout-grad", Layer: layer, Batch: batch, params: fmt.Sprintf("%+v %d", in, pieces),
		in:  []tensor.Shape{nhwc(batch, in), nhwc(batch, pieced(in, pieces))},
		out: nhwc(batch, in),
		f32: func(in [][]float32, out []float32) { maxoutGrad(pieces, in[0], in[1], out) },
		f64: func(in [][]float64, out []float64) { maxoutGrad(pieces, in[0], in[1], out) },
	}
	return o
}

func maxout[T float](pieces int, x, y []T) {
	for i := range y {
		y[i] = x[i*pieces+largest(x[i*pieces:(i+1)*pieces])]
	}
}

func maxoutGrad[T float](pieces int, x, dy, dx []T) {
	for i, d := range dy {
		dx[i*pieces+largest(x[i*pieces:(i+1)*pieces])] = d
	}
}

// largest returns the index of the first largest value.
func largest[T float](v []T) int {
	best := 0
	for i := range v {
		if v[i] > v[best] {
			best = i
		}
	}
	return best
}

// Shard divides by channels.
func (o *Maxout) Shard(s Split) (Shard, error) {
	return s.own(o, NewMaxout(o.Layer, o.Batch, s.shape(o.In), o.Pieces)), nil
}

// Shard divides by channels.
func (o *MaxoutGrad) Shard(s Split) (Shard, error) {
	return s.own(o, NewMaxoutGrad(o.Layer, o.Batch, s.shape(image(o.in[0])), o.Pieces)), nil
}

var _ = builds(func(b *builder, p arch.LayerInfo, l *arch.Maxout, x *gorgonia.Node) (*gorgonia.Node, error) {
	return applied(NewMaxout(p.Layer.Name, b.g.Batch, p.In, l.Pieces), x)
})
