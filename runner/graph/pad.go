package graph

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"ablate/arch"
)

// Pad takes every Stride-th pixel of every Stride-th row and appends channels of zeros: x → y. It
// makes the channels of y from channel First on.
type Pad struct {
	meta
	In, Out       arch.Shape
	Stride, First int
}

// NewPad makes the shortcut of a block whose layers halve the image and add channels.
func NewPad(layer string, batch int, in, out arch.Shape, stride int) *Pad {
	return newPad(layer, batch, in, out, stride, 0)
}

func newPad(layer string, batch int, in, out arch.Shape, stride, first int) *Pad {
	o := &Pad{In: in, Out: out, Stride: stride, First: first}
	o.meta = meta{
		kind: "pad", Layer: layer, Batch: batch, params: fmt.Sprintf("%+v %+v %d %d", in, out, stride, first),
		in:  []tensor.Shape{nhwc(batch, in)},
		out: nhwc(batch, out),
		f32: func(in [][]float32, out []float32) { pad(o, in[0], out) },
		f64: func(in [][]float64, out []float64) { pad(o, in[0], out) },
	}
	return o
}

// DiffWRT reports that the input has a gradient.
func (o *Pad) DiffWRT(n int) []bool { return all(1, n) }

// SymDiff returns the gradient to the input.
func (o *Pad) SymDiff(_ gorgonia.Nodes, _, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	dx, err := applied(NewPadGrad(o.Layer, o.Batch, o.In, o.Out, o.Stride), dy)
	return gorgonia.Nodes{dx}, err
}

func pad[T float](o *Pad, x, y []T) {
	for i := range y {
		c := o.First + i%o.Out.Channels
		pixel := i / o.Out.Channels
		ox, oy, n := pixel%o.Out.Width, pixel/o.Out.Width%o.Out.Height, pixel/o.Out.Width/o.Out.Height
		if c < o.In.Channels {
			y[i] = x[((n*o.In.Height+oy*o.Stride)*o.In.Width+ox*o.Stride)*o.In.Channels+c]
		}
	}
}

// PadGrad is the gradient of Pad: dy → dx, channels from First on.
type PadGrad struct {
	meta
	In, Out       arch.Shape // of Pad
	Stride, First int
}

// NewPadGrad makes the gradient of a padding shortcut.
func NewPadGrad(layer string, batch int, in, out arch.Shape, stride int) *PadGrad {
	return newPadGrad(layer, batch, in, out, stride, 0)
}

func newPadGrad(layer string, batch int, in, out arch.Shape, stride, first int) *PadGrad {
	o := &PadGrad{In: in, Out: out, Stride: stride, First: first}
	o.meta = meta{
		kind: "pad-grad", Layer: layer, Batch: batch, params: fmt.Sprintf("%+v %+v %d %d", in, out, stride, first),
		in:  []tensor.Shape{nhwc(batch, out)},
		out: nhwc(batch, in),
		f32: func(in [][]float32, out []float32) { padGrad(o, in[0], out) },
		f64: func(in [][]float64, out []float64) { padGrad(o, in[0], out) },
	}
	return o
}

// DiffWRT reports no gradients: nothing flows back through a gradient.
func (o *PadGrad) DiffWRT(n int) []bool { return all(0, n) }

func padGrad[T float](o *PadGrad, dy, dx []T) {
	for i := range dx {
		c := o.First + i%o.In.Channels
		pixel := i / o.In.Channels
		ix, iy, n := pixel%o.In.Width, pixel/o.In.Width%o.In.Height, pixel/o.In.Width/o.In.Height
		if ix%o.Stride == 0 && iy%o.Stride == 0 {
			dx[i] = dy[((n*o.Out.Height+iy/o.Stride)*o.Out.Width+ix/o.Stride)*o.Out.Channels+c]
		}
	}
}

// Shard divides by channels of the output; each device needs the whole input.
func (o *Pad) Shard(s Split) (Shard, error) {
	first, n := Sharding{1, o.Out.Channels, 1}.Block(s.I, s.Of)
	out := o.Out
	out.Channels = n
	shard := s.own(o, newPad(o.Layer, o.Batch, o.In, out, o.Stride, o.First+first))
	clear(shard.In)
	return shard, s.fit(o, o.Out.Channels)
}

// Shard divides by channels of the output, as for Pad.
func (o *PadGrad) Shard(s Split) (Shard, error) {
	first, n := Sharding{1, o.In.Channels, 1}.Block(s.I, s.Of)
	in := o.In
	in.Channels = n
	shard := s.own(o, newPadGrad(o.Layer, o.Batch, in, o.Out, o.Stride, o.First+first))
	clear(shard.In)
	return shard, s.fit(o, o.In.Channels)
}
