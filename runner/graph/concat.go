package graph

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"ablate/arch"
)

// Concat joins the channels of its inputs, one input after the other, and keeps N channels from
// channel First on: x₁, x₂ … → y.
type Concat struct {
	meta
	Shapes   []arch.Shape // of the inputs
	First, N int          // all channels, except on one of several devices
}

// NewConcat makes the concatenation of several layers' outputs.
func NewConcat(layer string, batch int, shapes []arch.Shape) *Concat {
	n := 0
	for _, s := range shapes {
		n += s.Channels
	}
	return newConcat(layer, batch, shapes, 0, n)
}

func newConcat(layer string, batch int, shapes []arch.Shape, first, n int) *Concat {
	o := &Concat{Shapes: shapes, First: first, N: n}
	out := shapes[0]
	out.Channels = n
	o.meta = meta{
		kind: "concat", Layer: layer, Batch: batch, params: fmt.Sprintf("%+v %d %d", shapes, first, n),
		out: nhwc(batch, out),
		f32: func(in [][]float32, out []float32) { concat(o, in, out) },
		f64: func(in [][]float64, out []float64) { concat(o, in, out) },
	}
	for _, s := range shapes {
		o.in = append(o.in, nhwc(batch, s))
	}
	return o
}

// DiffWRT reports that all inputs have gradients.
func (o *Concat) DiffWRT(n int) []bool { return all(n, n) }

// SymDiff returns, for each input, the gradient of its channels.
func (o *Concat) SymDiff(_ gorgonia.Nodes, _, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	var dx gorgonia.Nodes
	first := 0
	for _, s := range o.Shapes {
		n, err := applied(NewSlice(o.Layer, o.Batch, image(o.out), first, s.Channels), dy)
		if err != nil {
			return nil, err
		}
		dx = append(dx, n)
		first += s.Channels
	}
	return dx, nil
}

func concat[T float](o *Concat, in [][]T, y []T) {
	for i := range y {
		pixel, c := i/o.N, o.First+i%o.N
		x := 0
		for ; c >= o.Shapes[x].Channels; x++ {
			c -= o.Shapes[x].Channels
		}
		y[i] = in[x][pixel*o.Shapes[x].Channels+c]
	}
}

// Slice takes N channels from channel First on: x → y. It is the gradient of Concat.
type Slice struct {
	meta
	Shape    arch.Shape // of the input
	First, N int
}

// NewSlice makes the op that takes some channels.
func NewSlice(layer string, batch int, s arch.Shape, first, n int) *Slice {
	o := &Slice{Shape: s, First: first, N: n}
	out := s
	out.Channels = n
	o.meta = meta{
		kind: "slice", Layer: layer, Batch: batch, params: fmt.Sprintf("%+v %d %d", s, first, n),
		in:  []tensor.Shape{nhwc(batch, s)},
		out: nhwc(batch, out),
		f32: func(in [][]float32, out []float32) { slice(o, in[0], out) },
		f64: func(in [][]float64, out []float64) { slice(o, in[0], out) },
	}
	return o
}

// DiffWRT reports no gradients: nothing flows back through a gradient.
func (o *Slice) DiffWRT(n int) []bool { return all(0, n) }

func slice[T float](o *Slice, x, y []T) {
	for i := range y {
		y[i] = x[i/o.N*o.Shape.Channels+o.First+i%o.N]
	}
}

// Shard divides by channels of the output. Their inputs do not depend on how the inputs are
// divided, so each device needs all inputs.
func (o *Concat) Shard(s Split) (Shard, error) {
	first, n := Sharding{1, o.N, 1}.Block(s.I, s.Of)
	shard := s.own(o, newConcat(o.Layer, o.Batch, o.Shapes, o.First+first, n))
	clear(shard.In)
	return shard, s.fit(o, o.N)
}

// Shard divides by channels of the output, as for Concat.
func (o *Slice) Shard(s Split) (Shard, error) {
	first, n := Sharding{1, o.N, 1}.Block(s.I, s.Of)
	shard := s.own(o, NewSlice(o.Layer, o.Batch, o.Shape, o.First+first, n))
	clear(shard.In)
	return shard, s.fit(o, o.N)
}

// concat adds the concatenation of several nodes.
func (b *builder) concat(layer string, in []*gorgonia.Node) (*gorgonia.Node, error) {
	var shapes []arch.Shape
	for _, x := range in {
		shapes = append(shapes, image(x.Shape()))
	}
	return applied(NewConcat(layer, b.g.Batch, shapes), in...)
}
